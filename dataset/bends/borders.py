"""Masks that end early: contours of pixel centres written where COCO expects pixel edges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, Final

from dataset.bends.evidence import Batch, Evidence, Finding, Polygons, finding_of, told_area, told_box
from dataset.bends.painting import (
    are_boxes_nested,
    measure_depths,
    paint_inclusively,
    paint_with_holes,
    rasterise,
    read_polygons,
)
from dataset.bends.tools import SUPERVISELY
from dataset.bends.tracing import OutlineFacts, look_at
from dataset.coco.document import COCO
from dataset.coco.listing import ReadAnnotation
from maskloop.masks import Rle, areas_px
from maskloop.wording import count

_EXACT_PX: Final = 0.05
"""Coordinates that are rounded to two decimals still count as exact."""
_HALF_PX: Final = 0.5
_LEAST_TRACED: Final = 5
_LEAST_SHARE_TRACED: Final = 0.5
_LEAST_SHARE_CONTRADICTED: Final = 0.01
_LEAST_SHARE_NESTED: Final = 0.05


class _Border(Enum):
    """What an outline's points are, as far as one annotation tells."""

    CONTRADICTED = "its own box or area, or what the tool is known for, is that of a mask one pixel larger"
    TRACED = "it looks like a contour tracer's, and nothing in the file says otherwise"
    UNKNOWN = "it may be either"
    EDGES = "pixel edges, or drawn by hand"


def find_short_masks(evidence: Evidence) -> Finding | None:
    """Find masks whose right column and lowest row are missing.

    An annotation's own box and area, or area and outline by Pick's theorem, settle it. Without them the
    outlines have to look like a tracer's in at least `_LEAST_TRACED` annotations and in half of the batch.
    """
    is_inclusive = evidence.tool == SUPERVISELY and evidence.coco.format == COCO
    by_border: dict[_Border, list[ReadAnnotation]] = {border: [] for border in _Border}
    rectangles: list[ReadAnnotation] = []
    for one, facts in evidence.outlined:
        border = _judge_border(one, facts, is_inclusive)
        by_border[border].append(one)
        if _is_box_of_a_tracer(facts, border):
            rectangles.append(one)
    contradicted, traced = by_border[_Border.CONTRADICTED], by_border[_Border.TRACED]
    num_judged = evidence.num_outlined - len(by_border[_Border.UNKNOWN])
    if contradicted and len(contradicted) >= _LEAST_SHARE_CONTRADICTED * evidence.num_outlined:
        affected = contradicted + [one for one in traced if told_box(one) is None]
        proof = "their own boxes and areas are those of masks one pixel wider and higher"
        if is_inclusive:
            proof = f"{SUPERVISELY} counts the pixels of an outline to the object"
    elif len(traced) >= _LEAST_TRACED and len(traced) >= _LEAST_SHARE_TRACED * num_judged:
        affected = traced + rectangles
        proof = "their points are the centres of border pixels, and none reaches the last column or row"
    else:
        return None
    message = (
        f"{len(affected)} of {count(len(evidence.annotations), 'mask')} lack the last pixel at right and "
        f"below: {proof}"
    )
    return finding_of(message, affected)


def find_masks_off_by_half(evidence: Evidence) -> Finding | None:
    """Find outlines whose box is the one in the file moved by half a pixel to the left and upwards."""
    affected = [one for one, facts in evidence.outlined if _is_off_by_half(one, facts)]
    if not affected or len(affected) < _LEAST_SHARE_CONTRADICTED * evidence.num_outlined:
        return None
    message = (
        f"{len(affected)} of {count(len(evidence.annotations), 'mask')} lie half a pixel to the left of and "
        "above their own box"
    )
    return finding_of(message, affected)


def find_filled_holes(evidence: Evidence) -> Finding | None:
    """Find polygons inside another polygon of the same annotation.

    The area in the file tells whether it is a hole. Where it tells nothing, some of those with several
    polygons have to be so, since people also draw small polygons inside others.
    """
    several = [one for one, facts in evidence.outlined if facts.num_polygons > 1]
    nested = [(one, says_so) for one in several if (says_so := _is_inner_polygon_a_hole(one)) is not False]
    affected = [one for one, says_so in nested if says_so]
    if len(nested) - len(affected) >= _LEAST_SHARE_NESTED * len(several):
        affected = [one for one, _ in nested]
    if not affected:
        return None
    message = (
        f"{count(len(affected), 'annotation has', 'annotations have')} a polygon inside another one: a hole, "
        "which is filled, because COCO unites the polygons of an annotation"
    )
    return finding_of(message, affected)


