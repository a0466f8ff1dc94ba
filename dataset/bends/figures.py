"""Masks held against what the file says of them: boxes in their place, areas and boxes of other masks."""

from __future__ import annotations

from typing import Final

import numpy as np

from dataset.bends.evidence import Evidence, Finding, finding_of, told_area, told_box
from dataset.bends.tools import SAHI
from dataset.coco.listing import ReadAnnotation
from maskloop.wording import count

_LEAST_MASKS: Final = 10
_LEAST_SIDE_PX: Final = 3
_MOSTLY: Final = 0.8
_MOSTLY_BY_SAHI: Final = 0.5
_LEAST_SHARE_OF_BOXES: Final = 0.5
_LEAST_SHARE_CONTRADICTED: Final = 0.01
_SLACK_PX: Final = 3.0
_SLACK: Final = 0.1
"""Tools round boxes and areas, and measure the area inside an outline instead of counting pixels."""


def find_boxes_for_masks(evidence: Evidence) -> Finding | None:
    """Find batches in which most masks fill their box to the last pixel. Specks below 3 px do not count.

    Few masks are enough where SAHI wrote the file, which is known to do it.
    """
    by_sahi = evidence.tool == SAHI
    least, mostly = (1, _MOSTLY_BY_SAHI) if by_sahi else (_LEAST_MASKS, _MOSTLY)
    sides = evidence.boxes[:, 2:] - evidence.boxes[:, :2]
    looked_at = (sides >= _LEAST_SIDE_PX).all(axis=1)
    full = looked_at & (evidence.areas == sides.prod(axis=1))
    if looked_at.sum() < least or full.sum() <= mostly * looked_at.sum():
        return None
    affected = [evidence.annotations[index] for index in np.flatnonzero(full)]
    message = f"{len(affected)} of {count(int(looked_at.sum()), 'mask')} fill their box to the last pixel"
    return finding_of(message, affected)


def find_contradictions(evidence: Evidence) -> Finding | None:
    """Find annotations whose own area or box is not their mask's, beyond rounding; the worst comes first.

    An area that is the box's is no contradiction: see `find_areas_of_boxes`.
    """
    wrong: dict[int, tuple[float, str]] = {}
    num_told = 0
    for index, one in enumerate(evidence.annotations):
        mask_area, area, box = int(evidence.areas[index]), told_area(one), told_box(one)
        if one.is_stretched or (box is not None and _leaves_picture(one, box)):
            continue
        x0, y0, x1, y1 = evidence.boxes[index]
        num_told += area is not None or box is not None
        if area is not None and not _is_area_of_box(area, box):
            off, slack = abs(area - mask_area), max(_SLACK * area, (x1 - x0) + (y1 - y0) + 2)
            if off > slack:
                wrong[index] = off / max(mask_area, 1), f"an area of {area:g} px², the mask {mask_area} px"
        if box is not None:
            off = max(abs(told - side) for told, side in zip(box, (x0, y0, x1, y1), strict=True))
            slack = max(_SLACK_PX, _SLACK * (box[2] - box[0]), _SLACK * (box[3] - box[1]))
            if off > slack and off / slack > wrong.get(index, (0.0, ""))[0]:
                wrong[index] = off / slack, f"a box whose side lies {off:g} px from the mask's"
    if not wrong or len(wrong) < _LEAST_SHARE_CONTRADICTED * num_told:
        return None
    worst_first = sorted(wrong, key=lambda index: -wrong[index][0])
    message = (
        f"the area or box of {len(wrong)} of {count(num_told, 'annotation')} is not its mask's; the worst "
        f"has {wrong[worst_first[0]][1]}"
    )
    return finding_of(message, [evidence.annotations[index] for index in worst_first])


def find_areas_of_boxes(evidence: Evidence) -> Finding | None:
    """Find annotations whose area is that of their box although the mask does not fill it."""
    affected = [
        one
        for one, mask_area in zip(evidence.annotations, evidence.areas, strict=True)
        if (area := told_area(one)) is not None
        and _is_area_of_box(area, told_box(one))
        and area > mask_area * (1 + 2 * _SLACK)
    ]
    if not affected or len(affected) < _LEAST_SHARE_OF_BOXES * len(evidence.annotations):
        return None
    message = f"{count(len(affected), 'annotation gives', 'annotations give')} the box's area as the mask's"
    return finding_of(message, affected)


def _leaves_picture(annotation: ReadAnnotation, box: tuple[float, float, float, float]) -> bool:
    """Say whether a box runs beyond the picture: the mask was cut off there, and is told of elsewhere."""
    mask = annotation.instance.mask
    return min(box) < -1 or box[2] > mask.width_px + 1 or box[3] > mask.height_px + 1


def _is_area_of_box(area: float, box: tuple[float, float, float, float] | None) -> bool:
    return box is not None and abs(area - (box[2] - box[0]) * (box[3] - box[1])) <= 0.5
