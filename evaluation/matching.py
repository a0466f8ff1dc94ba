"""Who found what: detections assigned to annotated instances, within one picture.

Two assignments exist in this package. This one is optimal (the summed IoU is largest) and feeds the gated
figure; COCO's is greedy by score and lives in `coco_matching`, because published average precisions are
defined by it.

Shape suffixes: N detections, M annotated instances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections, GroundTruth, ScoreThreshold
from maskloop.masks import mask_iou

TRUE_POSITIVE_IOU: Final = 0.5
CROWD_OVERLAP: Final = 0.5


@dataclass(frozen=True)
class PictureMatch:
    """How the detections and the annotated instances of one picture belong together.

    A detection below the score threshold, or forgiven by a crowd region, is neither true nor false positive.

    Attributes:
        truth_iou: float64 (M,), IoU of each annotated instance with its detection; 0 where it was missed,
            and for crowd regions, which need not be found.
        detection_of_truth: int64 (M,), index of that detection, or -1.
        is_true_positive: bool (N,), assigned with an IoU of at least 0.5.
        is_false_positive: bool (N,).
    """

    truth_iou: NDArray[np.float64]
    detection_of_truth: NDArray[np.int64]
    is_true_positive: NDArray[np.bool_]
    is_false_positive: NDArray[np.bool_]


def match_picture(
    detections: Detections, truth: GroundTruth, *, num_classes: int, score_threshold: ScoreThreshold
) -> PictureMatch:
    """Assign detections to annotated instances one-to-one per class, so that the summed IoU is largest.

    Detections that are not true positives and lie at least half inside a crowd region of their class
    (measured as intersection over the detection's own area) are forgiven.

    Args:
        detections: Of any score; those below ``score_threshold`` are left out.
        truth: Of the same picture.
        num_classes: Class indices are below it.
        score_threshold: 0..1, one or each class's own.

    Raises:
        ValueError: if the two are not of one size, or a class index is not in ``0..num_classes - 1``.
    """
    check_same_picture(detections, truth, num_classes=num_classes)
    match = PictureMatch(
        np.zeros(len(truth.masks)),
        np.full(len(truth.masks), -1, dtype=np.int64),
        np.zeros(len(detections), dtype=bool),
        np.zeros(len(detections), dtype=bool),
    )
    counted = detections.reach(score_threshold)
    for class_index in np.unique(detections.class_indices[counted]):
        found = np.flatnonzero(counted & (detections.class_indices == class_index))
        annotated = np.flatnonzero(truth.class_indices == class_index)
        _match_class(detections, truth, found, annotated, match)
    return match


def _match_class(
    detections: Detections,
    truth: GroundTruth,
    found: NDArray[np.intp],
    annotated: NDArray[np.intp],
    match: PictureMatch,
) -> None:
    """Fill ``match`` for one class's detections and instances, given by their indices."""
    is_crowd = truth.is_crowd[annotated]
    iou_NM = mask_iou(
        [detections.masks[index] for index in found],
        [truth.masks[index] for index in annotated],
        is_crowd.tolist(),
    )
    regular = annotated[~is_crowd]
    rows, columns = assign(iou_NM[:, ~is_crowd])
    matched_iou = iou_NM[:, ~is_crowd][rows, columns]
    match.truth_iou[regular[columns]] = matched_iou
    match.detection_of_truth[regular[columns]] = found[rows]
    match.is_true_positive[found[rows]] = matched_iou >= TRUE_POSITIVE_IOU
    is_forgiven = (iou_NM[:, is_crowd] >= CROWD_OVERLAP).any(axis=1)
    match.is_false_positive[found] = ~match.is_true_positive[found] & ~is_forgiven


def assign(gain_NM: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of the one-to-one assignment with the largest sum, without pairs of gain 0.

    The gain is float64 (N, M); rows and columns are int64 (K,), K at most the smaller of N and M.

    >>> assign(np.array([[0.9, 0.8], [0.7, 0.0]]))
    (array([0, 1]), array([1, 0]))
    """
    from scipy.optimize import linear_sum_assignment  # 0.7 s of CPU: the pages that import this never match

    rows, columns = linear_sum_assignment(gain_NM, maximize=True)
    useful = gain_NM[rows, columns] > 0
    return rows[useful], columns[useful]


def check_same_picture(detections: Detections, truth: GroundTruth, *, num_classes: int) -> None:
    """Raise ValueError unless both are of one picture size and within the class list."""
    found, annotated = (detections.height_px, detections.width_px), (truth.height_px, truth.width_px)
    if found != annotated:
        raise ValueError(
            f"picture {truth.picture_id}: detections for {found} px, annotations for {annotated} px"
        )
    for name, indices in (("detected", detections.class_indices), ("annotated", truth.class_indices)):
        if indices.size and (indices.min() < 0 or indices.max() >= num_classes):
            raise ValueError(
                f"picture {truth.picture_id}: a {name} class index is not in 0..{num_classes - 1}"
            )


def pair_pictures(
    detections: Mapping[str, Detections], truths: Sequence[GroundTruth], *, num_classes: int
) -> list[tuple[Detections, GroundTruth]]:
    """Bring together what belongs to one picture, sorted by picture id.

    Raises:
        ValueError: if a picture was annotated but never evaluated, occurs twice, or fits badly
            (see `check_same_picture`). Detections of other pictures are ignored.
    """
    missing = sorted(truth.picture_id for truth in truths if truth.picture_id not in detections)
    if missing:
        raise ValueError(f"{len(missing)} pictures were not evaluated: {', '.join(missing[:5])}")
    if len({truth.picture_id for truth in truths}) < len(truths):
        raise ValueError("a picture occurs twice among the annotated ones")
    pairs = [(detections[t.picture_id], t) for t in sorted(truths, key=lambda truth: truth.picture_id)]
    for found, truth in pairs:
        check_same_picture(found, truth, num_classes=num_classes)
    return pairs
