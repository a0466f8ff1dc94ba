"""Supervisely's project of the scene, and its COCO exports."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import supervisely as sly
from PIL import Image
from supervisely.convert.image.coco.coco_helper import convert_rle_mask_to_polygon, sly_ds_to_coco

from tests.label_tools import scene
from tests.label_tools.scene import CATEGORIES, EMPTY, HEIGHT_PX, OBJECTS, SCENE, WIDTH_PX, DrawnObject


def _painted(drawn: DrawnObject) -> list[Any]:
    return [sly.Bitmap(drawn.mask().astype(bool))]


def _outlined(drawn: DrawnObject) -> list[Any]:
    """Return a polygon for each part, its corners the object's own pixels, those of a hole the hole's."""
    holes = [_corners(drawn.hole)] if drawn.hole else []
    return [sly.Polygon(_corners(block), holes) for block in drawn.blocks]


def _corners(block: tuple[int, int, int, int]) -> list[Any]:
    """Return a rectangle's four corner pixels, as the tool fills it."""
    left, top, right, bottom = block
    x0, y0, x1, y1 = left, top, right - 1, bottom - 1
    return [sly.PointLocation(y, x) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]


def _project(
    pictures: Path, folder: Path, draw: Callable[[DrawnObject], list[Any]], shape: type
) -> sly.Project:
    classes = {key: sly.ObjClass(name, shape, [0, 0, key]) for key, name in CATEGORIES.items()}
    project = sly.Project(str(folder), sly.OpenMode.CREATE)
    project.set_meta(sly.ProjectMeta(sly.ObjClassCollection(list(classes.values()))))
    dataset = project.create_dataset("line")
    labels = [
        sly.Label(geometry, classes[drawn.category_id]) for drawn in OBJECTS for geometry in draw(drawn)
    ]
    for name, drawn_there in ((SCENE, labels), (EMPTY, [])):
        annotation = sly.Annotation((HEIGHT_PX, WIDTH_PX), drawn_there)
        pixels = np.asarray(Image.open(pictures / name))
        dataset.add_item_np(name, pixels, annotation)
    return project


def _native(draw: Callable[[DrawnObject], list[Any]], shape: type) -> scene.Export:
    return lambda pictures, out: (_project(pictures, out / "project", draw, shape), None)[1]


def _coco(draw: Callable[[DrawnObject], list[Any]], shape: type) -> scene.Export:
    def write(pictures: Path, out: Path) -> None:
        project = _project(pictures, Path("project"), draw, shape)
        for dataset in project.datasets:
            sly_ds_to_coco(dataset, project.meta, dest_dir=str(out))

    return write


def read(pictures: Path, file: Path) -> list[tuple[str, scene.Mask, bool]]:
    """Convert each COCO annotation to figures, as the importer of COCO does; a figure has no crowd flag."""
    document = json.loads(file.read_text(encoding="utf-8"))
    names = {each["id"]: each["name"] for each in document["categories"]}
    figures = [
        (names[row["category_id"]], figure)
        for row in document["annotations"]
        for figure in convert_rle_mask_to_polygon(row)
    ]
    return [(name, _filled(figure), False) for name, figure in figures]


def _filled(figure: Any) -> scene.Mask:
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    figure.draw(mask, 1)
    return mask


EXPORTS: Final[dict[str, scene.Export]] = {
    "project-bitmaps": _native(_painted, sly.Bitmap),
    "project-polygons": _native(_outlined, sly.Polygon),
    "coco-bitmaps": _coco(_painted, sly.Bitmap),
    "coco-polygons": _coco(_outlined, sly.Polygon),
}

if __name__ == "__main__":
    os.environ["LOG_LEVEL"] = "ERROR"
    logging.disable(logging.CRITICAL)
    scene.main("supervisely", EXPORTS, reads=read)
