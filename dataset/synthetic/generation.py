"""Demo data: metal parts on a conveyor belt, drawn with their exact visible masks, as a COCO batch.

The same arguments give the same bytes on every machine, which lets the repository's `data.dvc` pin the
default output. ``python -m dataset.synthetic OUT`` writes a batch.
"""

from __future__ import annotations

import argparse
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataset.coco.document import read_coco
from dataset.ingestion.ingest import find_pictures, stage
from dataset.ingestion.plan import IngestOptions, plan_ingest
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from dataset.synthetic.parts import CLASS_NAMES
from dataset.synthetic.scene import photograph_scene
from dataset.versions.catalog import write_catalog
from maskloop.digest import canonical_json
from maskloop.errors import ConfigurationError
from maskloop.files import write_text
from maskloop.masks import areas_px, boxes_xyxy, encode_masks
from maskloop.settings.workspace_settings import Settings

SHIFTS: Final = (
    "new_camera",
    "darkness",
    "noise",
    "blur",
    "new_background",
    "new_object_look",
    "label_swap",
)
"""What can happen to a production line. All but ``label_swap`` change the pictures and keep the labels."""
DEMO_SOURCE: Final = "line-1"
_SWAPPED: Final = {1: 2, 2: 1}
_STORED_BLOCK_BYTES: Final = 65_535


def generate(
    root: Path,
    *,
    num_pictures: int = 600,
    seed: int = 0,
    shift: str | None = None,
    side_px: int = 128,
    first_index: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write ``root/annotations.json`` (COCO) and ``root/images/belt_NNNNNN.png``.

    Args:
        root: The folder to write to; files of the same names are replaced.
        num_pictures: How many.
        seed: Another seed is another stream of scenes.
        shift: One of `SHIFTS`, or None for the usual line.
        side_px: The pictures are square.
        first_index: Number of the first scene, to draw further ones of the same stream.
        progress: Called with (done, total).

    Returns:
        The annotation file.

    Raises:
        ConfigurationError: if the shift is unknown.
        OSError: if a file cannot be written.
    """
    if shift is not None and shift not in SHIFTS:
        raise ConfigurationError(f"unknown shift {shift!r}", hint=f"choose one of {', '.join(SHIFTS)}")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    (root / "images").mkdir(parents=True, exist_ok=True)
    for index in range(first_index, first_index + num_pictures):
        scene = photograph_scene(seed, index, side_px=side_px, shift=shift)
        name = f"belt_{index:06d}.png"
        (root / "images" / name).write_bytes(stored_png(scene.pixels))
        images.append({"id": index + 1, "file_name": name, "width": side_px, "height": side_px})
        classes = [_SWAPPED.get(c, c) if shift == "label_swap" else c for c in scene.class_indices]
        annotations += _annotations(scene.masks, classes, index + 1, len(annotations) + 1)
        if progress:
            progress(index - first_index + 1, num_pictures)
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASS_NAMES, start=1)]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    write_text(root / "annotations.json", canonical_json(coco))
    return root / "annotations.json"


def build_demo_catalog(root: Path) -> None:
    """Fill a folder with exactly what the repository's `data.dvc` pins: the default output, ingested.

    Args:
        root: An empty folder, which becomes what `data/` is after the first ingest.
    """
    with tempfile.TemporaryDirectory() as folder:
        coco = read_coco(generate(Path(folder)))
        images_dir, settings = Path(folder) / "images", Settings()
        options = IngestOptions(source=DEMO_SOURCE)
        with SandboxedDecoder(DecodingLimits(max_mpx=settings.data.max_picture_mpx)) as decoder:
            found = find_pictures(coco, images_dir, decoder)
            plan = plan_ingest(coco, found, options, settings, previous=None, residents=(), tag="data-v1")
            stage(root, plan, images_dir, decoder)
        write_catalog(root, plan.catalog)


def _annotations(
    masks_NHW: NDArray[np.bool_], class_indices: list[int], image_id: int, first_id: int
) -> list[dict[str, Any]]:
    rles = encode_masks(masks_NHW)
    return [
        {
            "id": first_id + number,
            "image_id": image_id,
            "category_id": class_index + 1,
            "segmentation": rle.to_coco(),
            "bbox": [int(box[0]), int(box[1]), int(box[2] - box[0]), int(box[3] - box[1])],
            "area": int(area),
            "iscrowd": 0,
        }
        for number, (rle, class_index, box, area) in enumerate(
            zip(rles, class_indices, boxes_xyxy(rles), areas_px(rles), strict=True)
        )
    ]


def stored_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode uint8 RGB (H, W, 3) as a PNG whose bytes do not depend on any compressor's version.

    Lines are unfiltered and deflate's blocks are of the stored kind (RFC 1950, 1951; PNG, third edition).
    """
    height, width, _ = pixels.shape
    lines = np.concatenate((np.zeros((height, 1), np.uint8), pixels.reshape(height, width * 3)), axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", _stored_zlib(lines.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(name, data) for name, data in chunks)


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _stored_zlib(data: bytes) -> bytes:
    blocks = [data[start : start + _STORED_BLOCK_BYTES] for start in range(0, len(data), _STORED_BLOCK_BYTES)]
    stored = [
        struct.pack("<BHH", number == len(blocks), len(block), len(block) ^ 0xFFFF) + block
        for number, block in enumerate(blocks, start=1)
    ]
    return b"\x78\x01" + b"".join(stored) + struct.pack(">I", zlib.adler32(data))


def main() -> None:
    """Write a batch from the command line."""
    parser = argparse.ArgumentParser(prog="python -m dataset.synthetic", description="Draw demo pictures.")
    parser.add_argument("out", type=Path, help="the folder to write annotations.json and images/ to")
    parser.add_argument("--shift", choices=SHIFTS)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first-index", type=int, default=0)
    wanted = parser.parse_args()
    generate(
        wanted.out,
        num_pictures=wanted.count,
        seed=wanted.seed,
        shift=wanted.shift,
        first_index=wanted.first_index,
    )
