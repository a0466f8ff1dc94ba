"""COCO instance segmentation, also as LVIS extends it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

from dataset.coco.annotation_files import EXPORT_HINT, VOC_BOXES, advise, describe_folder
from dataset.coco.document import COCO, CocoFile, coco_from, is_safe_name
from dataset.coco.joining import join_files
from dataset.coco.listing import picture_names
from dataset.formats.collecting import name_in_subset
from dataset.formats.port import LabelReader, LabelSource, own_name
from dataset.formats.typed_json import as_dict, told_origin
from dataset.problems import DataProblem
from maskloop.errors import DataError
from maskloop.wording import count

_LISTS: Final = ("images", "annotations", "categories")
_NAMES_SHOWN: Final = 5


def recognises(source: LabelSource) -> bool:
    """Tell whether a COCO file is there."""
    return any(_is_coco(source, name) for name in source.pick("json"))


def read(source: LabelSource) -> CocoFile:
    """Read the COCO file there is, or all of them if each is of other pictures, such as those of splits.

    Raises:
        DataError: if there is none, or if several are of the same pictures.
    """
    first, *others = _choose(source)
    if others:
        return _read_splits(source, (first, *others))
    return _read_file(source, first)


def _read_file(source: LabelSource, name: str) -> CocoFile:
    coco = _with_origins(coco_from(source.json(name), source.stands_for(name)))
    if any(isinstance(each, dict) and "neg_category_ids" in each for each in coco.images):
        return _as_lvis(coco, source, name)
    coco = _with_own_names(coco)
    return replace(coco, images_dir=source.find_pictures_dir(picture_names(coco), beside=name))


READER: Final = LabelReader("coco", COCO, recognises, read)


def _choose(source: LabelSource) -> tuple[str, ...]:
    """Return the COCO files, at least one. Raises DataError."""
    if source.is_file:
        return source.files
    found = tuple(name for name in source.pick("json") if _is_coco(source, name))
    if found:
        return found
    where = str(source.named)
    holder = _holder(source)
    known = describe_folder(source.path)
    what = f"{known}, but no COCO file" if known else "no labels in a format that is read"
    hint = advise(known) if known == VOC_BOXES else EXPORT_HINT
    raise DataError(f"{holder} holds {what}", where=where, hint=hint)


def _holder(source: LabelSource) -> str:
    return "the archive" if source.named != source.path else "the folder"


def _read_splits(source: LabelSource, names: Sequence[str]) -> CocoFile:
    """Read several files as one: pictures named from one folder, classes by name, all ids anew.

    Raises:
        DataError: if a picture is in two of them, as in COCO's own instances and key points.
    """
    files = [_read_file(source, name) for name in names]
    folders = [coco.images_dir or source.root for coco in files]
    common = source.images_dir or Path(os.path.commonpath(folders))
    below = [_named_below(common, *each) for each in zip(files, names, folders, strict=True)]
    listed = [name for coco in below for name in picture_names(coco)]
    if len(set(listed)) < len(listed):
        shown = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
        is_archive = source.named != source.path
        hint = f"{'unpack it and ' if is_archive else ''}name one of them: {shown}"
        what = f"{_holder(source)} holds {len(names)} COCO files about the same pictures"
        raise DataError(what, where=str(source.named), hint=hint)
    joined = join_files(below)
    told = ", ".join(f"{name} ({len(coco.images)})" for name, coco in zip(names, below, strict=True))
    message = (
        f"{len(names)} COCO files are read as one batch, with the number of pictures in each: {told}; places "
        "in the lists go on from one file to the next"
    )
    hint = "the split of each picture is decided anew, see --split"
    info = DataProblem("info", "files-joined", "/", message, hint)
    problems = (*joined.problems, info)
    return replace(joined, path=source.stands_for(names[0]), images_dir=common, problems=problems)


def _named_below(common: Path, coco: CocoFile, file: str, folder: Path) -> CocoFile:
    """Name a file's pictures from a folder above the one they lie in, or from the one a person said."""
    names = {}
    for name in picture_names(coco):
        split = PurePosixPath(file).parent.name
        if folder == common:
            names[name] = name_in_subset(common, split, name) if split else name
        elif is_safe_name(name):
            names[name] = f"{folder.relative_to(common).as_posix()}/{name}"
    return replace(coco, images=tuple(_renamed(each, names) for each in coco.images))


