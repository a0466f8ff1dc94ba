"""MIT's LabelMe, the web tool; CVAT and Datumaro write it too: Annotations/FOLDER/NAME.xml, Images/, Masks/.

Polygons run along the edges of pixels, as Datumaro reads them. A mask is a PNG of the picture's size. Parts
of an object that have its class are the object; parts of another class, such as a car's wheel, are their own.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element

from dataset.coco.document import CocoFile, is_safe_name
from dataset.formats.collecting import Collector, Part
from dataset.formats.picture_sizes import mask_decoder
from dataset.formats.port import MAX_FILES, LabelReader, LabelSource, own_name
from dataset.formats.xml_elements import read_children
from dataset.pictures.sandbox import SandboxedDecoder
from maskloop.errors import DataError, MaskError, PictureError
from maskloop.masks import Rle, encode_masks

_TOOL: Final = "LabelMe"
_FORMAT: Final = "LabelMe XML"
_MARKS: Final = (b"<pt>", b"<segm>", b"<imagesize", b"<sourceAnnotation", b"<hasparts")
_MASKS: Final = "Masks"
_MOST_SNIFFED: Final = 100


def recognises(source: LabelSource) -> bool:
    """Tell whether a file of LabelMe is there."""
    return any(_is_labelme(source, name) for name in source.pick("xml", depth=4, limit=_MOST_SNIFFED))


def read(source: LabelSource) -> CocoFile:
    """Read every file of a folder. One that cannot be read costs its picture.

    Raises:
        DataError: if there is none.
    """
    collector = Collector(_FORMAT, _TOOL)
    pages = [*_read_pages(source, collector)]
    if not pages:
        hint = "expected are Annotations/NAME.xml and Images/"
        raise DataError("there is no XML file of LabelMe", where=str(source.named), hint=hint)
    names, images_dir = _find_pictures(source, pages)
    with mask_decoder() as decoder:
        for name, page in zip(names, pages, strict=True):
            _read_page(name, page, source, decoder, collector)
    return collector.finish(source.stands_for(pages[0].file) if source.is_file else source.named, images_dir)


READER: Final = LabelReader("labelme-xml", _FORMAT, recognises, read)


@dataclass(frozen=True)
class _Page:
    """The labels of one picture.

    Attributes:
        file: Their file.
        picture: The picture's file name.
        folder: The folder that it names, usually a collection.
        size_hw: Height and width in px; None if it does not say.
        objects: Those that nobody deleted, by id.
    """

    file: str
    picture: str
    folder: str
    size_hw: tuple[int, int] | None
    objects: Mapping[str, Element]


def _is_labelme(source: LabelSource, name: str) -> bool:
    start = source.start(name)
    is_annotation = b"<annotation>" in start or b"<annotation " in start
    return is_annotation and b"<bndbox" not in start and any(mark in start for mark in _MARKS)


def _read_pages(source: LabelSource, collector: Collector) -> Iterator[_Page]:
    for file in source.pick("xml", depth=MAX_FILES, limit=MAX_FILES):
        if not _is_labelme(source, file):
            continue
        picture, folder, sides = "", "", (0, 0)
        objects: list[Element] = []
        try:
            for element in read_children(source.at(file), place=source.place(file)):
                if element.tag == "filename":
                    picture = _text(element)
                elif element.tag == "folder":
                    folder = _text(element).replace("\\", "/")
                elif element.tag == "imagesize":
                    sides = _whole(element, "nrows"), _whole(element, "ncols")
                elif element.tag == "object" and _told(element, "deleted") != "1":
                    objects.append(element)
        except DataError as error:
            known = picture or file
            collector.refuse(known, "labels-unreadable", file, error.headline, error.hint)
            continue
        by_id = {_told(one, "id") or f"object {number}": one for number, one in enumerate(objects)}
        if len(by_id) < len(objects):
            by_id = {f"object {number}": one for number, one in enumerate(objects)}
        yield _Page(file, picture or file, folder, sides if all(sides) else None, by_id)


def _find_pictures(source: LabelSource, pages: Sequence[_Page]) -> tuple[tuple[str, ...], Path]:
    """Return the pictures' names and their folder: `Images` beside `Annotations`, else where others are."""
    ways = _ways_to_name(pages)
    above = (source.root, source.root.parent, source.root.parent.parent)
    usual = [folder / name for folder in above for name in ("Images", "images")]
    for folder in [] if source.images_dir else [*usual, source.root]:
        if folder.is_dir():
            names, _ = LabelSource(folder, images_dir=folder).choose_names(ways)
            if any(is_safe_name(name) and (folder / name).is_file() for name in names):
                return names, folder
    return source.choose_names(ways, beside=pages[0].file)


