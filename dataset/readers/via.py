"""VGG Image Annotator, projects and JSON exports of versions 1 to 3. Its browser shows pictures upright."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dataset.coco.document import CocoFile, is_safe_name
from dataset.formats.collecting import Collector, Part
from dataset.formats.filled_shapes import draw_ellipse
from dataset.formats.picture_sizes import mask_decoder, upright_size
from dataset.formats.port import LabelReader, LabelSource, own_name
from dataset.formats.typed_json import as_dict, as_list, as_number, as_text
from dataset.pictures.sandbox import SandboxedDecoder
from maskloop.errors import DataError, MaskError
from maskloop.masks import Rle
from maskloop.wording import count

_FORMAT: Final = "VGG Image Annotator JSON"
_SHAPES: Final = ("", "point", "rect", "circle", "ellipse", "line", "polyline", "polygon", "rect", "circle")
"""Names of the numbers that version 3 writes; the last two were drawn by their outermost points."""
_CLASS_NAMES: Final = ("class", "label")
_ROUND: Final = ("circle", "ellipse")


@dataclass(frozen=True)
class _Region:
    """A region in the words of version 2.

    Attributes:
        shape: ``name`` and the numbers that belong to it.
        attributes: What people said about it.
        where: Its place.
    """

    shape: Mapping[str, Any]
    attributes: Mapping[str, Any]
    where: str


@dataclass(frozen=True)
class _Picture:
    """A picture's file and the regions in it."""

    name: str
    regions: Sequence[_Region] = field(default_factory=list)


def recognises(source: LabelSource) -> bool:
    """Tell whether a project or export is there."""
    return any(_is_via(source, name) for name in source.pick("json"))


def read(source: LabelSource) -> CocoFile:
    """Read the only project there is.

    Raises:
        DataError: if there is none, if there are several, or if it is unclear which attribute is the class.
    """
    files = [name for name in source.pick("json") if _is_via(source, name)]
    where = str(source.named)
    if len(files) != 1:
        what = "this is no project of the VGG Image Annotator"
        if files:
            what = f"the folder holds {len(files)} projects of the VGG Image Annotator"
        raise DataError(what, where=where, hint=f"name one of them: {', '.join(files[:5])}" if files else "")
    content = source.json(files[0])
    pictures = [*(_read_third(content) if _is_third(content) else _read_second(content))]
    attribute = _class_attribute(pictures, where)
    images_dir = source.find_pictures_dir(tuple(picture.name for picture in pictures), beside=files[0])
    collector = Collector(_FORMAT, "VGG Image Annotator")
    with mask_decoder() as decoder:
        for picture in pictures:
            _read_picture(picture, attribute, images_dir, decoder, collector)
    return collector.finish(source.stands_for(files[0]), images_dir)


READER: Final = LabelReader("via", _FORMAT, recognises, read)


def _is_via(source: LabelSource, name: str) -> bool:
    keys = (("_via_img_metadata",), ("filename", "regions"), ("metadata", "view", "file"))
    if not any(source.mentions(name, *each) for each in keys):
        return False
    content = source.peek_json(name)
    return isinstance(content, dict) and (_is_third(content) or any(True for _ in _entries(content)))


def _is_third(content: Mapping[str, Any]) -> bool:
    return all(isinstance(content.get(key), dict) for key in ("metadata", "view", "file"))


