"""A scene with every kind of object that labelling tools bend, and what a reader made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.coco.document import CocoFile
from dataset.label_json import unfolded
from dataset.pictures.decoding import encode_png
from maskloop.masks import decode_masks, rle_from_coco
from tests.label_tools import scene
from tests.label_tools.scene import HEIGHT_PX as HEIGHT_PX
from tests.label_tools.scene import WIDTH_PX as WIDTH_PX

CLASSES: Final = tuple(scene.CATEGORIES.values())
PICTURE, EMPTY_PICTURE = scene.SCENE, scene.EMPTY

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SceneObject:
    """One object: its class and its pixels, bool (80, 100)."""

    name: str
    class_name: str
    mask: Mask
    is_crowd: bool = False


def block(left: int, top: int, width: int, height: int) -> Mask:
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


SCENE: Final = tuple(
    SceneObject(one.name, scene.CATEGORIES[one.category_id], one.mask().astype(bool), one.is_crowd)
    for one in scene.OBJECTS
)
"""A hole, two parts, one pixel, a crowd, and an object in the corner: what the real tools were given."""


def scene_png(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8)
    return encode_png(pixels)


def write_scene_pictures(folder: Path) -> None:
    """Write the scene's picture and one without objects."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PICTURE).write_bytes(scene_png())
    (folder / EMPTY_PICTURE).write_bytes(scene_png(1))


def runs_by_row(mask: Mask) -> list[int]:
    """Return the lengths of runs through a mask row by row, background first."""
    flat = mask.ravel()
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    return [int(length) for length in np.diff([0, *changes.tolist(), flat.size])]


def rectangles_of(mask: Mask) -> list[tuple[int, int, int, int]]:
    """Return left, top, width and height of the solid blocks of a mask that consists of such."""
    found = []
    rest = mask.copy()
    while rest.any():
        top, left = (int(side) for side in np.argwhere(rest)[0])
        width = int(np.argmin(np.append(rest[top, left:], False)))
        height = int(np.argmin(np.append(rest[top:, left : left + width].all(axis=1), False)))
        rest[top : top + height, left : left + width] = False
        found.append((left, top, width, height))
    return found


def closed_corners(left: int, top: int, width: int, height: int) -> list[list[int]]:
    """Return the corner pixels of a block: a polygon through them includes its border."""
    right, bottom = left + width - 1, top + height - 1
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def corners(left: float, top: float, width: float, height: float) -> list[tuple[float, float]]:
    return [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]


@dataclass(frozen=True)
class ReadObject:
    """One annotation as it was read."""

    class_name: str
    mask: Mask
    is_crowd: bool


def read_objects(coco: CocoFile, picture: str) -> Iterator[ReadObject]:
    """Yield the annotations of a picture with their masks."""
    names = {category["id"]: category["name"] for category in coco.categories}
    entry = next(image for image in coco.images if image["file_name"] == picture)
    size = entry.get("height", HEIGHT_PX), entry.get("width", WIDTH_PX)
    for annotation in coco.annotations:
        if annotation["image_id"] == entry["id"]:
            mask = decode_masks([rle_from_coco(unfolded(annotation["segmentation"]), *size)])[0]
            yield ReadObject(names[annotation["category_id"]], mask, bool(annotation["iscrowd"]))


def scene_iou(coco: CocoFile, picture: str = PICTURE) -> dict[str, float]:
    """Return for each object of the scene the IoU of what was read of its class, rounded to 3 digits.

    An object that was read as a crowd though it is none, or the other way round, counts 0, as does one that
    was not read.
    """
    read = [*read_objects(coco, picture)]
    return {
        one.name: round(
            max(
                (
                    float((one.mask & each.mask).sum() / (one.mask | each.mask).sum())
                    for each in read
                    if (each.class_name, each.is_crowd) == (one.class_name, one.is_crowd)
                ),
                default=0.0,
            ),
            3,
        )
        for one in SCENE
    }


EXACT: Final = {one.name: 1.0 for one in SCENE}
"""What `scene_iou` says if nothing was bent."""
