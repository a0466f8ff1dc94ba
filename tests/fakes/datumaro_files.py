"""Datumaro's JSON, written as Datumaro writes it."""

from __future__ import annotations

from typing import Any

from maskloop.masks import encode_masks
from tests.fakes.label_scene import (
    CLASSES,
    HEIGHT_PX,
    PICTURE,
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
