"""Why a model is no better than it is, for reviewers: error types, calibration and confusion. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from evaluation.calibration import ScoreBin
from evaluation.confusion import BACKGROUND, Confusion
from evaluation.curves import Curve
from evaluation.error_types import MISSED
from evaluation.model_evaluation import Evaluation

MAX_CLASSES: Final = 12
"""With more, a matrix of confusions is too wide to be read."""
MAX_MIX_UPS: Final = 10
MAX_CURVES: Final = 8
"""More curves in one chart cannot be told apart."""
_CURVE_POINTS: Final = 61
KINDS_IN_WORDS: Final[Mapping[str, str]] = {
    "class": "right place, wrong class",
    "location": "right class, poor mask",
    "both": "wrong class, poor mask",
    "duplicate": "found a second time",
    "background": "nothing is there",
    MISSED: "nothing was found",
}


@dataclass(frozen=True)
class MixUp:
    """How often instances of one class were taken for another."""

    true: str
    taken_for: str
    count: int


@dataclass(frozen=True)
class ClassFindings:
    """What one model finds of one class; None where there is nothing to say.

    Attributes:
        name: Of the class.
        num_instances: Annotated non-crowd instances.
        precision: 0..1, share of the detections that are right, at the score threshold of the gates.
        recall: 0..1, share of the instances found, at the same threshold.
        best_f1: 0..1, the largest harmonic mean of the two at any threshold.
        best_f1_score: 0..1, that threshold.
        curve: Recall and precision, both 0..1, from the surest detection down to the least sure; empty for
            classes beyond the eight whose best F1 is lowest.
    """

    name: str
    num_instances: int
    precision: float | None
    recall: float | None
    best_f1: float | None
    best_f1_score: float | None
    curve: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """What one model does wrong on the test pictures; None where there is nothing to say.

    Attributes:
        ap50: 0..1, average precision of masks at an IoU of 0.5.
        error_counts: Kind of error to number of them, detections of all scores.
        error_gains: Kind of error to what curing it would add to ``ap50``.
        calibration_error: 0..1, mean distance of precision from score.
        overconfidence: -1..1, mean score minus precision.
        bins: Precision by score, lowest scores first.
        labels: The classes and the background; of rows (what it is) and columns (what it was taken for).
        confusion: At the score threshold of the gates; empty with more than 12 classes.
        mix_ups: Of two classes, most frequent first.
        classes: In the order of the label schema; empty in evidence from before this was kept.
    """

    ap50: float | None
    error_counts: dict[str, int]
    error_gains: dict[str, float | None]
    calibration_error: float | None
    overconfidence: float | None
    bins: tuple[ScoreBin, ...]
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    mix_ups: tuple[MixUp, ...]
    classes: tuple[ClassFindings, ...] = ()

    @property
    def largest_loss(self) -> float:
        """What the dearest kind of error costs."""
        return max((gain for gain in self.error_gains.values() if gain is not None), default=0.0)


def diagnose(evaluation: Evaluation) -> Diagnosis:
    """Pick out of an evaluation what explains its figures."""
    errors, calibration = evaluation.errors, evaluation.calibration
    known = errors.ap50[np.isfinite(errors.ap50)]
    counts = evaluation.confusion.counts
    is_legible = len(evaluation.class_names) <= MAX_CLASSES
    return Diagnosis(
        ap50=float(known.mean()) if known.size else None,
        error_counts=errors.totals(),
        error_gains={kind: _known(gain) for kind, gain in errors.gains().items()},
        calibration_error=_known(calibration.expected_error()),
        overconfidence=_known(calibration.mean_overconfidence()),
        bins=calibration.bins(),
        labels=(*evaluation.class_names, BACKGROUND),
        confusion=tuple(tuple(row) for row in counts.tolist()) if is_legible else (),
        mix_ups=find_mix_ups(evaluation.confusion),
        classes=tuple(_find_by_class(evaluation)),
    )


def _find_by_class(evaluation: Evaluation) -> Iterator[ClassFindings]:
    best = [curve.best_f1() for curve in evaluation.curves]
    hardest = sorted(
        range(len(best)), key=lambda index: -1.0 if math.isnan(best[index][0]) else best[index][0]
    )
    drawn = set(hardest[:MAX_CURVES])
    precision, recall = evaluation.precision(), evaluation.recall()
    for index, curve in enumerate(evaluation.curves):
        yield ClassFindings(
            name=curve.class_name,
            num_instances=curve.num_instances,
            precision=_known(precision[index]),
            recall=_known(recall[index]),
            best_f1=_known(best[index][0]),
            best_f1_score=_known(best[index][1]),
            curve=_points(curve) if index in drawn and curve.num_instances else (),
        )


def _points(curve: Curve) -> tuple[tuple[float, float], ...]:
    thinned = curve.thinned(_CURVE_POINTS)
    points = zip(thinned.recall.tolist(), thinned.precision.tolist(), strict=True)
    return tuple((round(recall, 4), round(precision, 4)) for recall, precision in points)


def find_mix_ups(confusion: Confusion) -> tuple[MixUp, ...]:
    """Return the most frequent mix-ups of two classes, at most ten, most frequent first."""
    names, wrong = confusion.class_names, confusion.counts[:-1, :-1].copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MAX_MIX_UPS]
    places = zip(*np.unravel_index(order, wrong.shape), strict=True)
    found = (MixUp(names[row], names[column], int(wrong[row, column])) for row, column in places)
    return tuple(one for one in found if one.count)


def calibration_in_words(diagnosis: Diagnosis) -> str:
    """Say how far scores can be taken at their word.

    >>> calibration_in_words(Diagnosis(None, {}, {}, 0.12, 0.1, (), (), (), ()))
    'off by 0.120; too sure: a score is on average 0.100 above the share that is right'
    """
    if diagnosis.calibration_error is None or diagnosis.overconfidence is None:
        return "nothing was detected"
    error, sure = diagnosis.calibration_error, diagnosis.overconfidence
    if f"{abs(sure):.3f}" == "0.000":
        return f"off by {error:.3f}; a score is on average as high as the share that is right"
    way = (
        "too sure: a score is on average {} above" if sure > 0 else "too shy: a score is on average {} below"
    )
    return f"off by {error:.3f}; {way.format(f'{abs(sure):.3f}')} the share that is right"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
