"""Class mask IoU, the gated figure: see `evaluation.instances.IouTable` for its definition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections, GroundTruth, IouTable, ScoreThreshold
from evaluation.matching import match_picture, pair_pictures


def measure_mask_iou(
    detections: Mapping[str, Detections],
    truths: Sequence[GroundTruth],
    *,
    class_names: Sequence[str],
    score_threshold: ScoreThreshold,
    progress: Callable[[int, int], None] | None = None,
) -> IouTable:
    """Measure, per picture and class, how well each annotated instance was covered.

    Args:
        detections: By picture id. A picture on which nothing was found has an entry of length 0.
        truths: The pictures to evaluate, in any order.
        class_names: C names; both sides' class indices point into it.
        score_threshold: 0..1, one or each class's own; lower-scored detections are left out.
        progress: Called with pictures done and pictures in all.

    Raises:
        ValueError: if an annotated picture has no entry in ``detections``, occurs twice, is of another size,
            or holds a class index outside the list.
    """
    num_classes = len(class_names)
    pairs = pair_pictures(detections, truths, num_classes=num_classes)
    iou_sum = np.zeros((len(pairs), num_classes))
    num_instances, num_true, num_false = np.zeros((3, len(pairs), num_classes), dtype=np.int64)
    for row, (found, truth) in enumerate(pairs):
        match = match_picture(found, truth, num_classes=num_classes, score_threshold=score_threshold)
        regular = truth.class_indices[~truth.is_crowd]
        iou_sum[row] = np.bincount(regular, match.truth_iou[~truth.is_crowd], minlength=num_classes)
        num_instances[row] = _count(regular, num_classes)
        num_true[row] = _count(found.class_indices[match.is_true_positive], num_classes)
        num_false[row] = _count(found.class_indices[match.is_false_positive], num_classes)
        if progress:
            progress(row + 1, len(pairs))
    ids, sources = [truth.picture_id for _, truth in pairs], [truth.source for _, truth in pairs]
    return IouTable(
        tuple(class_names),
        tuple(ids),
        tuple(sources),
        score_threshold,
        iou_sum,
        num_instances,
        num_true,
        num_false,
    )


def _count(class_indices: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    return np.bincount(class_indices, minlength=num_classes).astype(np.int64)
