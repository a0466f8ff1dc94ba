"""CVAT for images 1.1, XML. The runs of a mask go row by row through a box of its own, unlike COCO's.

CVAT's other exports are read as what they are: COCO, YOLO, Datumaro, masks painted as pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element

import numpy as np

from dataset.coco.document import CocoFile, is_safe_name
from dataset.formats.collecting import Collector, Part, name_in_subset
from dataset.formats.filled_shapes import draw_ellipse
from dataset.formats.picture_sizes import mask_decoder, upright_size
from dataset.formats.port import LabelReader, LabelSource
from dataset.formats.xml_elements import read_children
from dataset.pictures.sandbox import SandboxedDecoder
from maskloop.errors import DataError, MaskError, PictureError
from maskloop.masks import MAX_AREA_PX, Rle, place_mask

_FORMAT: Final = "CVAT for images XML"
_DRAWN: Final = frozenset({"polygon", "mask", "ellipse"})
_WITHOUT_MASK: Final = frozenset({"box", "polyline", "points", "skeleton", "cuboid"})
_CROWD_ATTRIBUTES: Final = frozenset({"is_crowd", "iscrowd"})


def recognises(source: LabelSource) -> bool:
    """Tell whether CVAT's XML is there, of images or of a film."""
    return any(_is_cvat(source, name) for name in source.pick("xml"))


def read(source: LabelSource) -> CocoFile:
    """Read every CVAT file of a source; each may be of one task, or of a project with several subsets.

    Raises:
        DataError: if there is none, or if one is not well-formed or holds the tracks of a film.
    """
    files = [source.files[0]] if source.is_file else [n for n in source.pick("xml") if _is_cvat(source, n)]
    if not files:
        hint = 'in CVAT export "CVAT for images 1.1"'
        raise DataError("the folder holds no XML file of CVAT", where=str(source.named), hint=hint)
    usual = source.at("images") if source.at("images").is_dir() else source.root
    folder = source.images_dir or usual
    collector = Collector(_FORMAT, "CVAT")
    with mask_decoder() as decoder:
        for file in files:
            _File(source, file, folder, decoder, collector).read()
    names = collector.picture_names
    is_there = any(is_safe_name(name) and (folder / name).is_file() for name in names)
    images_dir = folder if is_there else source.find_pictures_dir(names, beside=files[0])
    return collector.finish(source.stands_for(files[0]), images_dir)


READER: Final = LabelReader("cvat", _FORMAT, recognises, read)


def _is_cvat(source: LabelSource, name: str) -> bool:
    start = source.start(name)
    return b"<annotations" in start and any(tag in start for tag in (b"<meta", b"<image ", b"<track "))


@dataclass
class _File:
    """Reads one file.

    Attributes:
        source: What holds it.
        name: Its own.
        folder: Where its pictures should be.
        decoder: For pictures whose size it does not tell.
        collector: Grows.
        origins: Task, annotator and time by a task's id; of a file with one task also by an empty id.
    """

    source: LabelSource
    name: str
    folder: Path
    decoder: SandboxedDecoder
    collector: Collector
    origins: dict[str, dict[str, str]] = field(default_factory=dict)

    def read(self) -> None:
        """Read it. Raises DataError."""
        place = self.source.place(self.name)
        for element in read_children(self.source.at(self.name), place=place):
            if element.tag == "meta":
                self.collector.declare_classes(_texts(element, ".//labels/label/name"))
                self.origins = _origins(element)
            elif element.tag == "track":
                hint = 'export "CVAT for images 1.1" instead, which has the shapes of each frame'
                raise DataError("the file holds the tracks of a film", where=str(place), hint=hint)
            elif element.tag == "image":
                self._read_image(element)

    def _read_image(self, image: Element) -> None:
        where = f"{self.name}: image {image.get('id', '?')}"
        name = name_in_subset(self.folder, image.get("subset", ""), image.get("name", "")) or where
        try:
            size_hw = self._size(image, name)
            shapes = [shape for shape in image if shape.get("outside") != "1"]
            parts = [self._part(shape, image, size_hw, where) for shape in shapes if shape.tag != "tag"]
        except (MaskError, PictureError) as error:
            self.collector.add_picture(name, None)
            self.collector.refuse(name, "bad-shape", where, error.headline, error.hint)
            return
        self.collector.add_picture(name, size_hw, parts, origin=self._origin(image))

    def _size(self, image: Element, name: str) -> tuple[int, int] | None:
        told = image.get("height", ""), image.get("width", "")
        if all(side.isdecimal() for side in told):
            return int(told[0]), int(told[1])
        if any(shape.tag in ("mask", "ellipse") for shape in image) and is_safe_name(name):
            return upright_size(self.folder / name, self.decoder)
        return None

    def _part(self, shape: Element, image: Element, size_hw: tuple[int, int] | None, where: str) -> Part:
        if shape.tag not in _DRAWN | _WITHOUT_MASK:
            raise MaskError(f"a shape is of a kind that is not known: {shape.tag}")
        group = shape.get("group_id", "")
        attributes = {one.get("name", "").lower(): one.text or "" for one in shape.iter("attribute")}
        return Part(
            shape.get("label", ""),
            _draw(shape, size_hw) if shape.tag in _DRAWN else None,
            f"{where}, {shape.tag} {shape.get('label', '')}",
            kind=shape.tag,
            is_crowd=any(attributes.get(key, "").lower() == "true" for key in _CROWD_ATTRIBUTES),
            object_key=group if group not in ("", "0") else None,
            origin=self._origin(image),
        )

    def _origin(self, image: Element) -> dict[str, str]:
        return self.origins.get(image.get("task_id", ""), self.origins.get("", {"tool": "CVAT"}))


