"""What a reader of labels found, picture by picture, as drawn instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataset.bends.evidence import Batch
from dataset.bends.mending import judge_bends
from dataset.coco.document import CocoFile, Identifier, crowd_flag, identifier
from dataset.coco.labels import read_categories
from dataset.coco.listing import group_annotations, list_pictures, name_place
from dataset.coco.outlines import read_mask
from dataset.coco.validation import FoundPicture, Reading, validate_batch
from dataset.labelling.port import DrawnInstance
from dataset.problems import DataProblem
from maskloop.digest import digest_value
from maskloop.errors import MaskError


@dataclass
class Drawing:
    """The objects of one picture.

    Attributes:
        size_hw: Height and width in px that the labels give for the picture; None if they do not tell.
        instances: Its objects.
        origin: Tool, task, annotator and time, as far as the labels tell.
        trouble: Why the labels of this picture cannot be used; empty if they can.
    """

    size_hw: tuple[int, int] | None = None
    instances: list[DrawnInstance] = field(default_factory=list)
    origin: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""


def list_drawings(
    coco: CocoFile, sizes_hw: Mapping[str, tuple[int, int]] | None = None
) -> dict[str, Drawing]:
    """Return what was drawn on each picture that the labels list, by file name.

    Args:
        coco: As a reader returned it.
        sizes_hw: Sizes of pictures for which the labels tell none.
    """
    problems = list(coco.problems)
    classes = read_categories(coco.categories, problems)
    by_key = group_annotations(coco, problems)
    drawings: dict[str, Drawing] = {}
    for entry in list_pictures(coco, problems):
        sides = entry.record.get("height"), entry.record.get("width")
        size = (sizes_hw or {}).get(entry.name)
        if isinstance(sides[0], int) and isinstance(sides[1], int):
            size = sides[0], sides[1]
        drawing = drawings[entry.name] = Drawing(size)
        _draw(drawing, coco.annotations, by_key.get(entry.key, []), classes)
    for problem in problems:
        if problem.severity == "error" and problem.picture:
            told = f"{problem.where}: {problem.message}"
            drawings.setdefault(problem.picture, Drawing()).trouble = told
    return drawings


def count_orphans(coco: CocoFile) -> int:
    """Return how many annotations are of no picture that the labels list."""
    return len(coco.annotations) - sum(map(len, group_annotations(coco, []).values()))


def tell_bends(coco: CocoFile, drawings: Mapping[str, Drawing]) -> list[str]:
    """Return a sentence on each thing that the export did to the masks (`dataset.bends`).

    Args:
        coco: As a reader returned it.
        drawings: What it holds, see `list_drawings`.
    """
    found = {name: _as_found(name, one.size_hw) for name, one in drawings.items()}
    _, bends, _ = judge_bends(
        Batch(coco, Reading()),
        lambda batch: validate_batch(batch.coco, found, reading=batch.reading),
        is_mending=False,
    )
    return [f"{one.message}; {one.hint}" for one in bends if one.severity != "info"]


def _as_found(name: str, size_hw: tuple[int, int] | None) -> FoundPicture | DataProblem:
    if size_hw is None:
        return DataProblem("error", "size-missing", name, "its size is not known", picture=name)
    height_px, width_px = size_hw
    return FoundPicture(name, name, "", width_px, height_px, 1, told_location=False, difference_hash=0)


def is_unchanged(drawn: Drawing, model: Drawing) -> bool:
    """Tell whether a person submitted the model's answer as it was, pixel by pixel; an empty one is none."""
    some, others = (sorted(map(_identity, each.instances)) for each in (drawn, model))
    return bool(others) and not model.trouble and some == others


def digest_labels(instances: Sequence[DrawnInstance]) -> str:
    """Return a digest of classes and masks, the same in any order."""
    listed = [
        [one.class_name, one.mask.height_px, one.mask.width_px, one.mask.counts.decode(), one.is_crowd]
        for one in instances
    ]
    return digest_value(sorted(listed))


def _identity(one: DrawnInstance) -> tuple[str, bool, int, int, bytes]:
    return one.class_name, one.is_crowd, one.mask.height_px, one.mask.width_px, one.mask.counts


def _draw(
    drawing: Drawing, annotations: Sequence[Any], indices: Sequence[int], classes: Mapping[Identifier, str]
) -> None:
    if drawing.size_hw is None:
        drawing.trouble = "the labels do not tell the size of the picture" if indices else ""
        return
    for index in indices:
        record = annotations[index]
        try:
            drawing.instances.append(_read_instance(record, drawing.size_hw, classes))
        except MaskError as error:
            drawing.trouble = f"{name_place(index)}: {error.headline}"
        drawing.origin = record.get("origin") or drawing.origin


def _read_instance(
    record: dict[str, Any], size_hw: tuple[int, int], classes: Mapping[Identifier, str]
) -> DrawnInstance:
    """Raises MaskError if there is no class, no usable mask, or no telling whether it is a crowd."""
    category, is_crowd = identifier(record.get("category_id")), crowd_flag(record)
    if category is None or category not in classes:
        raise MaskError(f"category id {record.get('category_id')!r} is not in the list of categories")
    if is_crowd is None:
        raise MaskError(f"iscrowd is {record.get('iscrowd')!r}; it must be 0 or 1")
    mask, _ = read_mask(record.get("segmentation"), *size_hw)
    return DrawnInstance(classes[category], mask, is_crowd)
