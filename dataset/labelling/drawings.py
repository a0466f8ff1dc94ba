"""What a reader of labels found, picture by picture, as drawn instances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataset.coco.document import CocoFile
from dataset.coco.outlines import read_mask
from dataset.labelling.port import DrawnInstance
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
    drawings: dict[str, Drawing] = {}
    names: dict[Any, str] = {}
    for image in coco.images:
        names[image["id"]] = image["file_name"]
        sides = image.get("height"), image.get("width")
        size = sides if isinstance(sides[0], int) and isinstance(sides[1], int) else None
        drawings[image["file_name"]] = Drawing(size or (sizes_hw or {}).get(image["file_name"]))
    classes = {category["id"]: category["name"] for category in coco.categories}
    by_name: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in coco.annotations:
        by_name[names[record["image_id"]]].append(record)
    for name, records in by_name.items():
        _draw(drawings[name], records, classes)
    for problem in coco.problems:
        if problem.severity == "error" and problem.picture in drawings:
            drawings[problem.picture].trouble = f"{problem.where}: {problem.message}"
    return drawings


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


def _draw(drawing: Drawing, records: list[Mapping[str, Any]], classes: Mapping[Any, str]) -> None:
    if drawing.size_hw is None:
        drawing.trouble = "the labels do not tell the size of the picture"
        return
    for record in records:
        try:
            mask, _ = read_mask(record["segmentation"], *drawing.size_hw)
        except MaskError as error:
            drawing.trouble = f"annotation {record['id']}: {error.headline}"
            continue
        is_crowd = bool(record.get("iscrowd"))
        drawing.instances.append(DrawnInstance(classes[record["category_id"]], mask, is_crowd))
        drawing.origin = record.get("origin") or drawing.origin