def _texts(element: Element, path: str) -> list[str]:
    return [found.text for found in element.iterfind(path) if found.text]


def _origins(meta: Element) -> dict[str, dict[str, str]]:
    """Return where labels come from, by the task's id; the only task, or none, also stands for no id."""
    tasks = [*meta.iter("task")] or [*meta.iter("job")] or [meta]
    origins = {}
    for task in tasks:
        fields = {"task": "name", "annotator": "assignee/username", "time": "updated"}
        told = {key: task.findtext(path) or "" for key, path in fields.items()}
        key = task.findtext("id") or ""
        told["task"] = told["task"] or key
        origins[key] = {"tool": "CVAT"} | {name: text for name, text in told.items() if text}
    if len(tasks) == 1:
        origins[""] = next(iter(origins.values()))
    return origins


def _draw(shape: Element, size_hw: tuple[int, int] | None) -> list[list[float]] | Rle:
    if shape.tag == "polygon":
        return [[side for point in shape.get("points", "").split(";") for side in _numbers(point, count=2)]]
    if size_hw is None:
        raise MaskError("the picture's size is not told, so its masks cannot be placed")
    if shape.tag == "mask":
        return _place_runs(shape, *size_hw)
    centre_x, centre_y, radius_x, radius_y, turned = (
        _numbers(shape.get(key, "0"), count=1)[0] for key in ("cx", "cy", "rx", "ry", "rotation")
    )
    return draw_ellipse((centre_x, centre_y), (radius_x, radius_y), *size_hw, turned_deg=turned)


def _place_runs(mask: Element, height_px: int, width_px: int) -> Rle:
    left, top, width, height = (
        _whole_numbers(mask.get(k, ""))[0] for k in ("left", "top", "width", "height")
    )
    return place_runs(_whole_numbers(mask.get("rle", "")), (left, top, width, height), height_px, width_px)


def place_runs(runs: Sequence[int], box: tuple[int, int, int, int], height_px: int, width_px: int) -> Rle:
    """Draw runs that go row by row through a box of a picture, the first of them background.

    Args:
        runs: Their lengths in px.
        box: Left, top, width and height in px.
        height_px: Of the picture.
        width_px: Of the picture.

    Raises:
        MaskError: if the runs do not fill the box, or the box does not lie in the picture.
    """
    left, top, width, height = box
    if min(width, height) < 1 or width * height > MAX_AREA_PX:
        raise MaskError(f"a mask's box has the size {width} x {height} px")
    if not runs or min(runs) < 0 or sum(runs) != width * height:
        raise MaskError(f"a mask's runs do not add up to the {width * height} px of its box")
    pixels_hw = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return place_mask(pixels_hw, left_px=left, top_px=top, height_px=height_px, width_px=width_px)


def _numbers(text: str, *, count: int) -> list[float]:
    try:
        numbers = [float(each) for each in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise MaskError(f"a shape holds {text[:40]!r}, where {count} numbers are expected")
    return numbers


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(each) for each in text.split(",")]
    except ValueError as error:
        raise MaskError(f"a shape holds {text[:40]!r}, where whole numbers are expected") from error
