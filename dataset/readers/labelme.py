"""labelme: one JSON file a picture, with polygons, masks and other shapes. It shows pictures upright.

A mask's corners are both inside it, and its PNG holds the pixels between them, 0 and 1. Shapes of one
picture, label and group are parts of one object.
"""

from __future__ import annotations

import binascii
import posixpath
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from math import dist
from pathlib import Path, PurePosixPath
from typing import Any, Final

from dataset.coco.document import CocoFile, is_safe_name
from dataset.formats.collecting import Collector, Part
from dataset.formats.filled_shapes import draw_ellipse
from dataset.formats.picture_sizes import mask_decoder, upright_size
from dataset.formats.port import MAX_FILES, LabelReader, LabelSource, is_called_picture, own_name
from dataset.formats.typed_json import as_dict, as_list, as_number, as_side, as_text
from dataset.pictures.sandbox import SandboxedDecoder
from maskloop.errors import DataError, MaskError, MaskloopError, PictureError
from maskloop.files import storage_error
from maskloop.masks import Rle, place_mask
from maskloop.wording import count

_TOOL: Final = "labelme"
_FORMAT: Final = "labelme JSON"
_NOT_OBJECTS: Final = frozenset({"__ignore__", "_background_"})
_CROWD_FLAGS: Final = frozenset({"crowd", "is_crowd", "iscrowd"})
_BOXES: Final = frozenset({"rectangle", "oriented_rectangle"})


def recognises(source: LabelSource) -> bool:
    """Tell whether labelme's files are there."""
    return any(_is_labelme(source, name) for name in source.pick("json"))


def read(source: LabelSource) -> CocoFile:
    """Read every file of a folder. One that cannot be read costs its picture.

    Raises:
        DataError: if there is none.
    """
    collector = Collector(_FORMAT, _TOOL)
    pages = [*_read_pages(source, collector)]
    if not pages:
        hint = "name the folder of labelme's JSON files, or leave --format out"
        raise DataError("there is no file of labelme", where=str(source.named), hint=hint)
    names, images_dir = source.choose_names(_ways_to_name(pages), beside=pages[0].file)
    with mask_decoder() as decoder:
        images_dir = _place_pictures(source, pages, names, images_dir, collector)
        for name, page in zip(names, pages, strict=True):
            _read_page(name, page, images_dir, decoder, collector)
    return collector.finish(source.stands_for(pages[0].file) if source.is_file else source.named, images_dir)


READER: Final = LabelReader("labelme", _FORMAT, recognises, read)


@dataclass(frozen=True)
class _Page:
    """One JSON file without its picture, which may be large.

    Attributes:
        file: Its name.
        picture: The path of its picture, as it says.
        size_hw: Height and width in px; (0, 0) if it does not say.
        shapes: As they stand in it.
        has_picture: It holds the picture too.
        tool: labelme with its version.
    """

    file: str
    picture: str
    size_hw: tuple[int, int]
    shapes: Sequence[Mapping[str, Any]]
    has_picture: bool
    tool: str


def _read_pages(source: LabelSource, collector: Collector) -> Iterator[_Page]:
    for file in source.pick("json", depth=MAX_FILES, limit=MAX_FILES):
        try:
            content = source.json(file)
        except MaskloopError as error:
            picture = _picture_beside(source, file)
            if picture != file or source.mentions(file, "shapes"):
                hint = "save it again in labelme, or remove it with its picture"
                collector.refuse(picture, "labels-unreadable", file, error.headline, hint)
            continue
        if _is_page(content):
            size_hw = as_side(content.get("imageHeight")), as_side(content.get("imageWidth"))
            shapes = [as_dict(shape) for shape in content["shapes"]]
            has_picture = bool(as_text(content.get("imageData")))
            picture = as_text(content["imagePath"]) or file
            tool = f"{_TOOL} {as_text(content.get('version'))}".strip()
            yield _Page(file, picture, size_hw if all(size_hw) else (0, 0), shapes, has_picture, tool)


def _is_labelme(source: LabelSource, name: str) -> bool:
    return source.mentions(name, "shapes", "imagePath") and _is_page(source.peek_json(name))


