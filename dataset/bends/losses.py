"""Objects that came apart or got lost on the way out of a tool."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from dataset.bends.evidence import Batch, Evidence, Finding, finding_of
from dataset.coco.document import box_is_sound, identifier
from dataset.coco.listing import ReadAnnotation
from dataset.label_json import unfolded
from maskloop.masks import boxes_xyxy, crop_mask
from maskloop.wording import count

_GROUP_KEYS: Final = ("group_id", "group", "instance_id", "track_id", "object_id")
_LEAST_TORN: Final = 3
_LEAST_SHARE_TORN: Final = 0.05
_NAMES_SHOWN: Final = 5
_MOST_LOOKED_AT: Final = 2000


def find_objects_in_parts(evidence: Evidence) -> Finding | None:
    """Find objects of which each part is an annotation of its own.

    Only what proves it counts: one group or track number for several annotations of a class in a picture, or
    neighbours in the file that touch at corners alone, as when one mask was cut into 4-connected parts.
    """
    alike: dict[tuple[str, int, str, str], list[ReadAnnotation]] = defaultdict(list)
    for one in evidence.annotations:
        for key, value in _group_numbers(one):
            alike[one.picture, one.instance.class_index, key, value].append(one)
    grouped = [one for parts in alike.values() if len(parts) > 1 for one in parts]
    if grouped:
        affected = _each_once(grouped)
        return finding_of(f"{len(affected)} annotations share the group number of another one", affected)
    torn = [pair for pair in _neighbours(evidence.annotations) if _touch_at_corners_alone(*pair)]
    if len(torn) < max(_LEAST_TORN, _LEAST_SHARE_TORN * len(evidence.annotations)):
        return None
    affected = _each_once(one for pair in torn for one in pair)
    message = f"{count(len(torn), 'pair')} of annotations of one class touch at corners alone"
    return finding_of(message, affected)


def find_lost_pixels(evidence: Evidence) -> Finding | None:
    """Find objects of one pixel whose outline was dropped, because it had fewer than three corners.

    Their annotation has no mask, an area of 1, and a box that holds that pixel alone. In a batch of boxes
    alone nothing was lost.
    """
    entries = [each for each in evidence.coco.images if isinstance(each, dict)]
    names = {identifier(each.get("id")): each.get("file_name") for each in entries}
    lost = {
        number: str(name)
        for number, record in enumerate(evidence.coco.annotations)
        if _lost_pixel(record) and (name := names.get(identifier(record.get("image_id"))))
    }
    if not lost or not evidence.annotations:
        return None
    message = f"{count(len(lost), 'object')} of one pixel without an outline: area and box tell the pixel"
    return Finding(message, (), tuple(dict.fromkeys(lost.values())), f"/annotations/{next(iter(lost))}")


def restore_pixels(batch: Batch, _finding: Finding) -> Batch:
    """Give each object of one pixel the outline of that pixel."""
    annotations = tuple(
        {**record, "segmentation": [_outline_of(*pixel)]} if (pixel := _lost_pixel(record)) else record
        for record in batch.coco.annotations
    )
    return replace(batch, coco=replace(batch.coco, annotations=annotations))


def _lost_pixel(record: Any) -> tuple[int, int] | None:
    """Return x and y of the pixel that an annotation without a mask must be; None if it need not be one.

    A box of 0 x 0 px is how supervision counts one pixel: its corners are the first and the last of them.
    """
    if not isinstance(record, dict) or record.get("area") != 1 or unfolded(record.get("segmentation")) != []:
        return None
    box: Any = unfolded(record.get("bbox"))
    if not box_is_sound(box) or box[2:] not in ([1, 1], [0, 0]) or any(side != int(side) for side in box):
        return None
    return int(box[0]), int(box[1])


def _outline_of(x: int, y: int) -> list[int]:
    return [x, y, x + 1, y, x + 1, y + 1, x, y + 1]


def find_dropped_objects(evidence: Evidence) -> Finding | None:
    """Find pictures without annotations in a COCO file of Label Studio, which leaves brush labels out."""
    if not evidence.coco.is_label_studio or not evidence.annotations:
        return None
    annotated = {one.picture for one in evidence.annotations}
    bare = tuple(name for name in evidence.pictures if name not in annotated)
    if not bare:
        return None
    names = ", ".join(bare[:_NAMES_SHOWN]) + (", ..." if len(bare) > _NAMES_SHOWN else "")
    message = f"{count(len(bare), 'picture has', 'pictures have')} no annotation: {names}"
    return Finding(message, (), bare, "/images")


def _group_numbers(annotation: ReadAnnotation) -> Iterator[tuple[str, str]]:
    record = annotation.record
    attributes = record.get("attributes")
    for source in (record, attributes if isinstance(attributes, dict) else {}):
        for key in _GROUP_KEYS:
            value: Any = source.get(key)
            if isinstance(value, int | str) and not isinstance(value, bool) and value not in (0, "", "0"):
                yield key, str(value)


def _neighbours(annotations: Sequence[ReadAnnotation]) -> Iterator[tuple[ReadAnnotation, ReadAnnotation]]:
    """Return pairs of one class that follow each other in a picture and whose boxes touch."""
    looked_at = annotations[:_MOST_LOOKED_AT]
    boxes = boxes_xyxy([one.instance.mask for one in looked_at])
    for index, (one, other) in enumerate(pairwise(looked_at)):
        low = np.maximum(boxes[index, :2], boxes[index + 1, :2])
        high = np.minimum(boxes[index, 2:], boxes[index + 1, 2:])
        same = (one.picture, one.instance.class_index) == (other.picture, other.instance.class_index)
        if same and (low <= high).all():
            yield one, other


def _touch_at_corners_alone(one: ReadAnnotation, other: ReadAnnotation) -> bool:
    """Say whether a pixel of one lies at the corner of one of the other, and none beside or on it."""
    parts = [crop_mask(each.instance.mask) for each in (one, other)]
    left, top = min(x for x, *_ in parts) - 1, min(y for _, y, _ in parts) - 1
    right = max(x + pixels.shape[1] for x, _, pixels in parts) + 1
    bottom = max(y + pixels.shape[0] for _, y, pixels in parts) + 1
    first, second = (np.zeros((bottom - top, right - left), dtype=bool) for _ in range(2))
    for canvas, (x, y, pixels) in zip((first, second), parts, strict=True):
        canvas[y - top : y - top + pixels.shape[0], x - left : x - left + pixels.shape[1]] = pixels
    above_or_below, left_or_right = _with_neighbours(first, axis=0), _with_neighbours(first, axis=1)
    is_around = _with_neighbours(above_or_below, axis=1)
    return bool((is_around & second).any() and not ((above_or_below | left_or_right) & second).any())


def _with_neighbours(mask_HW: NDArray[np.bool_], *, axis: Literal[0, 1]) -> NDArray[np.bool_]:
    """Return a mask whose border is empty with the pixels before and after each along an axis."""
    return mask_HW | np.roll(mask_HW, 1, axis=axis) | np.roll(mask_HW, -1, axis=axis)


def _each_once(annotations: Iterable[ReadAnnotation]) -> list[ReadAnnotation]:
    return list({one.index: one for one in annotations}.values())
