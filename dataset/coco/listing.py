"""The lists of a COCO file, matched: its pictures, and which annotations each of them has."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataset.coco.document import CocoFile, Identifier, identifier
from dataset.labelled_pictures import LabelledInstance
from dataset.problems import DataProblem


@dataclass(frozen=True)
class Listed:
    """One entry of ``images`` that names a picture.

    Attributes:
        where: Its place.
        key: Its id.
        name: Its file name.
        record: As it stands in the file.
    """

    where: str
    key: Identifier
    name: str
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReadAnnotation:
    """One entry of ``annotations`` with what was read from it.

    Attributes:
        index: Its index in the list.
        picture: The file name of its picture.
        record: As it stands in the file.
        instance: What was read; its mask is in the frame it was drawn in.
        is_stretched: Its outlines were scaled to fit the picture, so its box and area do not fit the mask.
    """

    index: int
    picture: str
    record: Mapping[str, Any]
    instance: LabelledInstance
    is_stretched: bool = False

    @property
    def where(self) -> str:
        """Its place, ``/annotations/7``."""
        return name_place(self.index)


def name_place(index: int) -> str:
    """Return the place of an entry of ``annotations``.

    >>> name_place(7)
    '/annotations/7'
    """
    return f"/annotations/{index}"


def picture_names(coco: CocoFile) -> tuple[str, ...]:
    """Return every file name the COCO file lists, each once, in order."""
    names = (image.get("file_name") for image in coco.images if isinstance(image, dict))
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def list_pictures(coco: CocoFile, problems: list[DataProblem]) -> list[Listed]:
    """Return the entries of ``images`` that can be used; what is wrong with others goes to ``problems``."""
    listed = []
    for number, record in enumerate(coco.images):
        where = f"/images/{number}"
        key = identifier(record.get("id")) if isinstance(record, dict) else None
        name = record.get("file_name") if isinstance(record, dict) else None
        if key is None or not isinstance(name, str) or not name:
            message = "an entry of images needs an id (a number or text) and a file_name"
            known = name if isinstance(name, str) and name else where
            hint = "complete the entry, or take it out with its annotations"
            problems.append(DataProblem("error", "bad-picture-entry", where, message, hint, picture=known))
            continue
        if isinstance(record["id"], str):
            message = "picture ids are text; read all the same"
            problems.append(DataProblem("info", "text-id", where, message, example=name))
        listed.append(Listed(where, key, name, record))
    return _listed_once(listed, problems)


def _listed_once(listed: list[Listed], problems: list[DataProblem]) -> list[Listed]:
    keys = Counter(entry.key for entry in listed)
    names = Counter(entry.name for entry in listed)
    once = []
    for entry in listed:
        if keys[entry.key] > 1:
            message = f"picture id {entry.key!r} is used {keys[entry.key]} times: whose annotations are they?"
            hint = "give every picture an id of its own; merging files has to renumber them"
            problems.append(DataProblem("error", "picture-id-twice", entry.where, message, hint, entry.name))
        elif names[entry.name] > 1:
            message = f"the picture is listed {names[entry.name]} times"
            hint = "keep one entry; two often mean that two people annotated it (Label Studio lists both)"
            problems.append(
                DataProblem("error", "picture-listed-twice", entry.where, message, hint, entry.name)
            )
        else:
            once.append(entry)
    return once


def group_annotations(coco: CocoFile, problems: list[DataProblem]) -> dict[Identifier, list[int]]:
    """Return the indices of each listed picture id's annotations, whether its entry can be used or not."""
    keys = {identifier(record.get("id")) for record in coco.images if isinstance(record, dict)} - {None}
    by_picture: dict[Identifier, list[int]] = defaultdict(list)
    ids: Counter[Identifier | None] = Counter()
    for index, annotation in enumerate(coco.annotations):
        key = identifier(annotation.get("image_id")) if isinstance(annotation, dict) else None
        if key is None or key not in keys:
            continue
        by_picture[key].append(index)
        own_id = identifier(annotation.get("id"))
        ids[own_id] += 1
        if own_id is None:
            message = "annotations get new ids"
            problems.append(DataProblem("info", "annotation-id-missing", name_place(index), message))
        elif own_id == 0:
            message = "annotation id 0, which pycocotools never matches; annotations get new ids"
            problems.append(DataProblem("info", "annotation-id-0", name_place(index), message))
        elif ids[own_id] == 2:
            message = f"annotation id {own_id!r} is used more than once; all are kept under new ids"
            problems.append(DataProblem("warning", "annotation-id-twice", name_place(index), message))
    return by_picture
