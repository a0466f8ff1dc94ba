"""Precision and recall of each class over all score thresholds, at a mask IoU of 0.5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evaluation.average_precision import precision_and_recall
from evaluation.coco_matching import Extents, Triple, candidates_of_class, pictures_by_class, rank_class
from evaluation.instances import Detections, GroundTruth
from evaluation.matching import TRUE_POSITIVE_IOU, pair_pictures


@dataclass(frozen=True)
class Curve:
    """One class's precision and recall when detections down to each score are kept.

    Attributes:
        class_name: The class.
        num_instances: Annotated non-crowd instances.
        scores: float32 (N,), not increasing.
        precision: float64 (N,), 0..1.
        recall: float64 (N,), not decreasing; NaN for a class without instances.
    """

    class_name: str
    num_instances: int
    scores: NDArray[np.float32]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    def best_f1(self) -> tuple[float, float]:
        """Return the largest F1 a score threshold can reach, and that threshold; NaN where nothing is right.

        F1 is the harmonic mean of precision and recall (C. van Rijsbergen, Information Retrieval, 1979).
        """
        both = self.precision + self.recall
        is_reachable = np.append(self.scores[1:] < self.scores[:-1], True)[: len(both)]  # all of equal score
        f1 = np.zeros(len(both))
        np.divide(2 * self.precision * self.recall, both, out=f1, where=(both > 0) & is_reachable)
        if not f1.any():
            return float("nan"), float("nan")
        best = int(f1.argmax())
        return float(f1[best]), float(self.scores[best])

    def thinned(self, num_points: int = 101) -> Curve:
        """Return the curve at about evenly spaced detections, both ends included, for drawing."""
        if len(self.scores) <= num_points:
            return self
        kept = np.linspace(0, len(self.scores) - 1, num_points).round().astype(np.int64)
        return replace(
            self, scores=self.scores[kept], precision=self.precision[kept], recall=self.recall[kept]
        )


def measure_curves(
    detections: Mapping[str, Detections], truths: Sequence[GroundTruth], *, class_names: Sequence[str]
) -> tuple[Curve, ...]:
    """Measure one curve per class, with COCO's matching and no limit on detections.

    Raises:
        ValueError: as `evaluation.iou.measure_mask_iou`.
    """
    pairs = pair_pictures(detections, truths, num_classes=len(class_names))
    triples = [(found, truth, Extents.of_masks(truth)) for found, truth in pairs]
    most = max((len(found) for found, _ in pairs), default=0)
    by_class = zip(class_names, pictures_by_class(triples, len(class_names)), strict=True)
    return tuple(_class_curve(own, index, name, most) for index, (name, own) in enumerate(by_class))


def _class_curve(pictures_of_class: Sequence[Triple], class_index: int, name: str, most: int) -> Curve:
    pictures = (
        candidates_of_class(*triple, class_index=class_index, kind="segm", max_detections=most)
        for triple in pictures_of_class
    )
    ranking = rank_class(pictures, thresholds=[TRUE_POSITIVE_IOU], sizes=["all"])
    num_instances = int(ranking.num_instances[0])
    precision, recall = precision_and_recall(ranking.is_true[0, 0], ranking.is_false[0, 0], num_instances)
    return Curve(name, num_instances, ranking.scores, precision, recall)
