"""Datumaro's exports of the scene: read from COCO, or made of its own annotations."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

import datumaro as dm
import numpy as np
from datumaro.components.annotation import Mask, Polygon
from datumaro.components.media import Image

from tests.label_tools import scene
from tests.label_tools.scene import CATEGORIES, EMPTY, OBJECTS, PHOTO, SCENE, TURNED

_NAMES: Final = list(CATEGORIES.values())


def _converted(format_name: str, *, all_rle: bool = False, **options: Any) -> scene.Export:
    """Import the scene as COCO and export it."""

    def write(pictures: Path, out: Path) -> None:
        annotations = Path("coco/annotations/instances_default.json")
        scene.save_json(annotations, scene.coco_document(all_rle=all_rle))
        pictures.rename("coco/images")
        dataset = dm.Dataset.import_from("coco", "coco_instances")
        if format_name == "yolo_ultralytics":  # takes no data without these two parts
            items = [item.wrap(subset="train" if item.id == "scene" else "val") for item in dataset]
            dataset = dm.Dataset.from_iterable(items, categories=dataset.categories())
        dataset.export(str(out), format_name, save_media=False, **options)

    return write


def _made(format_name: str, *, says_crowd: bool, **options: Any) -> scene.Export:
    """Export masks that were made in Python; ``is_crowd`` is said of each, or of none."""

    def write(pictures: Path, out: Path) -> None:
        masks = [
            Mask(
                drawn.mask().astype(bool),
                label=list(CATEGORIES).index(drawn.category_id),
                group=number,
                attributes={"is_crowd": drawn.is_crowd} if says_crowd else {},
            )
            for number, drawn in enumerate(OBJECTS, start=1)
        ]
        items = [_item(pictures / SCENE, masks), _item(pictures / EMPTY, [])]
        _dataset(items).export(str(out), format_name, save_media=False, **options)

    return write


def _photo(pictures: Path, out: Path) -> None:
    points = [number for point in TURNED.polygons[0] for number in point]
    polygon = Polygon(points, label=list(CATEGORIES).index(TURNED.category_id), group=1)
    _dataset([_item(pictures / PHOTO, [polygon])]).export(str(out), "coco_instances", save_media=False)


def _item(path: Path, annotations: list[Any]) -> dm.DatasetItem:
    return dm.DatasetItem(path.stem, media=Image.from_file(str(path)), annotations=annotations)


def _dataset(items: list[dm.DatasetItem]) -> dm.Dataset:
    return dm.Dataset.from_iterable(items, categories=_NAMES)


def read(pictures: Path, file: Path) -> list[tuple[str, scene.Mask, bool]]:
    """Import COCO."""
    Path("read/annotations").mkdir(parents=True)
    file.rename("read/annotations/instances_default.json")
    pictures.rename("read/images")
    return _found(Path("read"), "coco_instances")


def _found(folder: Path, format_name: str) -> list[tuple[str, scene.Mask, bool]]:
    dataset = dm.Dataset.import_from(str(folder), format_name)
    names = [label.name for label in dataset.categories()[dm.AnnotationType.label].items]
    return [
        (names[each.label], each.image.astype(np.uint8), bool(each.attributes["is_crowd"]))
        for item in dataset
        for each in item.annotations
        if each.type is dm.AnnotationType.mask  # it makes a box of each as well
    ]


EXPORTS: Final[dict[str, scene.Export]] = {
    "coco-from-mixed": _converted("coco_instances"),
    "coco-from-rle": _converted("coco_instances", all_rle=True),
    "coco-masks": _made("coco_instances", says_crowd=False),
    "coco-masks-that-say-crowd": _made("coco_instances", says_crowd=True),
    "coco-masks-as-masks": _made("coco_instances", says_crowd=True, segmentation_mode="mask"),
    "coco-polygons-mode": _made("coco_instances", says_crowd=True, segmentation_mode="polygons"),
    "coco-photo": _photo,
    "json-from-mixed": _converted("datumaro"),
    "json-masks": _made("datumaro", says_crowd=True),
    "cvat-from-mixed": _converted("cvat"),
    "cvat-masks": _made("cvat", says_crowd=True),
    "yolo-ultralytics-from-mixed": _converted("yolo_ultralytics"),
    "voc-masks": _made("voc_instance_segmentation", says_crowd=False),
    "labelme-xml-masks": _made("label_me", says_crowd=True),
    "labelme-xml-from-mixed": _converted("label_me"),
    "cityscapes-masks": _made("cityscapes", says_crowd=False),
}

READS_EXPORTS: Final[dict[str, scene.ExportReading]] = {
    "coco": lambda folder: _found(folder, "coco_instances"),
    "datumaro": lambda folder: _found(folder, "datumaro"),
}

if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    scene.main("datumaro", EXPORTS, pictures={"coco-photo": [PHOTO]}, reads=read, reads_exports=READS_EXPORTS)
