"""Can a score be taken at its word: of detections with a score of 0.8, are eight of ten right?

Right is matched to an instance of its class at a mask IoU of 0.5. The expected calibration error is that of
C. Guo, G. Pleiss, Y. Sun and K. Weinberger, On Calibration of Modern Neural Networks (2017), with precision
in the place of accuracy: the detection calibration error of F. Kueppers, J. Kronenberger, A. Shantia and
A. Haselhoff, Multivariate Confidence Calibration for Object Detection (2020), by score alone.

Shape suffixes: C classes, B bins of score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.findings import Findings, Outcome

NUM_BINS: Final = 10


@dataclass(frozen=True)
class ScoreBin:
    """Detections with nearly one score.

    Attributes:
        num_detections: 1 or more.
        mean_score: 0..1.
        precision: 0..1, the share that is right. Below ``mean_score`` the model is too sure.
    """

    num_detections: int
    mean_score: float
    precision: float


@dataclass(frozen=True)
class Calibration:
    """Scores and what became of them, in bins of equal width from 0 to 1.

    Attributes:
        class_names: C names.
        num_detections: int64 (C, B), without those that a crowd region forgives.
        num_right: int64 (C, B).
        score_sums: float64 (C, B).
    """

    class_names: tuple[str, ...]
    num_detections: NDArray[np.int64]
    num_right: NDArray[np.int64]
    score_sums: NDArray[np.float64]

    def bins(self) -> tuple[ScoreBin, ...]:
        """Return the bins that hold detections, all classes together, lowest scores first."""
        columns = (self.num_detections, self.score_sums, self.num_right)
        totals = zip(*(column.sum(axis=0).tolist() for column in columns), strict=True)
        return tuple(ScoreBin(count, score / count, right / count) for count, score, right in totals if count)

    def expected_error(self) -> float:
        """Return the mean distance, 0..1, of precision from score over all detections; NaN without any."""
        error = _expected_error(*(part.sum(axis=0, keepdims=True) for part in self._parts()))
        return float(error[0])

    def class_expected_error(self) -> NDArray[np.float64]:
        """Return the same of each class alone, float64 (C,); NaN for a class never detected."""
        return _expected_error(*self._parts())

    def mean_overconfidence(self) -> float:
        """Return mean score minus precision over all detections, -1..1; NaN without any."""
        total = int(self.num_detections.sum())
        return (float(self.score_sums.sum()) - int(self.num_right.sum())) / total if total else math.nan

    def _parts(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        return self.num_detections, self.num_right, self.score_sums


def measure_calibration(findings: Findings) -> Calibration:
    """Sort detections of all scores into ten bins of each class."""
    counted = findings.outcomes != Outcome.FORGIVEN
    scores = findings.scores[counted]
    is_right = findings.outcomes[counted] == Outcome.RIGHT
    bins = np.minimum(scores * NUM_BINS, NUM_BINS - 1).astype(np.int64)  # as float32: 0.7 is in the eighth
    places = findings.class_indices[counted] * NUM_BINS + bins
    shape = len(findings.class_names), NUM_BINS
    num_places = shape[0] * NUM_BINS
    return Calibration(
        findings.class_names,
        np.bincount(places, minlength=num_places).reshape(shape),
        np.bincount(places[is_right], minlength=num_places).reshape(shape),
        np.bincount(places, scores, minlength=num_places).reshape(shape).astype(np.float64),
    )


def _expected_error(
    num_detections: NDArray[np.int64], num_right: NDArray[np.int64], score_sums: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return, per row, the distances of the bins (…, B), weighted by their detections."""
    total = num_detections.sum(axis=1)
    error = np.full(len(total), np.nan)
    np.divide(np.abs(score_sums - num_right).sum(axis=1), total, out=error, where=total > 0)
    return error