def _entries(content: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the pictures of a project or export of version 1 or 2, with their keys."""
    for key, entry in as_dict(content.get("_via_img_metadata", content)).items():
        if isinstance(as_dict(entry).get("filename"), str) and "regions" in entry:
            yield key, entry


def _read_second(content: Mapping[str, Any]) -> Iterator[_Picture]:
    """Read version 2, or 1, which numbers the regions instead of listing them."""
    for key, entry in _entries(content):
        listed = entry["regions"]
        regions = [*listed.values()] if isinstance(listed, dict) else as_list(listed)
        yield _Picture(
            _file_name(entry["filename"]),
            [
                _Region(
                    as_dict(as_dict(region).get("shape_attributes")),
                    as_dict(as_dict(region).get("region_attributes")),
                    f"{key}: region {number}",
                )
                for number, region in enumerate(regions)
            ],
        )


def _read_third(content: Mapping[str, Any]) -> Iterator[_Picture]:
    """Read version 3: regions name a view, views name files, attributes and their options have numbers."""
    regions: dict[str, list[_Region]] = {}
    for key, entry in content["metadata"].items():
        numbers = as_list(as_dict(entry).get("xy"))
        if numbers:
            told = dict(_named_attributes(as_dict(entry.get("av")), as_dict(content.get("attribute"))))
            region = _Region(_shape_of(numbers), told, f"/metadata/{key}")
            regions.setdefault(as_text(entry.get("vid")), []).append(region)
    for view_id, view in content["view"].items():
        for file_id in as_list(as_dict(view).get("fid_list")):
            file = as_dict(content["file"].get(as_text(file_id)))
            name = _file_name(as_text(file.get("src") or file.get("fname")))
            yield _Picture(name, regions.get(view_id, []))


def _named_attributes(values: Mapping[str, Any], attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        attribute = as_dict(attributes.get(key))
        options = as_dict(attribute.get("options"))
        yield as_text(attribute.get("aname")) or key, options.get(as_text(value), value)


def _shape_of(numbers: Sequence[Any]) -> dict[str, Any]:
    kind = numbers[0] if type(numbers[0]) is int and 0 < numbers[0] < len(_SHAPES) else 0
    name, rest = _SHAPES[kind], numbers[1:]
    keys = {"rect": "x y width height", "circle": "cx cy r", "ellipse": "cx cy rx ry"}.get(name, "").split()
    if name == "polygon":
        return {"name": name, "all_points_x": [*rest[0::2]], "all_points_y": [*rest[1::2]]}
    return {"name": name or f"shape number {numbers[0]!r}"} | dict(zip(keys, rest, strict=False))


def _file_name(told: str) -> str:
    """Return a name relative to the pictures' folder: of an address or an absolute path its last part."""
    return told if is_safe_name(told) and "://" not in told else own_name(told)


def _class_attribute(pictures: Sequence[_Picture], where: str) -> str:
    """Return the attribute that holds the class: the only one, or the one called so. Raises DataError."""
    regions = [region for picture in pictures for region in picture.regions]
    found = sorted({name for region in regions for name in region.attributes})
    named = [name for name in found if name.strip().lower() in _CLASS_NAMES]
    if len(found) == 1 or len(named) == 1:
        return (named or found)[0]
    if not found and regions:
        hint = "give every region an attribute with its class"
        raise DataError("no region says what it shows", where=where, hint=hint)
    if found:
        headline = f"regions have {count(len(found), 'attribute')}, and it is unclear which holds the class"
        hint = f'rename one of them to "class": {", ".join(found)}'
        raise DataError(headline, where=where, hint=hint)
    return ""


def _read_picture(
    picture: _Picture, attribute: str, images_dir: Any, decoder: SandboxedDecoder, collector: Collector
) -> None:
    parts: list[Part] = []
    where, size_hw = picture.name, None
    try:
        if any(region.shape.get("name") in _ROUND for region in picture.regions):
            if not is_safe_name(picture.name):
                raise MaskError("the picture's name leads out of its folder")
            size_hw = upright_size(images_dir / picture.name, decoder)
        for region in picture.regions:
            where = region.where
            parts.append(_part(region, attribute, size_hw))
    except DataError as error:
        collector.refuse(picture.name, "bad-shape", where, error.headline, error.hint)
        parts = []
    collector.add_picture(picture.name, size_hw, parts, frame="upright")


def _part(region: _Region, attribute: str, size_hw: tuple[int, int] | None) -> Part:
    value = region.attributes.get(attribute)
    if isinstance(value, dict):  # check boxes
        ticked = [name for name, is_ticked in value.items() if is_ticked is True]
        value = ticked[0] if len(ticked) == 1 else ""
    kind = as_text(region.shape.get("name")) or "shape of no kind"
    return Part(as_text(value).strip(), _draw(region.shape, kind, size_hw), region.where, kind=kind)


def _draw(
    shape: Mapping[str, Any], kind: str, size_hw: tuple[int, int] | None
) -> list[list[float]] | Rle | None:
    if kind == "polygon":
        xs, ys = as_list(shape.get("all_points_x")), as_list(shape.get("all_points_y"))
        if len(xs) != len(ys):
            raise MaskError(f"a polygon has {len(xs)} x and {len(ys)} y")
        return [[as_number(side) for point in zip(xs, ys, strict=True) for side in point]]
    if kind == "rect":
        x, y, width, height = (as_number(shape.get(key)) for key in ("x", "y", "width", "height"))
        return [[x, y, x + width, y, x + width, y + height, x, y + height]]
    if kind not in _ROUND or size_hw is None:
        return None
    radii = (shape.get("rx", shape.get("r")), shape.get("ry", shape.get("r")))
    return draw_ellipse(
        (as_number(shape.get("cx")), as_number(shape.get("cy"))),
        (as_number(radii[0]), as_number(radii[1])),
        *size_hw,
        turned_deg=math.degrees(as_number(shape.get("theta", 0))),
    )
