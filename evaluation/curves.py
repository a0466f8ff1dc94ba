"""Precision and recall of each class over all score thresholds, at a mask IoU of 0.5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evaluation.average_precision import precision_and_recall
from evaluation.findings import Findings, Outcome, judge_detections
from evaluation.instances import Detections, GroundTruth


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

    def f1_at(self, thresholds: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return F1, float64 (T,) in 0..1, when detections down to each threshold, float32 (T,), are kept.

        It is 0 where nothing is right.
        """
        num_kept = np.searchsorted(-self.scores, -thresholds, side="right")
        both = self.precision + self.recall
        f1 = np.zeros(len(both) + 1)
        np.divide(2 * self.precision * self.recall, both, out=f1[1:], where=both > 0)
        return np.asarray(f1[num_kept])

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
    return trace_curves(judge_detections(detections, truths, class_names=class_names))


def trace_curves(findings: Findings) -> tuple[Curve, ...]:
    """Return one curve per class of detections that were matched already."""
    num_instances = findings.num_instances().tolist()
    return tuple(
        _class_curve(findings, index, num_instances[index]) for index in range(len(findings.class_names))
    )


def _class_curve(findings: Findings, class_index: int, num_instances: int) -> Curve:
    own = np.flatnonzero(findings.class_indices == class_index)
    outcomes = findings.outcomes[own]
    is_right = outcomes == Outcome.RIGHT
    is_false = ~is_right & (outcomes != Outcome.FORGIVEN)
    precision, recall = precision_and_recall(is_right, is_false, num_instances)
    return Curve(findings.class_names[class_index], num_instances, findings.scores[own], precision, recall)
