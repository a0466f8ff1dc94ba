"""Masks painted as pictures: a number for each object, or a file for each object.

Which objects a mask shows is told by its numbers or by its file, never by looking for connected regions: two
objects that touch would become one. Masks that hold a class for each pixel are therefore refused.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dataset.coco.document import CocoFile
from dataset.formats.collecting import Collector, Part
from dataset.formats.picture_sizes import mask_decoder
from dataset.formats.port import LabelReader, LabelSource, is_called_picture
from dataset.painted.layout import (
    MASKS,
    PICTURES,
    PaintedMask,
    keys_of,
    lies_in,
    match_masks,
    split_numbers,
)
from dataset.painted.voc import has_voc_masks, read_voc_masks
from dataset.pictures.sandbox import SandboxedDecoder
from maskloop.errors import DataError, MaskError, PictureError
from maskloop.masks import Rle

_FORMAT: Final = "masks painted as pictures"
_LAYOUT_HINT: Final = (
    "expected are pictures in images/ and either masks/NAME.png with a number for each object, 0 for none, "
    'whose classes stand in classes.json as {"NAME": {"1": "nut", "2": "bolt"}} or in classes.csv with the '
    "columns picture, number and class; or masks/CLASS/NAME.png; or a file for each object, "
    "masks/NAME_CLASS_1.png or masks/CLASS/NAME_1.png"
)
_SEMANTIC_HINT: Final = (
    "give each object a number of its own; regions that are not connected are not taken for objects, because "
    "objects that touch would become one"
)
_CITYSCAPES_HINT: Final = (
    "in *_instanceIds.png a number of 1000 or more is 1000 times the class plus the object: number objects "
    'anew in masks/NAME.png beside images/, with their classes in classes.json, {"NAME": {"1": "car"}}; or '
    "export COCO with RLE"
)
_OTHERS: Final = {
    "SegmentationClass/": "Pascal VOC's masks of classes without those of objects",
    "_instanceIds.png": "masks in the layout of Cityscapes",
    "_masks.png": "masks in the layout of Cellpose",
    "_masks.tif": "masks in the layout of Cellpose",
}
_CLASS_FILES: Final = ("classes.json", "classes.csv")
_VOID: Final = 255
_WHITES: Final = frozenset({0xFF, 0xFFFF, 0xFFFFFF})
_ANY: Final = "*"
_MAX_FILE_BYTES: Final = 256 * 2**20

Classes = Mapping[str, str | Mapping[int, str]]
"""By a picture's name or ``*``: the class of all its objects, or that of each number."""


def recognises(source: LabelSource) -> bool:
    """Tell whether masks lie there as pictures, in a layout that is read or in one known by name."""
    if source.is_file or any(
        name.endswith(".json") and name not in _CLASS_FILES for name in source.pick("json")
    ):
        return False
    if has_voc_masks(source) or _other_layout(source):
        return True
    masks, pictures = _list_files(source)
    return bool(masks and pictures)


def read(source: LabelSource) -> CocoFile:
    """Read a folder.

    Raises:
        DataError: if the layout is another, or each pixel has a class instead of an object.
    """
    if has_voc_masks(source):
        collector = Collector(_FORMAT)
        with mask_decoder() as decoder:
            return read_voc_masks(source, decoder, collector)
    masks, pictures = _list_files(source)
    if not masks or not pictures:
        other = _other_layout(source)
        what = f"{other} are not read" if other else "there are no masks beside pictures"
        hint = _CITYSCAPES_HINT if "Cityscapes" in other else _LAYOUT_HINT
        raise DataError(what, where=str(source.named), hint=hint)
    by_picture: dict[str, list[PaintedMask]] = defaultdict(list)
    for mask in match_masks(masks, pictures):
        by_picture[mask.picture].append(mask)
    collector = Collector(_FORMAT)
    with mask_decoder() as decoder:
        reading = _Reading(source, decoder, _read_classes(source), collector)
        for picture in pictures:
            name = picture.removeprefix(f"{PICTURES}/") if source.images_dir else picture
            reading.read_picture(name, [replace(mask, picture=name) for mask in by_picture[picture]])
    reading.tell_of_semantic()
    collector.tell_of_unlabelled(reading.without_mask, "a mask")
    for mask in by_picture.get("", []):
        message = "no picture belongs to this mask"
        collector.refuse(mask.file, "picture-missing", mask.file, message, _LAYOUT_HINT)
    return collector.finish(source.stands_for(masks[0]), source.images_dir or source.root)


