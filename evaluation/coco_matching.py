"""COCO's greedy matching: best score first, each detection takes the best instance still free.

The rules are those of T.-Y. Lin et al., Microsoft COCO: Common Objects in Context (2014), as settled by the
evaluation code published with it: instances outside a size class and crowd regions are ignored, which also
takes the detections matched to them, and unmatched detections outside the size class, out of the count.

All pictures and classes are matched at once, because they do not depend on each other: only detections that
follow each other in one picture and class do, and those take turns.

Shape suffixes: N detections, M annotated instances, P pairs of one with the other, A size classes, T IoU
thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections, GroundTruth
from evaluation.overlaps import Instances, Overlaps, overlapping_boxes, overlapping_masks
from maskloop.masks import areas_px, boxes_xyxy

Kind = Literal["bbox", "segm"]

SIZE_RANGES_PX: Final[Mapping[str, tuple[float, float]]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""Smallest and largest area of each size class, both included."""

_BELOW_ONE: Final = 1 - 1e-10
"""Tolerance with which a perfect overlap reaches a threshold of 1 despite rounding."""

_NO_BOXES: Final = np.zeros((0, 4))
_DETECTIONS_AT_ONCE: Final = 10_000
"""So many are matched in one step, so that memory stays small."""


@dataclass(frozen=True)
class Extents:
    """Boxes and areas as an annotation file states them; they need not agree with the masks.

    Attributes:
        boxes_xyxy: float64 (M, 4), pixels.
        areas_px: float64 (M,), square pixels.
    """

    boxes_xyxy: NDArray[np.float64]
    areas_px: NDArray[np.float64]

    @classmethod
    def of_masks(cls, truth: GroundTruth) -> Extents:
        """Take tight boxes and pixel counts from the masks."""
        return cls(boxes_xyxy(truth.masks), areas_px(truth.masks).astype(np.float64))


Triple = tuple[Detections, GroundTruth, Extents]
"""What was found in a picture, what is there, and its extents."""


@dataclass(frozen=True)
class Matches:
    """What each detection was matched to, for those that overlap anything.

    Attributes:
        detections: int64 (D,), different indices of detections.
        truths: int64 (A, T, D), index of the annotated instance, or -1.
    """

    detections: NDArray[np.int64]
    truths: NDArray[np.int64]


@dataclass(frozen=True)
class Ranking:
    """All detections of one class over all pictures, best score first; ties in the order of the pictures.

    Attributes:
        place_in_picture: int64 (N,), from 0: the how manieth of its class in its picture.
        is_true: bool (A, T, N), matched to an instance that counts.
        is_false: bool (A, T, N), matched to nothing and not ignored.
        num_instances: int64 (A,), instances that count.
    """

    place_in_picture: NDArray[np.int64]
    is_true: NDArray[np.bool_]
    is_false: NDArray[np.bool_]
    num_instances: NDArray[np.int64]


def rank_classes(
    triples: Sequence[Triple],
    *,
    num_classes: int,
    kind: Kind,
    max_detections: int,
    thresholds: Sequence[float],
    sizes: Sequence[str] = tuple(SIZE_RANGES_PX),
) -> Iterator[Ranking]:
    """Match every picture, then yield each class's detections in one order by score.

    Args:
        triples: One of each picture; equal scores are ranked in this order.
        num_classes: Class indices are below it.
        kind: Compare boxes (``bbox``) or masks (``segm``).
        max_detections: How many detections of a class a picture may have, best first.
        thresholds: T lowest IoU, above 0.
        sizes: A names of `SIZE_RANGES_PX`.
    """
    found, place_N = _best_of_each_class([triple[0] for triple in triples], max_detections)
    truth, stated_areas_M = _annotated(triples)
    min_iou = min(*thresholds, _BELOW_ONE)
    if kind == "bbox":
        areas_N = found.box_areas_px
        overlaps = overlapping_boxes(found, truth, min_iou=min_iou)
    else:
        pixels_N = areas_px(found.masks)
        areas_N = pixels_N.astype(np.float64)
        overlaps = overlapping_masks(found, truth, pixels_N, min_iou=min_iou)
    ranges = np.array([SIZE_RANGES_PX[size] for size in sizes])
    is_ignored_AM = truth.is_crowd | _outside(stated_areas_M, ranges)
    matches = match_greedily(overlaps, found.groups, is_ignored_AM, truth.is_crowd, np.asarray(thresholds))
    is_true, is_false = _count(matches, is_ignored_AM, _outside(areas_N, ranges))
    bounds = np.searchsorted(found.classes, np.arange(num_classes + 1)).tolist()
    for index, (start, stop) in enumerate(pairwise(bounds)):
        num_instances = (~is_ignored_AM[:, truth.classes == index]).sum(axis=1)
        own = slice(start, stop)
        yield Ranking(place_N[own], is_true[:, :, own], is_false[:, :, own], num_instances)