def fill_inclusively(batch: Batch, finding: Finding) -> Batch:
    """Count the pixels of the outlines to the objects; inner outlines are holes."""
    return _repaint(
        batch,
        finding,
        lambda polygons, height, width: paint_inclusively(polygons, height_px=height, width_px=width),
    )


def move_by_half(batch: Batch, finding: Finding) -> Batch:
    """Move outlines by half a pixel to the right and down; inner outlines are holes."""
    return _repaint(
        batch,
        finding,
        lambda polygons, height, width: paint_with_holes(
            [polygon + _HALF_PX for polygon in polygons], height, width
        ),
    )


def open_holes(batch: Batch, finding: Finding) -> Batch:
    """Take polygons inside other ones out of the mask."""
    return _repaint(batch, finding, paint_with_holes)


def _repaint(batch: Batch, finding: Finding, paint: Callable[[Polygons, int, int], Rle]) -> Batch:
    records: dict[int, Mapping[str, Any]] = {}
    for one in finding.affected:
        record = batch.coco.annotations[one.index]
        if polygons := read_polygons(record.get("segmentation")):  # else another mend has painted it
            mask = paint(polygons, one.instance.mask.height_px, one.instance.mask.width_px)
            records[one.index] = {**record, "segmentation": mask.to_coco()}
    annotations = tuple(records.get(index, one) for index, one in enumerate(batch.coco.annotations))
    return replace(batch, coco=replace(batch.coco, annotations=annotations))


def _judge_border(annotation: ReadAnnotation, facts: OutlineFacts, is_inclusive: bool) -> _Border:
    mask, (x0, y0, x1, y1) = annotation.instance.mask, facts.box
    if not facts.is_whole or x1 > mask.width_px - 1 or y1 > mask.height_px - 1:
        return _Border.EDGES
    if is_inclusive:
        return _Border.CONTRADICTED
    box, area = told_box(annotation), told_area(annotation)
    if box is not None and _equal(box, (x0, y0, x1 + 1, y1 + 1)):
        return _Border.CONTRADICTED
    if area is not None and facts.num_painted_px and abs(area - facts.num_painted_px) <= _EXACT_PX:
        return _Border.CONTRADICTED
    if not facts.is_eight_way:
        return _Border.EDGES
    return _Border.TRACED if facts.has_diagonals else _Border.UNKNOWN


def _is_box_of_a_tracer(facts: OutlineFacts, border: _Border) -> bool:
    """Say whether a rectangle counts as traced where everything else in the batch is."""
    return border is _Border.UNKNOWN and facts.is_eight_way


def _is_off_by_half(annotation: ReadAnnotation, facts: OutlineFacts) -> bool:
    box = told_box(annotation)
    return (
        box is not None
        and not facts.is_whole
        and _equal(box, tuple(side + _HALF_PX for side in facts.box))
        and all(abs(side - round(side)) <= _EXACT_PX for side in box)
    )


def _equal(sides: Iterable[float], others: Iterable[float]) -> bool:
    return all(abs(side - other) <= _EXACT_PX for side, other in zip(sides, others, strict=True))


def _is_inner_polygon_a_hole(annotation: ReadAnnotation) -> bool | None:
    """Return what the area in the file says; None if there is an inner polygon and the file does not tell."""
    polygons = read_polygons(annotation.record.get("segmentation"))
    if not are_boxes_nested(polygons):
        return False
    height_px, width_px = annotation.instance.mask.height_px, annotation.instance.mask.width_px
    masks = rasterise(polygons, height_px, width_px)
    if not any(depth % 2 for depth in measure_depths(masks)):
        return False
    area, box = told_area(annotation), told_box(annotation)
    if area is None or (box is not None and abs(area - (box[2] - box[0]) * (box[3] - box[1])) <= 0.5):
        return None
    facts, pierced = look_at(polygons), [paint_with_holes(polygons, height_px, width_px)]
    if facts.is_eight_way and facts.has_diagonals:  # as the contour of a hole has
        pierced.append(paint_inclusively(polygons, height_px=height_px, width_px=width_px))
    filled = [*areas_px([annotation.instance.mask]), areas_px(masks).sum(), facts.area_px2]
    off_pierced = min(abs(float(each) - area) for each in areas_px(pierced))
    return off_pierced <= min(abs(float(each) - area) for each in filled)