def _ways_to_name(pages: Sequence[_Page]) -> list[list[str]]:
    """Return the names that pictures may have: below their folder, alone, beside the labels."""
    own = [own_name(page.picture) for page in pages]
    said = [
        page.picture if is_safe_name(page.picture) else name for page, name in zip(pages, own, strict=True)
    ]
    in_folder = [posixpath.join(page.folder, name) for page, name in zip(pages, said, strict=True)]
    beside = [
        posixpath.join(posixpath.dirname(page.file), name) for page, name in zip(pages, own, strict=True)
    ]
    return [in_folder, said, own, beside]


def _read_page(
    name: str, page: _Page, source: LabelSource, decoder: SandboxedDecoder, collector: Collector
) -> None:
    parts = []
    size_hw = page.size_hw
    for key, element in page.objects.items():
        where = f"{page.file}, object {key}"
        try:
            part, mask_hw = _part(key, element, page, where, source, decoder)
        except (MaskError, PictureError) as error:
            collector.refuse(name, "bad-shape", where, error.headline, error.hint)
            continue
        parts.append(part)
        size_hw = size_hw or mask_hw
    collector.add_picture(name, size_hw, parts, origin={"tool": _TOOL, "task": page.folder})


def _part(
    key: str, element: Element, page: _Page, where: str, source: LabelSource, decoder: SandboxedDecoder
) -> tuple[Part, tuple[int, int] | None]:
    """Return a shape, and the size of its mask if it is one."""
    shape: list[list[float]] | Rle | None = None
    kind, size_hw, drawn = "shape of no kind", None, element.find("polygon")
    if _told(element, "type") == "bounding_box":
        kind = "box"
    elif drawn is not None:
        kind, shape = "polygon", [[side for point in drawn.iter("pt") for side in _point(point)]]
    elif (drawn := element.find("segm")) is not None:
        kind, shape = "mask", _read_mask(_told(drawn, "mask"), page, source, decoder)
        size_hw = shape.height_px, shape.width_px
    attributes = _told(element, "attributes").replace(" ", "").lower().split(",")
    told = {
        "tool": _TOOL,
        "task": page.folder,
        "annotator": _told(drawn, "username") if drawn is not None else "",
        "time": _told(element, "date"),
    }
    part = Part(
        _told(element, "name"),
        shape,
        where,
        kind,
        is_crowd="is_crowd=true" in attributes or "iscrowd=true" in attributes,
        object_key=_whole_object(key, page.objects),
        origin={name: text for name, text in told.items() if text},
    )
    return part, size_hw


def _whole_object(key: str, objects: Mapping[str, Element]) -> str:
    """Return the id of the object that one is part of, through parents of its class alone; else its own."""
    seen = {key}
    name = _told(objects[key], "name")
    while (parent := _told(objects[key], "parts/ispartof")) in objects and parent not in seen:
        if _told(objects[parent], "name") != name:
            break
        seen.add(parent)
        key = parent
    return key


def _read_mask(file: str, page: _Page, source: LabelSource, decoder: SandboxedDecoder) -> Rle:
    labels = posixpath.dirname(page.file)
    above = posixpath.dirname(labels.removesuffix(page.folder).rstrip("/"))
    places = (
        posixpath.join(above, _MASKS, page.folder, file),
        posixpath.join(_MASKS, page.folder, file),
        posixpath.join(labels, _MASKS, file),
        posixpath.join(labels, file),
    )
    found = next((each for each in places if is_safe_name(each) and source.at(each).is_file()), "")
    if not file or not found:
        hint = "export the labels again, with the folder Masks"
        raise MaskError(f"the mask {file!r} is not there", hint=hint)
    pixels_hw = decoder.open_values(source.at(found).read_bytes()) > 0
    if page.size_hw and pixels_hw.shape != page.size_hw:
        height, width = pixels_hw.shape
        raise MaskError(
            f"the mask {file} has {width} x {height} px, the picture {page.size_hw[1]} x {page.size_hw[0]}"
        )
    return encode_masks(pixels_hw[None])[0]


def _point(point: Element) -> tuple[float, float]:
    told = _told(point, "x"), _told(point, "y")
    try:
        return float(told[0]), float(told[1])
    except ValueError as error:
        raise MaskError(f"a point is two numbers, not {told[0][:20]!r} and {told[1][:20]!r}") from error


def _text(element: Element) -> str:
    return (element.text or "").strip()


def _told(element: Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _whole(element: Element, path: str) -> int:
    told = _told(element, path)
    return int(told) if told.isdecimal() else 0
