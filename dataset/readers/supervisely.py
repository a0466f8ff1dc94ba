"""Supervisely's projects: meta.json, and for each picture of a dataset ann/PICTURE.json beside img/.

A bitmap is a PNG with the place of its upper left pixel. A polygon's points are pixels, and those on its
outline belong to it, or, for a hole, to the hole.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataset.coco.document import CocoFile
from dataset.formats.collecting import Collector, Part, name_in_subset
from dataset.formats.filled_shapes import draw_closed
from dataset.formats.picture_sizes import mask_decoder
from dataset.formats.port import LabelReader, LabelSource
from dataset.formats.typed_json import as_dict, as_list, as_number, as_side, as_text
from dataset.pictures.sandbox import SandboxedDecoder
from maskloop.errors import DataError, MaskError
from maskloop.masks import Rle, place_mask, unite_masks

_FORMAT: Final = "Supervisely"
_META: Final = "meta.json"
_LAYOUT_HINT: Final = "export the project with its pictures; expected are meta.json, and ann/ beside img/"
_MAX_PNG_BYTES: Final = 2**26


def recognises(source: LabelSource) -> bool:
    """Tell whether a project lies there."""
    return _find_meta(source) is not None and any(_is_annotation(name) for name in source.files)


def read(source: LabelSource) -> CocoFile:
    """Read all datasets of a project. Raises DataError if there is none."""
    meta, files = _find_meta(source), [name for name in source.files if _is_annotation(name)]
    if meta is None or not files:
        raise DataError("this is no project of Supervisely", where=str(source.named), hint=_LAYOUT_HINT)
    collector = Collector(_FORMAT, _FORMAT)
    collector.declare_classes(as_text(as_dict(one).get("title")) for one in source.json(meta)["classes"])
    with mask_decoder() as decoder:
        for file in files:
            _File(source, file, decoder, collector).read()
    return collector.finish(source.stands_for(meta), source.images_dir or source.root)


READER: Final = LabelReader("supervisely", _FORMAT, recognises, read)


def _find_meta(source: LabelSource) -> str | None:
    for name in source.files:
        if PurePosixPath(name).name == _META and name.count("/") < 2:
            classes = as_list(as_dict(source.peek_json(name)).get("classes"))
            if classes and all("title" in as_dict(one) for one in classes):
                return name
    return None


def _is_annotation(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() == ".json" and path.parent.name == "ann"


@dataclass(frozen=True)
class _File:
    """Reads the labels of one picture.

    Attributes:
        source: The project.
        name: The file's.
        decoder: For bitmaps.
        collector: Grows.
    """

    source: LabelSource
    name: str
    decoder: SandboxedDecoder
    collector: Collector

    def read(self) -> None:
        """Read it; what is wrong with it costs the picture."""
        path = PurePosixPath(self.name)
        picture = str(path.parent.parent / "img" / path.stem)
        if self.source.images_dir:
            picture = name_in_subset(self.source.images_dir, str(path.parent.parent), path.stem)
        parts: list[Part] = []
        size_hw = None
        try:
            content = as_dict(self.source.json(self.name))
            size = as_dict(content.get("size"))
            size_hw = as_side(size.get("height")), as_side(size.get("width"))
            if 0 in size_hw:
                raise DataError("the size of the picture is missing", hint=_LAYOUT_HINT)
            for number, label in enumerate(as_list(content.get("objects"))):
                parts.append(self._part(as_dict(label), size_hw, f"{self.name}: /objects/{number}"))
        except DataError as error:
            self.collector.refuse(picture, "bad-shape", error.where or self.name, error.headline, error.hint)
            parts, size_hw = [], None
        self.collector.add_picture(picture, size_hw, parts)

    def _part(self, label: Mapping[str, Any], size_hw: tuple[int, int], where: str) -> Part:
        kind = as_text(label.get("geometryType") or label.get("shape")) or "shape of no kind"
        times = (as_text(label.get(key)) for key in ("updatedAt", "createdAt"))
        told = {
            "tool": _FORMAT,
            "task": str(PurePosixPath(self.name).parent.parent),
            "annotator": as_text(label.get("labelerLogin")),
            "time": next(filter(None, times), ""),
        }
        return Part(
            as_text(label.get("classTitle")),
            self._draw(label, kind, size_hw),
            where,
            kind=kind,
            object_key=as_text(label.get("instance")) or None,
            origin={key: value for key, value in told.items() if value},
        )

    def _draw(self, label: Mapping[str, Any], kind: str, size_hw: tuple[int, int]) -> Rle | None:
        if kind == "bitmap":
            return self._place_bitmap(as_dict(label.get("bitmap")), size_hw)
        if kind == "polygon":
            return _draw_polygon(as_dict(label.get("points")), size_hw)
        if kind == "multipolygon":
            parts = [_draw_polygon(as_dict(part), size_hw) for part in as_list(label.get("parts"))]
            return unite_masks(parts) if parts else None
        return None

    def _place_bitmap(self, bitmap: Mapping[str, Any], size_hw: tuple[int, int]) -> Rle:
        origin = as_list(bitmap.get("origin"))
        if len(origin) != 2 or not all(type(side) is int for side in origin):
            raise MaskError(f"a bitmap's origin is {origin!r}")
        pixels_hw = np.any(self.decoder.open(_unpack(as_text(bitmap.get("data")))).pixels, axis=2)
        height, width = size_hw
        return place_mask(pixels_hw, left_px=origin[0], top_px=origin[1], height_px=height, width_px=width)


def _draw_polygon(points: Mapping[str, Any], size_hw: tuple[int, int]) -> Rle:
    outline, *holes = (_corners(each) for each in (points.get("exterior"), *as_list(points.get("interior"))))
    return draw_closed(outline, holes, *size_hw)


def _corners(points: Any) -> NDArray[np.float64]:
    pairs = [as_list(point) for point in as_list(points)]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise MaskError("an outline is no list of points")
    return np.array([[as_number(side) for side in pair] for pair in pairs], dtype=np.float64)


def _unpack(text: str) -> bytes:
    """Return the PNG in a bitmap's text, which may also be compressed a second time."""
    try:
        data = base64.b64decode(text, validate=True)
        return data if data.startswith(b"\x89PNG") else zlib.decompressobj().decompress(data, _MAX_PNG_BYTES)
    except (ValueError, zlib.error) as error:
        raise MaskError(f"a bitmap's text cannot be read: {error}") from error