def match_greedily(
    overlaps: Overlaps,
    groups_N: NDArray[np.int64],
    is_ignored_AM: NDArray[np.bool_],
    is_crowd_M: NDArray[np.bool_],
    thresholds_T: NDArray[np.float64],
) -> Matches:
    """Match detections, best score first, for every size class and IoU threshold at once.

    A detection takes the free instance of largest IoU (of equal ones the last); an ignored one only where no
    other is left. A crowd is never used up.

    Args:
        overlaps: Of one group each; of two detections of a group, the lower index has the better score.
        groups_N: int64 (N,), the picture and class of each detection: they never want the same instance as
            detections of another group. The first of every group are matched at once, then the second.
        is_ignored_AM: Instances that do not count.
        is_crowd_M: Crowd regions.
        thresholds_T: Lowest IoU, above 0.
    """
    near = np.unique(overlaps.detections)
    turn_N = np.zeros(len(groups_N), dtype=np.int64)
    turn_N[near] = _places_in_group(groups_N[near])
    turn_P = turn_N[overlaps.detections]
    order = np.lexsort((overlaps.truths, overlaps.iou, overlaps.detections, turn_P))  # the best comes last
    detection_P, truth_P = overlaps.detections[order], overlaps.truths[order]
    iou_P, turn_P, num_pairs = overlaps.iou[order], turn_P[order], len(order)
    first_D = np.flatnonzero(np.diff(detection_P, prepend=-1))
    end_D = np.append(first_D, num_pairs)[1:]

    shape = (len(is_ignored_AM), len(thresholds_T))
    matched = np.full((*shape, len(first_D)), -1, dtype=np.int64)
    is_free = np.ones((*shape, len(is_crowd_M)), dtype=bool)
    required_T1 = np.minimum(thresholds_T, _BELOW_ONE)[:, None]
    for start, stop in _steps(turn_P[first_D]):
        own = slice(first_D[start], end_D[stop - 1])
        truth = truth_P[own]
        is_allowed = is_free[:, :, truth] & (iou_P[own] >= required_T1)
        rank = np.arange(own.start, own.stop) + np.where(is_ignored_AM[:, truth], 0, num_pairs)
        wish = np.where(is_allowed, rank[:, None], -1)
        best = np.maximum.reduceat(wish, first_D[start:stop] - own.start, axis=2)
        size, threshold, row = np.nonzero(best >= 0)
        chosen = truth_P[best[size, threshold, row] % num_pairs]
        matched[size, threshold, start + row] = chosen
        is_free[size, threshold, chosen] = is_crowd_M[chosen]
    return Matches(detection_P[first_D], matched)


def _steps(turn_D: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield the start and end of detections whose turns, not decreasing, are the same; few at once."""
    new_turn = np.flatnonzero(np.diff(turn_D, prepend=-1))
    starts = np.union1d(new_turn, np.arange(0, len(turn_D), _DETECTIONS_AT_ONCE)).tolist()
    return pairwise([*starts, len(turn_D)])


def _count(
    matches: Matches, is_ignored_AM: NDArray[np.bool_], is_outside_AN: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which detections are true and which false, bool (A, T, N) each."""
    num_sizes, num_thresholds, _ = matches.truths.shape
    is_false = np.repeat(~is_outside_AN[:, None], num_thresholds, axis=1)
    is_true = np.zeros(is_false.shape, dtype=bool)
    is_matched = matches.truths >= 0
    is_counted = ~is_ignored_AM[np.arange(num_sizes)[:, None, None], matches.truths]
    is_true[:, :, matches.detections] = is_matched & is_counted
    is_false[:, :, matches.detections] &= ~is_matched
    return is_true, is_false


def _best_of_each_class(
    pictures: Sequence[Detections], max_detections: int
) -> tuple[Instances, NDArray[np.int64]]:
    """Return the detections by class, best score first, and the place of each in its picture and class."""
    found = Instances(
        *_pictures_and_classes(pictures),
        np.concatenate([_NO_BOXES, *(each.boxes_xyxy for each in pictures)]),
        [mask for each in pictures for mask in each.masks],
        np.zeros(sum(map(len, pictures)), dtype=bool),
    )
    scores = np.concatenate([np.zeros(0, np.float32), *(each.scores for each in pictures)])
    order = np.lexsort((-scores, found.classes))
    place = _places_in_group(found.groups[order])
    return found.select(order[place < max_detections]), place[place < max_detections]


def _annotated(triples: Sequence[Triple]) -> tuple[Instances, NDArray[np.float64]]:
    """Return the annotated instances in the order of the pictures, and their stated areas."""
    truths, extents = [truth for _, truth, _ in triples], [each for _, _, each in triples]
    instances = Instances(
        *_pictures_and_classes(truths),
        np.concatenate([_NO_BOXES, *(each.boxes_xyxy for each in extents)]),
        [mask for truth in truths for mask in truth.masks],
        np.concatenate([np.zeros(0, dtype=bool), *(truth.is_crowd for truth in truths)]),
    )
    return instances, np.concatenate([np.zeros(0), *(each.areas_px for each in extents)])


def _pictures_and_classes(
    sides: Sequence[Detections] | Sequence[GroundTruth],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    numbers = np.repeat(np.arange(len(sides)), [len(side.masks) for side in sides])
    return numbers, np.concatenate([np.zeros(0, np.int64), *(side.class_indices for side in sides)])


def _places_in_group(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many of the same group come before each.

    >>> _places_in_group(np.array([7, 3, 7, 7])).tolist()
    [0, 0, 1, 2]
    """
    order = np.argsort(groups, kind="stable")
    first = np.flatnonzero(np.diff(groups[order], prepend=-1))
    places = np.empty(len(groups), dtype=np.int64)
    places[order] = np.arange(len(groups)) - np.repeat(first, np.diff(first, append=len(groups)))
    return places


def _outside(areas: NDArray[np.float64], ranges_A2: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether each area lies outside each size class, shape (A, number of areas)."""
    return (areas < ranges_A2[:, :1]) | (areas > ranges_A2[:, 1:])
