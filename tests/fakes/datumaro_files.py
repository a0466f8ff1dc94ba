"""Datumaro's JSON, written as Datumaro writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from maskloop.masks import encode_masks
from tests.fakes.label_scene import (
    CLASSES,
    EMPTY_PICTURE,
    HEIGHT_PX,
    PICTURE,
    SCENE,
    WIDTH_PX,
    SceneObject,
    corners,
    rectangles_of,
)

SIZE = [HEIGHT_PX, WIDTH_PX]


def mask_of(one: SceneObject) -> dict[str, Any]:
    attributes = {"is_crowd": True} if one.is_crowd else {"occluded": False}
    label = CLASSES.index(one.class_name)
    rle = encode_masks(one.mask[None])[0].to_coco()
    return {"type": "mask", "label_id": label, "rle": rle, "group": 0, "attributes": attributes}


def polygons_of(one: SceneObject, group: int) -> list[dict[str, Any]]:
    label = CLASSES.index(one.class_name)
    return [
        {
            "type": "polygon",
            "label_id": label,
            "group": group,
            "points": [side for corner in corners(*rectangle) for side in corner],
            "attributes": {"is_crowd": one.is_crowd},
        }
        for rectangle in rectangles_of(one.mask)
    ]


def item(annotations: list[Any], name: str = PICTURE, **image: Any) -> dict[str, Any]:
    stem = name.rsplit(".", 1)[0]
    return {"id": stem, "annotations": annotations, "image": {"path": name, "size": SIZE} | image}


def content(*items: Any) -> dict[str, Any]:
    labels: list[Any] = [{"name": name, "parent": "", "attributes": []} for name in CLASSES]
    head = {"dm_format_version": "1.0", "media_type": 2, "infos": {}}
    return head | {"categories": {"label": {"labels": labels, "attributes": []}}, "items": [*items]}


def write_masks(folder: Path) -> None:
    """Write the scene as masks."""
    write_items(folder, item([mask_of(one) for one in SCENE]), item([], EMPTY_PICTURE))


def write_polygons(folder: Path) -> None:
    """Write single objects of the scene that polygons hold."""
    whole = [one for one in SCENE if one.name not in ("ring", "crowd")]
    shapes = [shape for group, one in enumerate(whole, start=1) for shape in polygons_of(one, group)]
    write_items(folder, item(shapes), item([], EMPTY_PICTURE))


def write_items(folder: Path, *items: Any, subset: str = "default") -> None:
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "annotations" / f"{subset}.json").write_text(json.dumps(content(*items)))