READER: Final = LabelReader("masks", _FORMAT, recognises, read)


@dataclass
class _Reading:
    """Reads pictures one by one.

    Attributes:
        source: The folder.
        decoder: For the masks.
        classes: As a file beside the folders has them.
        collector: Grows.
        without_mask: Pictures that have none.
        scattered: Masks of one number in several regions.
        has_numbers: Some mask has two numbers, so numbers do mean objects.
    """

    source: LabelSource
    decoder: SandboxedDecoder
    classes: Classes
    collector: Collector
    without_mask: list[str] = field(default_factory=list)
    scattered: list[str] = field(default_factory=list)
    has_numbers: bool = False

    def read_picture(self, picture: str, masks: list[PaintedMask]) -> None:
        """Read a picture's masks; what is wrong with one costs the picture."""
        sizes: set[tuple[int, int]] = set()
        parts: list[Part] = []
        for mask in masks:
            try:
                values = self._open(mask)
                sizes.add((values.shape[0], values.shape[1]))
                parts += self._parts(mask, values)
            except (MaskError, PictureError) as error:
                self.collector.refuse(picture, "bad-mask", mask.file, error.headline, error.hint)
        if len(sizes) > 1:
            message = "the picture's masks differ in size"
            self.collector.refuse(picture, "bad-mask", masks[0].file, message)
            parts = []
        if not masks:
            self.without_mask.append(picture)
        self.collector.add_picture(picture, sizes.pop() if len(sizes) == 1 else None, parts)

    def tell_of_semantic(self) -> None:
        """Refuse the batch if no number stands for an object."""
        if self.scattered and not self.has_numbers:
            message = (
                "every mask holds one number, in several regions: that is a class for each pixel, no objects"
            )
            self.collector.refuse("", "masks-semantic", self.scattered[0], message, _SEMANTIC_HINT)

    def _open(self, mask: PaintedMask) -> NDArray[np.uint32]:
        path = self.source.at(mask.file)
        try:
            if path.stat().st_size > _MAX_FILE_BYTES:
                raise PictureError("the mask's file is too large")
            data = path.read_bytes()
        except OSError as error:
            raise PictureError(f"the mask cannot be read: {error.strerror}") from error
        if data.startswith(b"\xff\xd8"):
            raise PictureError("the mask is a JPEG, which changes numbers", hint="save masks as PNG or TIFF")
        return self.decoder.open_values(data)

    def _parts(self, mask: PaintedMask, values: NDArray[np.uint32]) -> list[Part]:
        objects = split_numbers(values)
        if not objects:
            return []
        told = next((self.classes[key] for key in (*keys_of(mask.picture), _ANY) if key in self.classes), "")
        if mask.is_one_object:
            if len(objects) > 1:
                raise MaskError(
                    f"the mask of one object holds {len(objects)} numbers beside 0", hint=_LAYOUT_HINT
                )
            name = mask.class_name or (told if isinstance(told, str) else "")
            return [Part(_named(name), rle, mask.file) for rle in objects.values()]
        if not mask.class_name and not isinstance(told, str):
            return [
                Part(told[number], rle, f"{mask.file}: {number}")
                for number, rle in objects.items()
                if self._is_named(number, told, mask)
            ]
        self._look_for_semantic(mask, values, objects)
        name, void = _named(mask.class_name or str(told)), _void_of(objects)
        return [
            Part(name, rle, f"{mask.file}: {number}", is_crowd=number == void)
            for number, rle in objects.items()
        ]

    def _is_named(self, number: int, names: Mapping[int, str], mask: PaintedMask) -> bool:
        if number in names:
            return True
        if number != _VOID:
            hint = f"it has classes for {', '.join(map(str, sorted(names))) or 'none'}"
            raise MaskError(f"number {number} has no class in the file of classes", hint=hint)
        message = "255 without a class marks pixels that nobody decided on; they were read as background"
        hint = "give 255 a class, and paint with other numbers where objects are"
        self.collector.tell("warning", "void-as-background", mask.file, message, hint, example=mask.picture)
        return False

    def _look_for_semantic(
        self, mask: PaintedMask, values: NDArray[np.uint32], objects: Mapping[int, Rle]
    ) -> None:
        if len(objects) == 1 and _WHITES.issuperset(objects):
            message = "the mask is black and white: it does not tell one object from another"
            raise MaskError(message, hint=f"{_SEMANTIC_HINT}; {_LAYOUT_HINT}")
        self.has_numbers |= len(objects) > 1
        if len(objects) == 1 and ndimage.label(values, np.ones((3, 3)))[1] > 1:
            self.scattered.append(mask.file)


