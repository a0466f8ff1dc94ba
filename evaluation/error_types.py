"""Which kind of error costs how much average precision.

D. Bolya, S. Foley, J. Hays and J. Hoffman, TIDE: A General Toolbox for Identifying Object Detection Errors
(2020): for each kind, an oracle cures its errors, and what AP at an IoU of 0.5 gains is what they cost. The
gains do not add up to what is missing: one error may hide behind another.

Shape suffixes: N detections, C classes, K kinds of error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.average_precision import average_precision, precision_and_recall
from evaluation.findings import WRONG, Findings, Outcome, count_by_class

MISSED: Final = "missed"
ERROR_KINDS: Final = (*(outcome.name.lower() for outcome in WRONG), MISSED)
"""``class``, ``location``, ``both``, ``duplicate``, ``background`` as in `evaluation.findings.Outcome`, and
``missed``: instances that nothing found, and nothing would with another class or a better mask."""


@dataclass(frozen=True)
class ErrorTypes:
    """Errors of every kind, over detections of all scores.

    Attributes:
        class_names: C names.
        ap50: float64 (C,), average precision at a mask IoU of 0.5; NaN for a class without instances.
        counts: int64 (K, C), by the class a detection said; missed ones by the class they have.
        cured_ap50: float64 (K, C), with that kind of error cured; NaN for a class without instances.
    """

    class_names: tuple[str, ...]
    ap50: NDArray[np.float64]
    counts: NDArray[np.int64]
    cured_ap50: NDArray[np.float64]

    def class_gains(self) -> NDArray[np.float64]:
        """Return what curing each kind gains in each class, float64 (K, C)."""
        return self.cured_ap50 - self.ap50

    def gains(self) -> dict[str, float]:
        """Return what curing each kind gains on average over the classes with instances; NaN without any."""
        known = np.isfinite(self.ap50)
        if not known.any():
            return dict.fromkeys(ERROR_KINDS, float("nan"))
        means = self.class_gains()[:, known].mean(axis=1)
        means = np.maximum(means, 0.0)  # less is rounding: no cure makes anything worse
        return dict(zip(ERROR_KINDS, means.tolist(), strict=True))

    def totals(self) -> dict[str, int]:
        """Return how many errors of each kind there are in all classes."""
        return dict(zip(ERROR_KINDS, self.counts.sum(axis=1).tolist(), strict=True))


def measure_error_types(findings: Findings) -> ErrorTypes:
    """Count the errors of each kind, and measure what curing them would gain."""
    num_classes = len(findings.class_names)
    wrong = [findings.class_indices[findings.outcomes == outcome] for outcome in WRONG]
    counts = [count_by_class(classes, num_classes) for classes in (*wrong, _classes_missed(findings))]
    cured_ap50 = [class_ap50(findings, cured=[kind]) for kind in ERROR_KINDS]
    return ErrorTypes(findings.class_names, class_ap50(findings), np.stack(counts), np.stack(cured_ap50))


def class_ap50(findings: Findings, *, cured: Sequence[str] = ()) -> NDArray[np.float64]:
    """Return each class's AP at a mask IoU of 0.5 once some kinds of error are cured, float64 (C,).

    A wrong class or location is put right, unless its instance was found or a better detection is put right
    for it; other wrong detections are dropped; missed instances are not asked for. NaN for a class without
    instances; where all of them were missed and are not asked for, 1 without wrong detections and else 0.

    Args:
        findings: What became of every detection.
        cured: Some of `ERROR_KINDS`.
    """
    is_cured = np.isin(findings.outcomes, [kind for kind in WRONG if kind.name.lower() in cured])
    is_put_right = is_cured & _is_best_for_its_target(findings)
    is_right = is_put_right | (findings.outcomes == Outcome.RIGHT)
    is_kept = is_right | (~is_cured & (findings.outcomes != Outcome.FORGIVEN))
    class_indices = findings.class_indices.copy()
    class_indices[is_put_right] = findings.truth_classes[findings.targets[is_put_right]]
    num_asked = num_instances = findings.num_instances()
    if MISSED in cured:
        num_asked = num_instances - count_by_class(_classes_missed(findings), len(num_instances))
    ap = np.full(len(num_instances), np.nan)
    for index in np.flatnonzero(num_instances):
        own = is_right[is_kept & (class_indices == index)]
        ap[index] = _ap50(own, int(num_asked[index]))
    return ap


def _ap50(is_right_N: NDArray[np.bool_], num_instances: int) -> float:
    if not num_instances:
        return float(not is_right_N.size)
    return average_precision(*precision_and_recall(is_right_N, ~is_right_N, num_instances))


def _is_best_for_its_target(findings: Findings) -> NDArray[np.bool_]:
    """Return which wrong detections are the best one for an instance that was not found, bool (N,)."""
    wanting = np.flatnonzero((findings.targets >= 0) & (findings.outcomes != Outcome.RIGHT))
    wanting = wanting[~findings.is_found()[findings.targets[wanting]]]
    _, first = np.unique(findings.targets[wanting], return_index=True)
    is_best = np.zeros(len(findings.scores), dtype=bool)
    is_best[wanting[first]] = True
    return is_best


def _classes_missed(findings: Findings) -> NDArray[np.int64]:
    """Return the classes of the instances that no detection has found or would have found, int64."""
    is_missed = np.ones(len(findings.truth_classes), dtype=bool)
    is_missed[findings.targets[findings.targets >= 0]] = False
    return findings.truth_classes[is_missed]