def _is_coco(source: LabelSource, name: str) -> bool:
    content = source.peek_json(name) if source.mentions(name, *_LISTS) else None
    return isinstance(content, dict) and all(isinstance(content.get(each), list) for each in _LISTS)


def _with_origins(coco: CocoFile) -> CocoFile:
    """Say where pictures and annotations come from: as maskloop's own files do, or by common fields."""
    tool = {"tool": coco.tool} if coco.tool and "@" not in coco.tool else {}
    images = []
    for image in coco.images:
        told = as_dict(as_dict(image).get("origin") or as_dict(as_dict(image).get("maskloop")).get("origin"))
        origin = told or tool
        images.append({**image, "origin": origin} if origin and isinstance(image, dict) else image)
    annotations = tuple(
        {**one, "origin": tool | told}
        if isinstance(one, dict) and "origin" not in one and (told := told_origin(one))
        else one
        for one in coco.annotations
    )
    return replace(coco, images=tuple(images), annotations=annotations)


def _with_own_names(coco: CocoFile) -> CocoFile:
    """Cut paths that lead out of the pictures' folder to the files' own names, or to their common folder.

    Label Studio writes paths of its server, even where the export holds the pictures; others absolute paths.
    """
    names = picture_names(coco)
    cut = {name: own_name(name) for name in names if not is_safe_name(name) or PureWindowsPath(name).drive}
    if len({cut.get(name, name) for name in names}) < len(names):
        cut = _without_common_folder(cut)
    own_names = [cut.get(name, name) for name in names]
    if not cut or not all(cut.values()) or len(set(own_names)) < len(names):
        return coco
    first = next(iter(cut))
    message = (
        f"file names lead out of the pictures' folder (the first: {first!r}); the pictures were looked for "
        "under their own names"
    )
    told = DataProblem("info", "picture-path-cut", "/images", message, example=cut[first], count=len(cut))
    images = tuple(_renamed(each, cut) for each in coco.images)
    return replace(coco, images=images, problems=(*coco.problems, told))


def _without_common_folder(paths: Mapping[str, str]) -> dict[str, str]:
    """Return what comes behind the folder that all paths lie in; nothing if there is no such folder."""
    slashed = {path: path.replace("\\", "/") for path in paths}
    try:
        common = os.path.commonpath([PurePosixPath(each).parent for each in slashed.values()])
    except ValueError:  # some are absolute and some are not, or there are none
        return {}
    return {path: each.removeprefix(common).lstrip("/") for path, each in slashed.items()}


def _renamed(image: Any, names: dict[str, str]) -> Any:
    name = image.get("file_name") if isinstance(image, dict) else None
    return {**image, "file_name": names[name]} if isinstance(name, str) and name in names else image


def _as_lvis(coco: CocoFile, source: LabelSource, name: str) -> CocoFile:
    """Name LVIS's pictures by their addresses, with a folder if they lie so; say what its lists mean here."""
    ways = [[_name_of(each, num_parts) for each in coco.images] for num_parts in (2, 1)]
    names, images_dir = source.choose_names(ways, beside=name)
    images = tuple(
        {**each, "file_name": found} if found else each
        for each, found in zip(coco.images, names, strict=True)
    )
    vague = sum(
        isinstance(each, dict) and bool(each.get("not_exhaustive_category_ids")) for each in coco.images
    )
    message = (
        f"LVIS: objects of some classes are not all annotated in {count(vague, 'picture')}, and classes that "
        "neither neg_category_ids nor the annotations name were not looked for; both count as background here"
    )
    hint = "a model learns to overlook such objects: label them, or drop their classes"
    told = DataProblem("info", "lvis-not-exhaustive", "/images", message, hint)
    return replace(
        coco, images=images, images_dir=images_dir, format="COCO with the lists of LVIS", problems=(told,)
    )


def _name_of(image: Any, num_parts: int) -> str:
    """Return the file name of an entry, else the last parts of its address; nothing if it has neither."""
    told, address = (as_dict(image).get(key) for key in ("file_name", "coco_url"))
    if isinstance(told, str) and told:
        return told
    return "/".join(address.split("/")[-num_parts:]) if isinstance(address, str) else ""