def _list_files(source: LabelSource) -> tuple[list[str], list[str]]:
    """Return masks and pictures; pictures of a folder that a person said as if it were `images`."""
    files = [name for name in source.files if is_called_picture(name)]
    masks = [name for name in files if lies_in(name, MASKS)]
    if source.images_dir:
        elsewhere = LabelSource(source.images_dir).files
        return masks, [f"{PICTURES}/{name}" for name in elsewhere if is_called_picture(name)]
    return masks, [name for name in files if lies_in(name, PICTURES) and not lies_in(name, MASKS)]


def _other_layout(source: LabelSource) -> str:
    known = (said for name in source.files for sign, said in _OTHERS.items() if sign in name)
    return next(known, "")


def _void_of(objects: Mapping[int, Any]) -> int | None:
    """Return 255 if it means undecided pixels: where objects are counted, 254 comes before it."""
    return _VOID if max(objects) == _VOID and _VOID - 1 not in objects else None


def _named(name: str) -> str:
    if not name:
        raise MaskError("nothing names the class of the mask's objects", hint=_LAYOUT_HINT)
    return name


def _read_classes(source: LabelSource) -> Classes:
    """Read the file of classes, if there is one. Raises DataError."""
    if "classes.json" in source.files:
        return _check_classes(source.json("classes.json"), str(source.place("classes.json")))
    if "classes.csv" not in source.files:
        return {}
    where = str(source.place("classes.csv"))
    by_picture: dict[str, dict[str, str]] = defaultdict(dict)
    for row in csv.DictReader(io.StringIO(source.text("classes.csv")), skipinitialspace=True):
        fields = {(key or "").strip().lower(): value for key, value in row.items()}
        if not all(isinstance(fields.get(key), str) for key in ("picture", "number", "class")):
            raise DataError("classes.csv lacks a column", where=where, hint=_LAYOUT_HINT)
        by_picture[fields["picture"]][fields["number"]] = fields["class"]
    return _check_classes(dict(by_picture), where)


def _check_classes(content: Any, where: str) -> Classes:
    entries = content if isinstance(content, dict) else {}
    if entries and all(key.isdecimal() and isinstance(name, str) for key, name in entries.items()):
        message = "the file gives each number a class for all pictures: such masks hold no single objects"
        raise DataError(message, where=where, hint=_SEMANTIC_HINT)
    classes: dict[str, str | dict[int, str]] = {}
    for picture, told in entries.items():
        if isinstance(told, dict) and picture != _ANY:
            if not all(key.strip().isdecimal() and isinstance(name, str) for key, name in told.items()):
                break
            classes[picture] = {int(key): name for key, name in told.items()}
        elif isinstance(told, str):
            classes[picture] = told
        else:
            break
    else:
        if entries:
            return classes
    raise DataError("the file of classes is not of the expected form", where=where, hint=_LAYOUT_HINT)
