"""What became of every detection: right, forgiven, or wrong, and then in which way, at a mask IoU of 0.5.

Curves, error types and calibration are all counted from this one list.

The ways to be wrong are those of D. Bolya, S. Foley, J. Hays and J. Hoffman, TIDE: A General Toolbox for
Identifying Object Detection Errors (2020), in the order in which the program published with it tries them.

Shape suffixes: N detections, M annotated instances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.coco_matching import match_greedily
from evaluation.instances import Detections, GroundTruth
from evaluation.matching import TRUE_POSITIVE_IOU, pair_pictures
from evaluation.overlaps import Overlaps
from maskloop.masks import mask_iou

BACKGROUND_IOU: Final = 0.1


class Outcome(IntEnum):
    """What a detection is. Overlaps are with annotated instances that are no crowd."""

    RIGHT = 0
    """Matched to an instance of its class, as COCO matches."""
    FORGIVEN = 1
    """At least half inside a crowd region of its class."""
    CLASS = 2
    """Overlaps an instance of another class by 0.5 or more."""
    LOCATION = 3
    """Overlaps an instance of its class by 0.1 to 0.5."""
    BOTH = 4
    """Overlaps only instances of other classes, by 0.1 to 0.5."""
    DUPLICATE = 5
    """Overlaps an instance of its class by more than 0.5, which a better detection has found."""
    BACKGROUND = 6
    """Overlaps nothing by more than 0.1."""


WRONG: Final = tuple(outcome for outcome in Outcome if outcome > Outcome.FORGIVEN)


@dataclass(frozen=True)
class Findings:
    """Every detection of all pictures, best score first; equal scores in the order of the pictures.

    Attributes:
        class_names: C names.
        scores: float32 (N,), not increasing.
        class_indices: int64 (N,), what each was taken for.
        outcomes: int8 (N,), of `Outcome`.
        targets: int64 (N,), the instance that a right one has found, and that one wrong in class or location
            would have; -1 for all others.
        truth_classes: int64 (M,), of all annotated instances that are no crowd.
    """

    class_names: tuple[str, ...]
    scores: NDArray[np.float32]
    class_indices: NDArray[np.int64]
    outcomes: NDArray[np.int8]
    targets: NDArray[np.int64]
    truth_classes: NDArray[np.int64]

    def num_instances(self) -> NDArray[np.int64]:
        """Return how many instances each class has, int64 (C,)."""
        return count_by_class(self.truth_classes, len(self.class_names))

    def is_found(self) -> NDArray[np.bool_]:
        """Return whether each instance was found, bool (M,)."""
        found = np.zeros(len(self.truth_classes), dtype=bool)
        found[self.targets[self.outcomes == Outcome.RIGHT]] = True
        return found


def judge_detections(
    detections: Mapping[str, Detections], truths: Sequence[GroundTruth], *, class_names: Sequence[str]
) -> Findings:
    """Match every picture as COCO does at a mask IoU of 0.5, and say of each detection what it is.

    Args:
        detections: By picture id, of any score and any number.
        truths: The pictures to evaluate, in any order.
        class_names: C names.

    Raises:
        ValueError: as `evaluation.iou.measure_mask_iou`.
    """
    parts = [(np.zeros(0, np.float32), _none(np.int64), _none(np.int8), _none(np.int64))]
    truth_classes = [_none(np.int64)]
    num_before = 0
    for found, truth in pair_pictures(detections, truths, num_classes=len(class_names)):
        order = np.argsort(-found.scores, kind="stable")
        outcomes, targets = _judge_picture(found, truth, order)
        targets[targets >= 0] += num_before
        parts.append((found.scores[order], found.class_indices[order], outcomes, targets))
        truth_classes.append(truth.class_indices[~truth.is_crowd])
        num_before += len(truth_classes[-1])
    scores, class_indices, outcomes, targets = (np.concatenate(column) for column in zip(*parts, strict=True))
    best_first = np.argsort(-scores, kind="stable")
    return Findings(
        tuple(class_names),
        scores[best_first],
        class_indices[best_first],
        outcomes[best_first],
        targets[best_first],
        np.concatenate(truth_classes),
    )


def count_by_class(class_indices: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """Return how often each class occurs, int64 (C,)."""
    return np.bincount(class_indices, minlength=num_classes).astype(np.int64)


def _judge_picture(
    found: Detections, truth: GroundTruth, order_N: NDArray[np.intp]
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Return outcomes and targets of one picture's detections; targets count its regular instances."""
    iou_NM = mask_iou([found.masks[index] for index in order_N], truth.masks, truth.is_crowd.tolist())
    classes_N = found.class_indices[order_N]
    is_same_NM = classes_N[:, None] == truth.class_indices
    rows, columns = np.nonzero(is_same_NM & (iou_NM >= TRUE_POSITIVE_IOU))
    matches = match_greedily(
        Overlaps(rows, columns, iou_NM[rows, columns]),
        classes_N,
        truth.is_crowd[None],
        truth.is_crowd,
        np.array([TRUE_POSITIVE_IOU]),
    )
    matched = np.full(len(order_N), -1, dtype=np.int64)
    matched[matches.detections] = matches.truths[0, 0]
    is_on_crowd = np.append(truth.is_crowd, False)[matched]
    regular = ~truth.is_crowd
    same_NM = np.where(is_same_NM, iou_NM, 0.0)[:, regular]
    other_NM = np.where(is_same_NM, 0.0, iou_NM)[:, regular]
    outcomes = _outcomes(
        matched >= 0,
        is_on_crowd,
        same_NM.max(axis=1, initial=0.0),
        other_NM.max(axis=1, initial=0.0),
    )
    targets = np.full(len(order_N), -1, dtype=np.int64)
    for outcome, wanted_NM in ((Outcome.LOCATION, same_NM), (Outcome.CLASS, other_NM)):
        rows = np.flatnonzero(outcomes == outcome)
        targets[rows] = wanted_NM[rows].argmax(axis=1) if rows.size else -1
    is_right = outcomes == Outcome.RIGHT
    targets[is_right] = (np.cumsum(regular) - 1)[matched[is_right]]
    return outcomes, targets


def _outcomes(
    is_matched_N: NDArray[np.bool_],
    is_on_crowd_N: NDArray[np.bool_],
    same_N: NDArray[np.float64],
    other_N: NDArray[np.float64],
) -> NDArray[np.int8]:
    """Return outcomes, from the largest overlaps with instances of the same and of other classes."""
    rules = {
        Outcome.FORGIVEN: is_on_crowd_N,
        Outcome.RIGHT: is_matched_N,
        Outcome.LOCATION: (same_N >= BACKGROUND_IOU) & (same_N <= TRUE_POSITIVE_IOU),
        Outcome.CLASS: other_N >= TRUE_POSITIVE_IOU,
        Outcome.DUPLICATE: same_N > TRUE_POSITIVE_IOU,
        Outcome.BACKGROUND: other_N <= BACKGROUND_IOU,
    }
    return np.select(list(rules.values()), list(rules), default=Outcome.BOTH).astype(np.int8)


def _none(dtype: type[np.generic]) -> NDArray[np.generic]:
    return np.zeros(0, dtype=dtype)
