"""Which class is taken for which, missed, or seen where there is nothing.

Shape suffixes: N detections, M annotated instances, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections, GroundTruth, ScoreThreshold
from evaluation.matching import CROWD_OVERLAP, TRUE_POSITIVE_IOU, assign, pair_pictures
from maskloop.masks import mask_iou

BACKGROUND: Final = "background"
_PREFER_SAME_CLASS: Final = 1e-6


@dataclass(frozen=True)
class Confusion:
    """Instances by what they are (rows) and what they were taken for (columns).

    Attributes:
        class_names: C names; the last row and column of ``counts`` are the background.
        counts: int64 (C + 1, C + 1). The last column holds missed instances, the last row detections of
            nothing; the corner is always 0.
    """

    class_names: tuple[str, ...]
    counts: NDArray[np.int64]

    def rows(self) -> list[dict[str, Any]]:
        """Return one plain dict per row for tables: what it is, and how often it was taken for what."""
        labels = (*self.class_names, BACKGROUND)
        return [
            {
                "it is": label,
                **{f"taken for {other}": count for other, count in zip(labels, row, strict=True)},
            }
            for label, row in zip(labels, self.counts.tolist(), strict=True)
        ]


def measure_confusion(
    detections: Mapping[str, Detections],
    truths: Sequence[GroundTruth],
    *,
    class_names: Sequence[str],
    score_threshold: ScoreThreshold,
) -> Confusion:
    """Assign detections to instances of any class one-to-one, largest summed IoU, and count the class pairs.

    Pairs with an IoU below 0.5 are not assigned; of equally good detections the one of the right class is.
    Left-over detections at least half inside a crowd region of any class are not counted.

    Raises:
        ValueError: as `evaluation.iou.measure_mask_iou`.
    """
    num_classes = len(class_names)
    counts = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)
    for found, truth in pair_pictures(detections, truths, num_classes=num_classes):
        kept = found.select(found.reach(score_threshold))
        np.add.at(counts, _class_pairs(kept, truth, num_classes), 1)
    return Confusion(tuple(class_names), counts)


def _class_pairs(
    found: Detections, truth: GroundTruth, background: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the true and the predicted class of every instance and every left-over detection."""
    iou_NM = mask_iou(found.masks, truth.masks, truth.is_crowd.tolist())
    regular = np.flatnonzero(~truth.is_crowd)
    iou = iou_NM[:, regular]
    is_same = found.class_indices[:, None] == truth.class_indices[regular]
    rows, columns = assign(np.where(iou >= TRUE_POSITIVE_IOU, iou + _PREFER_SAME_CLASS * is_same, 0.0))
    predicted = np.full(len(regular), background, dtype=np.int64)
    predicted[columns] = found.class_indices[rows]
    is_settled = np.any(iou_NM[:, truth.is_crowd] >= CROWD_OVERLAP, axis=1)
    phantoms = np.delete(found.class_indices, np.union1d(np.flatnonzero(is_settled), rows))
    true = np.concatenate([truth.class_indices[regular], np.full(len(phantoms), background)])
    return true, np.concatenate([predicted, phantoms])