def _is_page(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def _picture_beside(source: LabelSource, file: str) -> str:
    """Return the picture called like a file, or the file's name if there is none."""
    stem = str(PurePosixPath(file).with_suffix(""))
    alike = (each for each in source.root.glob(f"{escape(stem)}.*") if is_called_picture(each.name))
    return next((each.relative_to(source.root).as_posix() for each in alike), file)


def _ways_to_name(pages: Sequence[_Page]) -> list[list[str]]:
    """Return the names that pictures may have: as the file says, beside the file, and without a folder."""
    said = [posixpath.normpath(posixpath.join(_folder(page), page.picture)) for page in pages]
    beside = [posixpath.join(_folder(page), own_name(page.picture)) for page in pages]
    return [beside, said, [own_name(page.picture) for page in pages]]


def _folder(page: _Page) -> str:
    return posixpath.dirname(page.file)


def _place_pictures(
    source: LabelSource, pages: Sequence[_Page], names: Sequence[str], images_dir: Path, collector: Collector
) -> Path:
    """Return a folder with all pictures: those that are only in the labels' files are written to a new one.

    Raises:
        StorageError: if the disk is full.
    """
    safe = [(name, page) for name, page in zip(names, pages, strict=True) if is_safe_name(name)]
    lacking = [page.file for name, page in safe if page.has_picture and not (images_dir / name).is_file()]
    if not lacking or source.scratch is None:
        return images_dir
    for name, page in safe:
        target = source.scratch / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if (images_dir / name).is_file():
                target.symlink_to((images_dir / name).resolve())
            elif page.has_picture:
                target.write_bytes(b64decode(source.json(page.file)["imageData"]))
        except (FileExistsError, binascii.Error, MaskloopError):  # listed twice, or no picture: told later
            continue
        except OSError as error:
            raise storage_error(error, target) from error
    message = f"{count(len(lacking), 'picture')} taken from imageData, because the file is not there"
    hint = "it was stored again by labelme: name the folder of the originals with --images"
    collector.tell("warning", "picture-from-labels", lacking[0], message, hint)
    return source.scratch


def _read_page(
    name: str, page: _Page, images_dir: Path, decoder: SandboxedDecoder, collector: Collector
) -> None:
    size_hw, parts = page.size_hw, []
    try:
        if not all(size_hw) and page.shapes and is_safe_name(name):
            size_hw = upright_size(images_dir / name, decoder)
    except PictureError:  # the validation says so
        size_hw = (0, 0)
    for number, shape in enumerate(page.shapes):
        where = f"{page.file}, shape {number}"
        label = as_text(shape.get("label"))
        if label in _NOT_OBJECTS:
            message = f"shapes called {' or '.join(sorted(_NOT_OBJECTS))} are no objects; they were left out"
            collector.tell("warning", "not-an-object", where, message, example=name)
            continue
        try:
            parts.append(_part(label, shape, where, size_hw, decoder, page.tool))
        except (MaskError, PictureError) as error:
            collector.refuse(name, "bad-shape", where, error.headline, error.hint)
        if shape.get("shape_type") in _BOXES:
            message = "a rectangle was taken for an object's outline"
            hint = "fine if the objects are rectangles; otherwise outline them"
            collector.tell("info", "box-as-outline", where, message, hint, example=name)
    collector.add_picture(
        name, size_hw if all(size_hw) else None, parts, frame="upright", origin={"tool": page.tool}
    )


def _part(
    label: str,
    shape: Mapping[str, Any],
    where: str,
    size_hw: tuple[int, int],
    decoder: SandboxedDecoder,
    tool: str,
) -> Part:
    if not label:
        raise MaskError("the shape has no label", hint="give it one in labelme, or remove it")
    kind = as_text(shape.get("shape_type")) or "polygon"
    flags = as_dict(shape.get("flags"))
    return Part(
        label,
        _outline(kind, shape, size_hw, decoder),
        where,
        kind,
        is_crowd=any(flags.get(name) is True for name in _CROWD_FLAGS),
        object_key=as_text(shape.get("group_id")) or None,
        origin={"tool": tool},
    )


def _outline(
    kind: str, shape: Mapping[str, Any], size_hw: tuple[int, int], decoder: SandboxedDecoder
) -> Sequence[Sequence[float]] | Rle | None:
    points = [_point(point) for point in as_list(shape.get("points"))]
    if kind == "mask":
        return _mask(points, as_text(shape.get("mask")), size_hw, decoder)
    if kind == "circle" and len(points) == 2:
        radius = dist(*points)
        return draw_ellipse(points[0], (radius, radius), *size_hw)
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return [[x0, y0, x1, y0, x1, y1, x0, y1]]
    if kind == "polygon" or kind in _BOXES:
        return [[number for point in points for number in point]]
    return None


def _mask(
    points: Sequence[tuple[float, float]], png: str, size_hw: tuple[int, int], decoder: SandboxedDecoder
) -> Rle:
    if len(points) != 2:
        raise MaskError(f"a mask has two corners, not {len(points)}")
    (left, top), (right, bottom) = ((round(x), round(y)) for x, y in points)
    try:
        pixels_hw = decoder.open_values(b64decode(png)) > 0
    except binascii.Error as error:
        raise MaskError("a mask's PNG is broken", hint="draw the mask again") from error
    height, width = pixels_hw.shape
    if (height, width) != (bottom - top + 1, right - left + 1):
        box = f"{right - left + 1} x {bottom - top + 1}"
        raise MaskError(f"a mask of {width} x {height} px lies in a box of {box} px")
    return place_mask(pixels_hw, left_px=left, top_px=top, height_px=size_hw[0], width_px=size_hw[1])


def _point(point: Any) -> tuple[float, float]:
    if not isinstance(point, list) or len(point) != 2:
        raise MaskError(f"a point is two numbers, not {point!r}")
    return as_number(point[0]), as_number(point[1])
