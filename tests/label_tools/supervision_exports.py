"""Supervision's exports of the scene: read from COCO, or made of its own detections."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

import numpy as np
import supervision as sv

from tests.label_tools import scene
from tests.label_tools.scene import CATEGORIES, EMPTY, OBJECTS, SCENE


def _read(pictures: Path, *, all_rle: bool) -> sv.DetectionDataset:
    truth = scene.save_json(Path("truth.json"), scene.coco_document(all_rle=all_rle))
    return sv.DetectionDataset.from_coco(str(pictures), str(truth), force_masks=True)


def _coco(*, all_rle: bool) -> scene.Export:
    def write(pictures: Path, out: Path) -> None:
        _read(pictures, all_rle=all_rle).as_coco(annotations_path=str(out / "annotations.json"))

    return write


def _detections(pictures: Path) -> sv.DetectionDataset:
    """Return the scene as a model's answers, corrected by nobody: masks and classes, no crowd flag."""
    masks = np.stack([drawn.mask() for drawn in OBJECTS]).astype(bool)
    found = sv.Detections(
        xyxy=sv.mask_to_xyxy(masks).astype(np.float32),
        mask=masks,
        class_id=np.array([list(CATEGORIES).index(drawn.category_id) for drawn in OBJECTS]),
    )
    paths = [str(pictures / name) for name in (SCENE, EMPTY)]
    per_picture = dict(zip(paths, (found, sv.Detections.empty()), strict=True))
    return sv.DetectionDataset(list(CATEGORIES.values()), paths, per_picture)


def _coco_of_detections(pictures: Path, out: Path) -> None:
    _detections(pictures).as_coco(annotations_path=str(out / "annotations.json"))


def _yolo(pictures: Path, out: Path) -> None:
    dataset = _read(pictures, all_rle=True)
    dataset.as_yolo(annotations_directory_path=str(out / "labels"), data_yaml_path=str(out / "data.yaml"))


def _voc(pictures: Path, out: Path) -> None:
    _read(pictures, all_rle=True).as_pascal_voc(annotations_directory_path=str(out / "annotations"))


def _labelme(pictures: Path, out: Path) -> None:
    _read(pictures, all_rle=True).as_labelme(annotations_directory_path=str(out))


def read(pictures: Path, file: Path) -> list[tuple[str, scene.Mask, bool]]:
    """Load COCO."""
    dataset = sv.DetectionDataset.from_coco(str(pictures), str(file), force_masks=True)
    return _found(dataset)


def _read_coco_export(folder: Path) -> list[tuple[str, scene.Mask, bool]]:
    return read(folder / "images", folder / "annotations" / "instances_train.json")


def _read_yolo_export(folder: Path) -> list[tuple[str, scene.Mask, bool]]:
    return _found(
        sv.DetectionDataset.from_yolo(
            str(folder / "images" / "train"),
            str(folder / "labels" / "train"),
            str(folder / "data.yaml"),
            force_masks=True,
        )
    )


def _found(dataset: sv.DetectionDataset) -> list[tuple[str, scene.Mask, bool]]:
    found = next(each for path, _, each in dataset if Path(path).name == SCENE)
    masks = found.mask.astype(np.uint8)
    flags = found.data.get("iscrowd", np.zeros(len(masks)))
    names = [dataset.classes[index] for index in found.class_id]
    return [(name, mask, bool(flag)) for name, mask, flag in zip(names, masks, flags, strict=True)]


EXPORTS: Final[dict[str, scene.Export]] = {
    "coco-from-mixed": _coco(all_rle=False),
    "coco-from-rle": _coco(all_rle=True),
    "coco-of-detections": _coco_of_detections,
    "yolo": _yolo,
    "voc": _voc,
    "labelme": _labelme,
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    exports = {"coco": _read_coco_export, "yolo": _read_yolo_export}
    scene.main("supervision", EXPORTS, reads=read, reads_exports=exports)
