"""Datumaro's own JSON: a file for each subset, pictures in images/ or images/SUBSET/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

from dataset.coco.document import CocoFile, is_safe_name
from dataset.formats.collecting import Collector, Part, name_in_subset
from dataset.formats.port import LabelReader, LabelSource, own_name
from dataset.formats.typed_json import as_dict, as_list, as_side, as_text, told_origin
from maskloop.errors import DataError, MaskError
from maskloop.masks import Rle, rle_from_coco

_FORMAT: Final = "Datumaro JSON"
_KEYS: Final = ("items", "categories")
_OF_THE_PICTURE: Final = frozenset({"label", "caption"})


def recognises(source: LabelSource) -> bool:
    """Tell whether a file of Datumaro is there."""
    return any(_is_datumaro(source, name) for name in source.pick("json"))


def read(source: LabelSource) -> CocoFile:
    """Read the files of all subsets. Raises DataError if there is none."""
    files = [name for name in source.pick("json") if _is_datumaro(source, name)]
    if not files:
        hint = "expected is annotations/SUBSET.json with categories and items"
        raise DataError("this is no JSON of Datumaro", where=str(source.named), hint=hint)
    folder = source.images_dir or _pictures_dir(source, files[0])
    collector = Collector(_FORMAT)
    for file in files:
        content, subset = source.json(file), PurePosixPath(file).stem
        labels = as_list(as_dict(as_dict(content["categories"]).get("label")).get("labels"))
        names = [as_text(as_dict(label).get("name")) for label in labels]
        collector.declare_classes(name for name in names if name)
        for number, item in enumerate(content["items"]):
            name = name_in_subset(folder, subset, _picture_name(as_dict(item), f"item {number}"))
            _read_item(as_dict(item), name, names, f"{file}: /items/{number}", collector)
    return collector.finish(source.stands_for(files[0]), folder)


READER: Final = LabelReader("datumaro", _FORMAT, recognises, read)


def _is_datumaro(source: LabelSource, name: str) -> bool:
    content = source.peek_json(name) if source.mentions(name, *_KEYS) else None
    return (
        isinstance(content, dict)
        and isinstance(content.get("items"), list)
        and isinstance(content.get("categories"), dict)
        and "images" not in content
    )


def _pictures_dir(source: LabelSource, file: str) -> Path:
    """Return `images` beside the file's folder or in it; else the root."""
    own = source.at(file).parent
    near = (own.parent, own) if "/" in file or source.is_file else (own,)
    return next((each / "images" for each in near if (each / "images").is_dir()), source.root)


def _picture_name(item: Mapping[str, Any], otherwise: str) -> str:
    told = as_text(as_dict(item.get("image")).get("path"))
    identifier = as_text(item.get("id"))
    name = told or (f"{identifier}.jpg" if identifier else otherwise)
    return name if is_safe_name(name) else own_name(name)


def _read_item(
    item: Mapping[str, Any], name: str, classes: Sequence[str], where: str, collector: Collector
) -> None:
    sides = as_list(as_dict(item.get("image")).get("size"))
    size_hw = (sides[0], sides[1]) if len(sides) == 2 and all(map(as_side, sides)) else None
    parts = []
    for number, shape in enumerate(as_list(item.get("annotations"))):
        place = f"{where}/annotations/{number}"
        try:
            part = _read_shape(as_dict(shape), size_hw, classes, place)
        except MaskError as error:
            collector.refuse(name, "bad-shape", place, error.headline, error.hint)
            continue
        parts += [part] if part else []
    collector.add_picture(name, size_hw, parts)


def _read_shape(
    shape: Mapping[str, Any], size_hw: tuple[int, int] | None, classes: Sequence[str], where: str
) -> Part | None:
    """Return a shape, or None of what is said about the whole picture."""
    kind, number = as_text(shape.get("type")), shape.get("label_id")
    if kind in _OF_THE_PICTURE:
        return None
    if type(number) is not int or not 0 <= number < len(classes):
        raise MaskError(f"label_id is {number!r}, and the file has {len(classes)} labels")
    drawn: Sequence[Sequence[float]] | Rle | None = None
    if kind == "polygon":
        drawn = [as_list(shape.get("points"))]
    elif kind == "mask":
        drawn = _read_runs(as_dict(shape.get("rle")), size_hw)
    group = shape.get("group")
    return Part(
        classes[number],
        drawn,
        where,
        kind=kind or "shape of no kind",
        is_crowd=as_dict(shape.get("attributes")).get("is_crowd") is True,
        origin=told_origin(shape),
        object_key=group if isinstance(group, int) and group > 0 else None,
    )


def _read_runs(runs: Mapping[str, Any], size_hw: tuple[int, int] | None) -> Rle:
    size = as_list(runs.get("size"))
    if len(size) != 2 or not all(map(as_side, size)):
        raise MaskError(f"a mask's size is {size!r}")
    return rle_from_coco(dict(runs), *(size_hw or size))
