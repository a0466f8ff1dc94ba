"""COCO's greedy matching: best score first, each detection takes the best instance still free.

The rules are those of T.-Y. Lin et al., Microsoft COCO: Common Objects in Context (2014), as settled by the
evaluation code published with it: instances outside a size class and crowd regions are ignored, which also
takes the detections matched to them, and unmatched detections outside the size class, out of the count.

Shape suffixes: N detections, M annotated instances, A size classes, T IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections, GroundTruth
from maskloop.masks import areas_px, boxes_xyxy, mask_iou

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
class Candidates:
    """One class's detections and annotated instances in one picture, best score first.

    Attributes:
        scores: float32 (N,), not increasing.
        iou: float64 (N, M); over the detection's own area where the instance is a crowd.
        detection_areas_px: float64 (N,).
        truth_areas_px: float64 (M,).
        is_crowd: bool (M,).
    """

    scores: NDArray[np.float32]
    iou: NDArray[np.float64]
    detection_areas_px: NDArray[np.float64]
    truth_areas_px: NDArray[np.float64]
    is_crowd: NDArray[np.bool_]


@dataclass(frozen=True)
class Ranking:
    """All detections of one class over all pictures, best score first; ties in the order of the pictures.

    Attributes:
        scores: float32 (N,), not increasing.
        place_in_picture: int64 (N,), from 0: the how manieth of its class in its picture.
        is_true: bool (A, T, N), matched to an instance that counts.
        is_false: bool (A, T, N), matched to nothing and not ignored.
        num_instances: int64 (A,), instances that count.
    """

    scores: NDArray[np.float32]
    place_in_picture: NDArray[np.int64]
    is_true: NDArray[np.bool_]
    is_false: NDArray[np.bool_]
    num_instances: NDArray[np.int64]


def pictures_by_class(triples: Sequence[Triple], num_classes: int) -> list[list[Triple]]:
    """Return each class's pictures, in order: those where it was found or annotated."""
    pictures: list[list[Triple]] = [[] for _ in range(num_classes)]
    for triple in triples:
        for index in np.union1d(triple[0].class_indices, triple[1].class_indices).tolist():
            pictures[index].append(triple)
    return pictures


def candidates_of_class(
    detections: Detections,
    truth: GroundTruth,
    extents: Extents,
    *,
    class_index: int,
    kind: Kind,
    max_detections: int,
) -> Candidates:
    """Pick one class out of a picture and measure its overlaps."""
    found = np.flatnonzero(detections.class_indices == class_index)
    found = found[np.argsort(-detections.scores[found], kind="stable")][:max_detections]
    annotated = np.flatnonzero(truth.class_indices == class_index)
    is_crowd = truth.is_crowd[annotated]
    if kind == "bbox":
        boxes = detections.boxes_xyxy[found].astype(np.float64)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        iou = box_iou(boxes, extents.boxes_xyxy[annotated], is_crowd)
    else:
        masks = [detections.masks[index] for index in found]
        areas = areas_px(masks).astype(np.float64)
        iou = mask_iou(masks, [truth.masks[index] for index in annotated], is_crowd.tolist())
    return Candidates(detections.scores[found], iou, areas, extents.areas_px[annotated], is_crowd)


def box_iou(
    boxes_N4: NDArray[np.float64], boxes_M4: NDArray[np.float64], is_crowd_M: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return intersection over union of xyxy boxes, float64 (N, M); a crowd column divides by the first area.

    >>> box_iou(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2], [0, 0, 4, 4]]), np.array([False, True]))
    array([[0.33333333, 1.        ]])
    """
    sides = np.minimum(boxes_N4[:, None, 2:], boxes_M4[:, 2:]) - np.maximum(
        boxes_N4[:, None, :2], boxes_M4[:, :2]
    )
    shared = np.prod(np.clip(sides, 0, None), axis=2)
    area_N1 = np.prod(boxes_N4[:, 2:] - boxes_N4[:, :2], axis=1)[:, None]
    area_M = np.prod(boxes_M4[:, 2:] - boxes_M4[:, :2], axis=1)
    union = np.where(is_crowd_M, area_N1, area_N1 + area_M - shared)
    iou = np.zeros(shared.shape)
    np.divide(shared, union, out=iou, where=shared > 0)
    return iou


def match_greedily(
    iou_NM: NDArray[np.float64],
    is_ignored_AM: NDArray[np.bool_],
    is_crowd_M: NDArray[np.bool_],
    thresholds_T: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Match detections, best score first, for every size class and IoU threshold at once.

    A detection takes the free instance of largest IoU (of equal ones the last); an ignored one only where no
    other is left. A crowd is never used up.

    Returns:
        The instance each detection was matched to, or -1, int64 (A, T, N), and whether that is ignored, bool.
    """
    shape = (len(is_ignored_AM), len(thresholds_T))
    matched = np.full((*shape, len(iou_NM)), -1, dtype=np.int64)
    is_on_ignored = np.zeros(matched.shape, dtype=bool)
    is_free = np.ones((*shape, len(is_crowd_M)), dtype=bool)
    required_T1 = np.minimum(thresholds_T, _BELOW_ONE)[:, None]
    for row, iou_M in enumerate(iou_NM):
        near = np.flatnonzero(iou_M >= required_T1.min())[::-1]
        if not near.size:
            continue
        allowed = (iou_M[near] >= required_T1) & is_free[:, :, near]
        preferred = allowed & ~is_ignored_AM[:, None, near]
        pool = np.where(preferred.any(axis=2, keepdims=True), preferred, allowed)
        size, threshold = np.nonzero(pool.any(axis=2))
        chosen = near[np.where(pool, iou_M[near], -1.0).argmax(axis=2)][size, threshold]
        matched[size, threshold, row] = chosen
        is_on_ignored[size, threshold, row] = is_ignored_AM[size, chosen]
        is_free[size, threshold, chosen] = is_crowd_M[chosen]
    return matched, is_on_ignored


def rank_class(
    pictures: Iterable[Candidates],
    *,
    thresholds: Sequence[float],
    sizes: Sequence[str] = tuple(SIZE_RANGES_PX),
) -> Ranking:
    """Match every picture of one class and bring all detections into one order by score."""
    ranges = np.array([SIZE_RANGES_PX[name] for name in sizes])
    limits = np.asarray(thresholds, dtype=np.float64)
    scores, places = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)]
    true = [np.zeros((len(ranges), len(limits), 0), dtype=bool)]
    false = [*true]
    num_instances = np.zeros(len(ranges), dtype=np.int64)
    for picture in pictures:
        is_ignored_AM = picture.is_crowd | _outside(picture.truth_areas_px, ranges)
        matched, is_on_ignored = match_greedily(picture.iou, is_ignored_AM, picture.is_crowd, limits)
        is_outside_AN = _outside(picture.detection_areas_px, ranges)
        scores.append(picture.scores)
        places.append(np.arange(len(picture.scores)))
        true.append((matched >= 0) & ~is_on_ignored)
        false.append((matched < 0) & ~is_outside_AN[:, None])
        num_instances += (~is_ignored_AM).sum(axis=1)
    all_scores = np.concatenate(scores)
    order = np.argsort(-all_scores, kind="stable")
    is_true, is_false = (np.concatenate(parts, axis=2)[:, :, order] for parts in (true, false))
    return Ranking(all_scores[order], np.concatenate(places)[order], is_true, is_false, num_instances)


def _outside(areas: NDArray[np.float64], ranges_A2: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether each area lies outside each size class, shape (A, number of areas)."""
    return (areas < ranges_A2[:, :1]) | (areas > ranges_A2[:, 1:])
