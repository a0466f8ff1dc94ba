"""Supervisely's labels, written as its SDK writes them."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.fakes.label_scene import (
    CLASSES,
    EMPTY_PICTURE,
    HEIGHT_PX,
    PICTURE,
    SCENE,
    WIDTH_PX,
    Mask,
    SceneObject,
    closed_corners,
    rectangles_of,
)


def packed(mask: Mask) -> str:
    picture = Image.fromarray(mask.astype(np.uint8))
    picture.putpalette([0, 0, 0, 255, 255, 255])
    file = io.BytesIO()
    picture.save(file, format="PNG", transparency=0, optimize=0)
    return base64.b64encode(zlib.compress(file.getvalue())).decode()


def label(class_name: str, kind: str, **geometry: Any) -> dict[str, Any]:
    told = {"classTitle": class_name, "geometryType": kind, "shape": kind, "tags": []}
    return told | {"labelerLogin": "ann", "createdAt": "2026-11-30", "updatedAt": "2026-12-01"} | geometry


def bitmap_of(one: SceneObject) -> dict[str, Any]:
    rows, columns = np.where(one.mask.any(axis=1))[0], np.where(one.mask.any(axis=0))[0]
    tight = one.mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    bitmap = {"data": packed(tight), "origin": [int(columns[0]), int(rows[0])]}
    return label(one.class_name, "bitmap", bitmap=bitmap)


def points_of(one: SceneObject) -> list[dict[str, Any]]:
    if one.name == "ring":
        hole = closed_corners(20, 20, 10, 10)
        return [{"exterior": closed_corners(5, 5, 40, 40), "interior": [hole]}]
    return [{"exterior": closed_corners(*rectangle), "interior": []} for rectangle in rectangles_of(one.mask)]


def write_project(folder: Path, objects: list[Any], *, picture: str = PICTURE, **changes: Any) -> None:
    """Write the labels of one picture of the data set `monday`, and the project's classes."""
    (folder / "monday" / "ann").mkdir(parents=True, exist_ok=True)
    classes = [{"title": name, "shape": "any", "color": "#FF0000"} for name in CLASSES]
    (folder / "meta.json").write_text(json.dumps({"classes": classes, "tags": []}))
    content = {"size": {"height": HEIGHT_PX, "width": WIDTH_PX}, "objects": objects} | changes
    (folder / "monday" / "ann" / f"{picture}.json").write_text(json.dumps(content))


def write_bitmaps(folder: Path) -> None:
    """Write the scene as bitmaps."""
    write_project(folder, [], picture=EMPTY_PICTURE)
    write_project(folder, [bitmap_of(one) for one in SCENE])


def write_polygons(folder: Path) -> None:
    """Write the scene as polygons with holes and parts."""
    write_project(folder, [], picture=EMPTY_PICTURE)
    write_project(folder, [label(one.class_name, "multipolygon", parts=points_of(one)) for one in SCENE])
