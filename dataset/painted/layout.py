"""Painted masks: which picture and class each belongs to by its name, and the objects in its numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from maskloop.errors import MaskError
from maskloop.masks import Rle, place_masks

PICTURES, MASKS = "images", "masks"
_MOST_OBJECTS: Final = 20_000
_MOST_COUNTED: Final = 0xFFFF
_NUMBERED: Final = re.compile(r"(.+)_\d+")


@dataclass(frozen=True)
class PaintedMask:
    """A mask's file.

    Attributes:
        file: Its name.
        picture: The picture's; empty if there is none.
        class_name: As a folder or the file's name has it; empty if neither does.
        is_one_object: Every pixel that is not 0 belongs to one object; else each number is an object.
    """

    file: str
    picture: str
    class_name: str = ""
    is_one_object: bool = False


def match_masks(masks: Iterable[str], pictures: Iterable[str]) -> Iterator[PaintedMask]:
    """Match masks with pictures; both are paths with ``/``.

    >>> pictures = ["images/a.jpg"]
    >>> [(m.class_name, m.is_one_object) for m in match_masks(["masks/a.png", "masks/nut/a.png"], pictures)]
    [('', False), ('nut', False)]
    >>> masks = ["masks/a_nut_1.png", "masks/nut/a_1.png"]
    >>> [(m.class_name, m.is_one_object) for m in match_masks(masks, pictures)]
    [('nut', True), ('nut', True)]
    """
    by_stem = {_stem(picture): picture for picture in pictures}
    by_folder: dict[str, list[str]] = {}
    for stem, picture in by_stem.items():
        by_folder.setdefault(str(PurePosixPath(stem).parent), []).append(picture)
    for mask in masks:
        yield _match(mask, by_stem, by_folder)


def lies_in(name: str, folder: str) -> bool:
    """Tell whether one of a file's folders is called so."""
    return folder in PurePosixPath(name).parts[:-1]


def keys_of(picture: str) -> tuple[str, ...]:
    """Return what a list of classes may call a picture, the most exact first.

    >>> keys_of("images/train/a.jpg")
    ('images/train/a.jpg', 'train/a.jpg', 'train/a', 'a.jpg', 'a')
    """
    path = PurePosixPath(picture)
    below = PurePosixPath(picture.rpartition(f"{PICTURES}/")[2])
    return tuple(dict.fromkeys((picture, str(below), str(below.with_suffix("")), path.name, path.stem)))


def split_numbers(values: NDArray[np.uint32]) -> dict[int, Rle]:
    """Return the mask of each number but 0, by number.

    Args:
        values: What a mask's file stores, uint32 (H, W).

    Raises:
        MaskError: if there are more numbers than objects can be.
    """
    numbers = _numbers_in(values)
    if len(numbers) > _MOST_OBJECTS:
        hint = "soft edges and lossy formats make numbers of their own"
        raise MaskError(f"the mask holds {len(numbers)} different numbers", hint=hint)
    labels = np.searchsorted(numbers, values) + int(numbers[0] != 0)
    found = [int(number) for number in numbers if number != 0]
    height, width = values.shape
    boxes = enumerate(ndimage.find_objects(labels), start=1)
    parts = [(box[1].start, box[0].start, labels[box] == label) for label, box in boxes]
    return dict(zip(found, place_masks(parts, height_px=height, width_px=width), strict=True))


def _numbers_in(values: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return each number that occurs, in order; counting is faster than sorting where they are small."""
    if values.max() <= _MOST_COUNTED:
        return np.flatnonzero(np.bincount(values.ravel()))
    return np.unique(values).astype(np.int64)


def _match(mask: str, by_stem: Mapping[str, str], by_folder: Mapping[str, list[str]]) -> PaintedMask:
    parts = PurePosixPath(_stem(mask)).parts
    at = len(parts) - 2 - parts[-2::-1].index(MASKS)
    above, folders, stem = [*parts[:at], PICTURES], list(parts[at + 1 : -1]), parts[-1]

    def find(below: list[str], name: str) -> str:
        return by_stem.get("/".join([*above, *below, name]), "")

    numbered = _NUMBERED.fullmatch(stem)
    for name, is_one_object in ((stem, False), (numbered[1] if numbered else "", True)):
        if name and (picture := find(folders, name)):
            return PaintedMask(mask, picture, "", is_one_object)
        for place, class_name in enumerate(folders if name else []):
            if picture := find(folders[:place] + folders[place + 1 :], name):
                return PaintedMask(mask, picture, class_name, is_one_object)
    name = numbered[1] if numbered else ""
    for place in reversed([place for place, letter in enumerate(name) if letter == "_"]):
        if picture := find(folders, name[:place]):
            return PaintedMask(mask, picture, name[place + 1 :], is_one_object=True)
    only = by_folder.get("/".join(above), [])
    return PaintedMask(mask, only[0] if len(only) == 1 and above[:-1] else "", is_one_object=True)


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
