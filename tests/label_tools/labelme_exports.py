"""Labelme's files of the scene, written as its window saves them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
from labelme import _label_file
from labelme._shape import ShapeDict

from tests.label_tools import scene
from tests.label_tools.scene import (
    CATEGORIES,
    EMPTY,
    HEIGHT_PX,
    OBJECTS,
    PHOTO,
    SCENE,
    TURNED,
    WIDTH_PX,
    DrawnObject,
)


def _shape(drawn: DrawnObject, kind: str, points: list[tuple[float, float]], **more: Any) -> ShapeDict:
    shape: dict[str, Any] = {
        "label": CATEGORIES[drawn.category_id],
        "points": [list(point) for point in points],
        "shape_type": kind,
        "flags": {},
        "description": "",
        "group_id": None,
        "mask": None,
        "locked": False,
        "other_data": {},
    }
    return ShapeDict(**{**shape, **more})


def _painted(drawn: DrawnObject) -> list[ShapeDict]:
    """Return a mask shape: its box with inclusive corners, and the pixels in the box."""
    left, top, right, bottom = drawn.box
    inside = drawn.mask()[top:bottom, left:right].astype(bool)
    return [_shape(drawn, "mask", [(left, top), (right - 1, bottom - 1)], mask=inside)]


def _outlined(drawn: DrawnObject) -> list[ShapeDict]:
    """Return a polygon for each part, joined by a group id, its corners at the edges of pixels."""
    group_id = OBJECTS.index(drawn) if len(drawn.blocks) > 1 else None
    return [_shape(drawn, "polygon", points, group_id=group_id) for points in drawn.polygons]


def _save(picture: Path, out: Path, shapes: list[ShapeDict], height_px: int, width_px: int) -> None:
    data = _label_file.read_image_file(filename=str(picture))
    annotation = _label_file.Annotation(
        image_path=picture.name, image_data=data, shapes=shapes, flags={}, other_data={}
    )
    _label_file.write_label_file(
        filename=str(out / f"{picture.stem}.json"),
        annotation=annotation,
        image_height=height_px,
        image_width=width_px,
        save_image_data=False,
    )


def _scene(draw: Any) -> scene.Export:
    def write(pictures: Path, out: Path) -> None:
        shapes = [shape for drawn in OBJECTS for shape in draw(drawn)]
        _save(pictures / SCENE, out, shapes, HEIGHT_PX, WIDTH_PX)
        _save(pictures / EMPTY, out, [], HEIGHT_PX, WIDTH_PX)

    return write


def _photo(pictures: Path, out: Path) -> None:
    """Save the photograph, which labelme shows upright."""
    _save(pictures / PHOTO, out, _outlined(TURNED), WIDTH_PX, HEIGHT_PX)


def _read_export(folder: Path) -> list[tuple[str, scene.Mask, bool]]:
    """Open a file; a mask shape is painted from its upper left corner on."""
    found = []
    for shape in _label_file.read_label_file(filename=str(folder / "train" / "scene.json")).shapes:
        (left, top), _ = ([int(side) for side in point] for point in shape["points"])
        inside = shape["mask"].astype(np.uint8)
        mask = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
        mask[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        found.append((shape["label"], mask, bool(shape["flags"].get("crowd"))))
    return found


EXPORTS: Final[dict[str, scene.Export]] = {
    "masks": _scene(_painted),
    "polygons": _scene(_outlined),
    "photo": _photo,
}

if __name__ == "__main__":
    scene.main("labelme", EXPORTS, pictures={"photo": [PHOTO]}, reads_exports={"labelme": _read_export})
