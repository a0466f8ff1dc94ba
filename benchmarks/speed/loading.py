"""Loading training pictures: torchvision's reference way, and `models.loading.batches.BatchStream`.

The reference does what torchvision's detection reference does with COCO (references/detection in its
repository): Pillow opens the file, pycocotools draws every mask in full size, boxes and areas are computed,
the flip is drawn, pixels become float; all of it in a worker process of torch's DataLoader.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks.provenance import describe_run
from benchmarks.speed.report import Line, Report, lines_of
from benchmarks.speed.stock import draw_picture
from benchmarks.timing import take_turns
from dataset.labelled_pictures import DatasetVersion, LabelledInstance, LabelledPicture
from dataset.pictures.decoding import decode_picture
from maskloop.digest import digest_bytes
from maskloop.masks import rle_from_coco
from maskloop.settings.model_settings import AugmentationSettings, TrainingSettings
from models.loading.batches import BatchStream, PictureCache

STOCK, FIRST, CACHED, VARIED = "torchvision", "maskloop", "maskloop, decoded before", "… and varied"
WORKERS = (0, 1, 2)
NUM_PICTURES, NUM_PICTURES_QUICK = 96, 16
BATCH_SIZE = 4
_HEIGHT_PX, _WIDTH_PX, _NUM_INSTANCES, _NUM_CLASSES = 480, 640, 7, 80
_QUESTION = (
    "JPEGs of 640 x 480 px with 7 outlines each to batches of 4 on the CPU, by torchvision's reference "
    "and by maskloop: one pass over all of them. Starting torchvision's processes is counted, as every "
    "epoch does that; their CPU seconds are not. Varied: large-scale jitter and copy-paste."
)


def measure_loading(*, quick: bool, budget_s: float) -> Report:
    """Time one pass with 0, 1 and 2 workers."""
    num_pictures = NUM_PICTURES_QUICK if quick else NUM_PICTURES
    lines: list[Line] = []
    remarks: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder, one_thread():
        coco, version = write_pictures(Path(folder), num_pictures)
        for workers in WORKERS:
            contestants = _contestants(Path(folder), coco, version, workers)
            remarks[f"instances in one pass, {workers} workers"] = {
                name: run() for name, run in contestants.items() if name != VARIED
            }
            rounds = take_turns(contestants, rounds=2 if quick else 7, budget_s=budget_s)
            lines += lines_of(f"{workers} workers, {num_pictures} pictures", rounds, reference=STOCK)
    speeds = {f"{line.case}: {line.name}": f"{num_pictures / line.wall_s.median:.0f}" for line in lines}
    remarks["pictures/s"] = speeds
    return Report("loading", _QUESTION, describe_run(), tuple(lines), remarks)


def _contestants(
    folder: Path, coco: dict[str, Any], version: DatasetVersion, workers: int
) -> dict[str, Callable[[], int]]:
    plain = TrainingSettings(num_workers=workers, horizontal_flip=0.5, colour_jitter=0.0)
    extra = AugmentationSettings(scale_range=(0.1, 2.0), copy_paste=0.5)
    varied = plain.model_copy(update={"augmentation": extra})
    starts = range(0, len(version.pictures), BATCH_SIZE)
    plan = [version.pictures[start : start + BATCH_SIZE] for start in starts]
    warm = PictureCache(version, _load)
    for picture in version.pictures:
        warm.pixels(picture)
    return {
        STOCK: lambda: _count_instances(_stock_targets(folder, coco, workers)),
        FIRST: lambda: _count_instances(_own_targets(PictureCache(version, _load), plan, plain)),
        CACHED: lambda: _count_instances(_own_targets(warm, plan, plain)),
        VARIED: lambda: _count_instances(_own_targets(warm, plan, varied)),
    }


def _count_instances(targets: Iterator[dict[str, Any]]) -> int:
    """Use up all batches; return how many instances they hold, which is the same for all that only flip."""
    return sum(len(target["labels"]) for target in targets)


def _own_targets(
    cache: PictureCache, plan: list[tuple[LabelledPicture, ...]], settings: TrainingSettings
) -> Iterator[dict[str, Any]]:
    for batch in BatchStream(cache, plan, settings).from_step(0):
        yield from batch.targets


def _stock_targets(folder: Path, coco: dict[str, Any], workers: int) -> Iterator[dict[str, Any]]:
    loader = DataLoader(
        StockDataset(folder, coco),
        batch_size=BATCH_SIZE,
        num_workers=workers,
        collate_fn=_side_by_side,
    )
    for _, targets in loader:
        yield from targets


def _side_by_side(batch: list[tuple[Any, dict[str, Any]]]) -> tuple[Any, ...]:
    return tuple(zip(*batch, strict=True))


class StockDataset(Dataset[Any]):
    """COCO pictures the way torchvision's reference reads them."""

    def __init__(self, folder: Path, coco: dict[str, Any]) -> None:
        self._folder, self._images = folder, coco["images"]
        self._of: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in coco["images"]}
        for annotation in coco["annotations"]:
            self._of[annotation["image_id"]].append(annotation)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Any, dict[str, Any]]:
        entry = self._images[index]
        with Image.open(self._folder / entry["file_name"]) as opened:
            image = opened.convert("RGB")
        width, height = image.size
        annotations = self._of[entry["id"]]
        masks = self._draw([each["segmentation"] for each in annotations], height, width)
        boxes = torch.tensor([each["bbox"] for each in annotations], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        if torch.rand(1) < 0.5:
            pixels, masks = pixels.flip(-1), masks.flip(-1)
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        labels = torch.tensor([each["category_id"] for each in annotations])
        return pixels.float().div(255.0), {"boxes": boxes, "labels": labels, "masks": masks}

    @staticmethod
    def _draw(segmentations: list[Any], height: int, width: int) -> torch.Tensor:
        from pycocotools import mask as native

        masks = []
        for polygons in segmentations:
            drawn = native.decode(native.frPyObjects(polygons, height, width))
            masks.append(torch.from_numpy(drawn).any(dim=2).to(torch.uint8))
        return torch.stack(masks)


def write_pictures(folder: Path, count: int) -> tuple[dict[str, Any], DatasetVersion]:
    """Write JPEGs; return the same annotations as COCO and as a data version."""
    random = np.random.default_rng(0)
    images, annotations, pictures = [], [], []
    for number in range(count):
        name = f"{number}.jpg"
        Image.fromarray(draw_picture(_HEIGHT_PX, _WIDTH_PX, seed=number)).save(folder / name, quality=90)
        outlines = [_draw_outline(random) for _ in range(_NUM_INSTANCES)]
        classes = random.integers(0, _NUM_CLASSES, _NUM_INSTANCES).tolist()
        images.append({"id": number, "file_name": name, "width": _WIDTH_PX, "height": _HEIGHT_PX})
        annotations += [
            {
                "image_id": number,
                "category_id": index + 1,
                "segmentation": [outline],
                "bbox": _box_of(outline),
            }
            for index, outline in zip(classes, outlines, strict=True)
        ]
        pictures.append(_describe(folder / name, outlines, classes))
    names = tuple(str(index) for index in range(_NUM_CLASSES))
    coco = json.loads(json.dumps({"images": images, "annotations": annotations}))
    return coco, DatasetVersion("data-v1", "0" * 64, "", "", names, tuple(pictures), folder)


def _draw_outline(random: np.random.Generator) -> list[float]:
    """Return a ragged closed outline of 40 points, 40 to 240 px across, inside the picture."""
    angles = np.linspace(0.0, 2.0 * np.pi, 40, endpoint=False)
    radii = random.uniform(20.0, 120.0) * random.uniform(0.7, 1.0, len(angles))
    centre = random.uniform((120.0, 120.0), (_WIDTH_PX - 120.0, _HEIGHT_PX - 120.0))
    points = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return [round(float(number), 2) for number in points.ravel()]


def _box_of(outline: list[float]) -> list[float]:
    left, top, right, bottom = min(outline[::2]), min(outline[1::2]), max(outline[::2]), max(outline[1::2])
    return [left, top, right - left, bottom - top]


def _describe(file: Path, outlines: list[list[float]], classes: list[int]) -> LabelledPicture:
    instances = tuple(
        LabelledInstance(index, rle_from_coco([outline], _HEIGHT_PX, _WIDTH_PX))
        for index, outline in zip(classes, outlines, strict=True)
    )
    return LabelledPicture(
        digest=digest_bytes(file.read_bytes()),
        file=file.name,
        name=file.name,
        width_px=_WIDTH_PX,
        height_px=_HEIGHT_PX,
        source="drawn",
        group=file.stem,
        split="train",
        added_in="data-v1",
        label_origin="human",
        instances=instances,
    )


def _load(path: Path) -> np.ndarray:
    return decode_picture(path.read_bytes(), max_mpx=25.0)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread, as a worker process of the reference does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
