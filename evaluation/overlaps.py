"""Which detections and annotated instances of one picture and class overlap, over all pictures at once.

The IoU with a *crowd* is the share of the detection's own area, as COCO's evaluation has it.

Shape suffixes: N detections, M annotated instances, P pairs of one with the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, starmap
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskloop.masks import Rle, areas_px, mask_iou

_PAIRS_AT_ONCE: Final = 50_000


@dataclass(frozen=True)
class Instances:
    """Detections, or annotated instances, of all pictures.

    Attributes:
        pictures: int64 (N,), number of the picture.
        classes: int64 (N,), from 0.
        boxes_xyxy: float64 (N, 4), pixels; they need not agree with the masks.
        masks: N masks.
        is_crowd: bool (N,).
    """

    pictures: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float64]
    masks: Sequence[Rle]
    is_crowd: NDArray[np.bool_]

    def select(self, indices: NDArray[np.int64]) -> Instances:
        """Return the instances at these indices, int64 (K,)."""
        return Instances(
            self.pictures[indices],
            self.classes[indices],
            self.boxes_xyxy[indices],
            [self.masks[index] for index in indices.tolist()],
            self.is_crowd[indices],
        )

    @property
    def groups(self) -> NDArray[np.int64]:
        """One number, int64 (N,), for each class in each picture; increasing with the picture."""
        return self.pictures << 32 | self.classes

    @property
    def box_areas_px(self) -> NDArray[np.float64]:
        """Each box's area, float64 (N,), square pixels."""
        areas: NDArray[np.float64] = np.prod(self.boxes_xyxy[:, 2:] - self.boxes_xyxy[:, :2], axis=1)
        return areas


@dataclass(frozen=True)
class Overlaps:
    """Pairs of a detection and an annotated instance of one picture and class, in any order.

    Attributes:
        detections: int64 (P,), index of the detection.
        truths: int64 (P,), index of the annotated instance.
        iou: float64 (P,), 0..1.
    """

    detections: NDArray[np.int64]
    truths: NDArray[np.int64]
    iou: NDArray[np.float64]

    def at_least(self, min_iou: float) -> Overlaps:
        """Return the pairs with this IoU or more."""
        near = self.iou >= min_iou
        return Overlaps(self.detections[near], self.truths[near], self.iou[near])


_NO_OVERLAPS: Final = Overlaps(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def overlapping_boxes(found: Instances, truth: Instances, *, min_iou: float) -> Overlaps:
    """Return the pairs whose boxes have an IoU of ``min_iou``, above 0, or more."""
    areas_N, areas_M = found.box_areas_px, truth.box_areas_px
    near = [_NO_OVERLAPS]
    for rows, columns in _pairs_of_groups(found.groups, truth.groups):
        box, other = found.boxes_xyxy[rows], truth.boxes_xyxy[columns]
        sides = np.minimum(box[:, 2:], other[:, 2:]) - np.maximum(box[:, :2], other[:, :2])
        shared = np.prod(np.clip(sides, 0, None), axis=1)
        union = np.where(truth.is_crowd[columns], areas_N[rows], areas_N[rows] + areas_M[columns] - shared)
        iou = np.divide(shared, union, out=np.zeros(len(rows)), where=shared > 0)
        near.append(Overlaps(rows, columns, iou).at_least(min_iou))
    return _join(near)


def overlapping_masks(
    found: Instances, truth: Instances, areas_px_N: NDArray[np.int64], *, min_iou: float
) -> Overlaps:
    """Return the pairs whose masks have an IoU of ``min_iou``, above 0, or more.

    Pixels are compared only where the areas allow such an IoU. Those of the detections are int64 (N,).

    Raises:
        MaskError: if the masks of a picture are not of one size.
    """
    areas_px_M = areas_px(truth.masks)
    near = [_NO_OVERLAPS]
    for rows, columns in _pairs_of_groups(found.groups, truth.groups):
        area, other = areas_px_N[rows], areas_px_M[columns]
        smallest_union = np.where(truth.is_crowd[columns], area, np.maximum(area, other))
        is_possible = np.minimum(area, other) / np.maximum(smallest_union, 1) >= min_iou
        rows, columns = rows[is_possible], columns[is_possible]
        near.append(Overlaps(rows, columns, _iou_of_masks(found, truth, rows, columns)).at_least(min_iou))
    return _join(near)


def _iou_of_masks(
    found: Instances, truth: Instances, rows_P: NDArray[np.int64], columns_P: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the IoU of each pair, sorted by picture: all masks of a picture are compared in one call."""
    iou = np.zeros(len(rows_P))
    ends = np.flatnonzero(np.diff(found.pictures[rows_P], prepend=-1, append=-1))
    for own in starmap(slice, pairwise(ends.tolist())):
        own_N, row = np.unique(rows_P[own], return_inverse=True)
        own_M, column = np.unique(columns_P[own], return_inverse=True)
        iou[own] = mask_iou(
            [found.masks[index] for index in own_N.tolist()],
            [truth.masks[index] for index in own_M.tolist()],
            truth.is_crowd[own_M].tolist(),
        )[row, column]
    return iou


def _pairs_of_groups(
    groups_N: NDArray[np.int64], groups_M: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the indices of all pairs within a group, int64 (P,) each, group by group, a few at once."""
    order_N, order_M = (np.argsort(groups, kind="stable") for groups in (groups_N, groups_M))
    wanted_N, sorted_M = groups_N[order_N], groups_M[order_M]
    first_N, end_N = (np.searchsorted(sorted_M, wanted_N, side) for side in ("left", "right"))
    count_N = end_N - first_N
    num_before_N = np.cumsum(count_N) - count_N
    steps = np.flatnonzero(np.diff(num_before_N // _PAIRS_AT_ONCE, prepend=-1, append=-1))
    for own in starmap(slice, pairwise(steps.tolist())):
        count = count_N[own]
        rows = np.repeat(order_N[own], count)
        place = np.arange(len(rows)) - np.repeat(num_before_N[own] - num_before_N[own.start], count)
        yield rows, order_M[np.repeat(first_N[own], count) + place]


def _join(parts: Sequence[Overlaps]) -> Overlaps:
    columns = zip(*((each.detections, each.truths, each.iou) for each in parts), strict=True)
    return Overlaps(*(np.concatenate(column) for column in columns))
