"""FiftyOne's COCO of the scene, made object by object: its data sets need a database that its wheel lacks."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, Final

import fiftyone.core.labels as labels
import fiftyone.core.metadata as metadata
import numpy as np
from fiftyone.utils.coco import COCOObject

from tests.label_tools import scene
from tests.label_tools.scene import HEIGHT_PX, WIDTH_PX


def _from_coco(*, all_rle: bool) -> scene.Export:
    """Read each annotation as the importer does, and write it as the exporter does."""

    def write(pictures: Path, out: Path) -> None:
        document = scene.coco_document(all_rle=all_rle)
        names = {each["id"]: each["name"] for each in document["categories"]}
        found = [_detection(row, names) for row in document["annotations"]]
        size = metadata.ImageMetadata(width=WIDTH_PX, height=HEIGHT_PX)
        keys = {name: key for key, name in names.items()}
        rows = []
        for number, each in enumerate(found, start=1):
            made = COCOObject.from_label(each, size, image_id=1, category_id=keys[each.label])
            made.id = number
            rows.append(made.to_anno_dict())
        scene.save_json(out / "labels.json", {**document, "annotations": rows})

    return write


def _detection(row: dict[str, Any], names: dict[int, str]) -> labels.Detection:
    read = COCOObject.from_anno_dict(row)
    return read.to_detection((WIDTH_PX, HEIGHT_PX), classes_map=names, load_segmentation=True)


def read(pictures: Path, file: Path) -> list[tuple[str, scene.Mask, bool]]:
    """Load COCO's objects; a detection's mask fills its box."""
    document = json.loads(file.read_text(encoding="utf-8"))
    names = {each["id"]: each["name"] for each in document["categories"]}
    found = [_detection(row, names) for row in document["annotations"]]
    return [(each.label, _whole(each), bool(each["iscrowd"])) for each in found]


def _read_export(folder: Path) -> list[tuple[str, scene.Mask, bool]]:
    return read(folder / "train" / "data", folder / "train" / "labels.json")


def _whole(detection: labels.Detection) -> scene.Mask:
    left, top = (
        round(share * side)
        for share, side in zip(detection.bounding_box[:2], (WIDTH_PX, HEIGHT_PX), strict=True)
    )
    inside = np.asarray(detection.mask, np.uint8)
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    mask[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return mask


EXPORTS: Final[dict[str, scene.Export]] = {
    "coco-from-mixed": _from_coco(all_rle=False),
    "coco-from-rle": _from_coco(all_rle=True),
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    scene.main("fiftyone", EXPORTS, reads=read, reads_exports={"fiftyone": _read_export})
