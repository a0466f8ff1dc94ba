"""Pascal VOC's masks, also CVAT's "Segmentation mask": a colour for each object, another for its class.

``SegmentationObject/NAME.png`` and ``SegmentationClass/NAME.png`` belong together; ``labelmap.txt`` names the
class of each colour. The pictures lie in ``JPEGImages``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.coco.document import CocoFile
from dataset.formats.collecting import Collector, Part
from dataset.formats.port import LabelSource, is_called_picture
from dataset.painted.layout import lies_in, split_numbers
from dataset.pictures.decoding import values_of
from dataset.pictures.sandbox import SandboxedDecoder
from maskloop.errors import DataError, MaskError, PictureError
from maskloop.masks import decode_masks

_OBJECTS, _CLASSES = "SegmentationObject", "SegmentationClass"
_LABEL_MAP: Final = "labelmap.txt"
_VOID: Final = 0xE0E0C0
"""The colour of pixels that nobody decided on."""
_MAX_FILE_BYTES: Final = 256 * 2**20
_LAYOUT_HINT: Final = (
    f"expected are {_OBJECTS}/NAME.png, {_CLASSES}/NAME.png, JPEGImages/NAME.jpg and {_LABEL_MAP} with lines "
    "such as nut:128,0,0::"
)


def has_voc_masks(source: LabelSource) -> bool:
    """Tell whether masks of objects lie there in the layout of Pascal VOC."""
    return any(lies_in(name, _OBJECTS) and is_called_picture(name) for name in source.files)


def read_voc_masks(source: LabelSource, decoder: SandboxedDecoder, collector: Collector) -> CocoFile:
    """Read all masks of a folder.

    Raises:
        DataError: if nothing names the colours' classes, or there are no pictures.
    """
    label_map = next((name for name in source.files if PurePosixPath(name).name == _LABEL_MAP), "")
    classes = _read_label_map(source.text(label_map)) if label_map else {}
    pictures = _pictures_by_key(source)
    if not classes or not pictures:
        missing = "the pictures" if classes else f"{_LABEL_MAP} with the names of the classes"
        raise DataError(f"masks are there, but not {missing}", where=str(source.named), hint=_LAYOUT_HINT)
    collector.declare_classes(name for colour, name in classes.items() if colour)
    masks = {_key(name, _OBJECTS): name for name in source.files if lies_in(name, _OBJECTS)}
    reading = _Reading(source, decoder, classes, collector)
    for key, picture in pictures.items():
        reading.read_picture(picture, masks.get(key, ""))
    collector.tell_of_unlabelled([file for key, file in pictures.items() if key not in masks], "a mask")
    for key in sorted(masks.keys() - pictures.keys()):
        message = "no picture belongs to this mask"
        collector.refuse(masks[key], "picture-missing", masks[key], message, _LAYOUT_HINT)
    return collector.finish(source.stands_for(label_map), source.images_dir or source.root)


@dataclass(frozen=True)
class _Reading:
    """Reads pictures one by one.

    Attributes:
        source: The folder.
        decoder: For the masks.
        classes: Names by colour, 0xRRGGBB.
        collector: Grows.
    """

    source: LabelSource
    decoder: SandboxedDecoder
    classes: Mapping[int, str]
    collector: Collector

    def read_picture(self, picture: str, mask: str) -> None:
        """Read a picture's masks; what is wrong with one costs the picture."""
        parts: list[Part] = []
        size_hw = None
        try:
            if mask:
                colours = self._open(mask)
                size_hw = (colours.shape[0], colours.shape[1])
                parts = self._parts(mask, colours, self._open(mask.replace(_OBJECTS, _CLASSES)), picture)
        except (MaskError, PictureError) as error:
            self.collector.refuse(picture, "bad-mask", mask, error.headline, error.hint)
        self.collector.add_picture(picture, size_hw, parts)

    def _parts(
        self, mask: str, objects: NDArray[np.uint32], classes: NDArray[np.uint32], picture: str
    ) -> list[Part]:
        if objects.shape != classes.shape:
            raise MaskError(f"the masks in {_OBJECTS} and {_CLASSES} differ in size")
        parts = []
        for colour, rle in split_numbers(objects).items():
            if colour == _VOID:
                message = "pixels that nobody decided on were read as background"
                self.collector.tell("info", "void-as-background", mask, message, example=picture)
                continue
            found = np.setdiff1d(classes[decode_masks([rle])[0]], [0, _VOID])
            if len(found) != 1 or int(found[0]) not in self.classes:
                told = " and ".join(map(_rgb, found)) or "none"
                message = f"the object with the colour {_rgb(colour)} has in {_CLASSES} the colours {told}"
                raise MaskError(message, hint=f"it needs one, and {_LABEL_MAP} has to name its class")
            parts.append(Part(self.classes[int(found[0])], rle, f"{mask}: {_rgb(colour)}"))
        return parts

    def _open(self, file: str) -> NDArray[np.uint32]:
        path = self.source.at(file)
        try:
            if path.stat().st_size > _MAX_FILE_BYTES:
                raise PictureError("the mask's file is too large")
            return values_of(self.decoder.open(path.read_bytes(), apply_orientation=False).pixels)
        except OSError as error:
            raise PictureError(f"{file} cannot be read: {error.strerror}") from error


def _rgb(colour: int) -> str:
    return ",".join(str(int(colour) >> shift & 0xFF) for shift in (16, 8, 0))


def _read_label_map(text: str) -> dict[int, str]:
    """Return names by colour; where a line has none, it is that of its place in VOC's own order.

    >>> _read_label_map("# label:color_rgb:parts:actions\\nbackground:::\\nnut:::\\nbolt:0,0,255::")
    {0: 'background', 8388608: 'nut', 255: 'bolt'}
    """
    classes: dict[int, str] = {}
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for number, line in enumerate(lines):
        name, _, rest = line.partition(":")
        sides = rest.partition(":")[0].split(",")
        colour = _voc_colour(number)
        if len(sides) == 3 and all(side.strip().isdecimal() for side in sides):
            colour = sum(int(side) << shift for side, shift in zip(sides, (16, 8, 0), strict=True))
        classes[colour] = name.strip()
    return classes


def _voc_colour(number: int) -> int:
    """Return VOC's colour of a class: three bits at a time fill red, green and blue from above."""
    colour = 0
    for level in range(8):
        for channel in range(3):
            colour |= (number >> (3 * level + channel) & 1) << (23 - 8 * channel - level)
    return colour


def _key(name: str, folder: str) -> str:
    """Return a file's path below a folder, if one is given, without the ending.

    >>> _key("JPEGImages/a/b.jpg", "JPEGImages"), _key("a/b.jpg", "")
    ('a/b', 'a/b')
    """
    return str(PurePosixPath(name.rpartition(f"{folder}/")[2] if folder else name).with_suffix(""))


def _pictures_by_key(source: LabelSource) -> dict[str, str]:
    files = LabelSource(source.images_dir).files if source.images_dir else source.files
    pictures = [
        name
        for name in files
        if is_called_picture(name) and not lies_in(name, _OBJECTS) and not lies_in(name, _CLASSES)
    ]
    usual = ("JPEGImages", "images")
    folder = next((each for each in usual if any(lies_in(name, each) for name in pictures)), "")
    return {_key(name, folder): name for name in pictures if not folder or lies_in(name, folder)}
