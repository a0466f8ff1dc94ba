"""The mask IoU of a class in production, from the random share of its pictures that came back with labels.

Labels alone give an unbiased estimate with a wide interval. What the answers to all other pictures show
narrows it: A. Angelopoulos, S. Bates, C. Fannjiang, M. Jordan and T. Zrnic, Prediction-powered inference
(Science, 2023), with the weight of A. Angelopoulos, J. Duchi and T. Zrnic, PPI++: Efficient
prediction-powered inference (2023), which is that of a control variate. If the answers tell nothing, the
weight is near 0 and labels decide alone; it is never the answers that decide.

A few pictures seldom show the rare miss, so their interval is too narrow. Two made-up pictures are added,
one found whole and one missed: A. Agresti and B. Coull, Approximate is better than "exact" for interval
estimation of binomial proportions (1998), do the same for shares.

Shape suffixes: n labelled pictures, N pictures without labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

MIN_LABELLED: Final = 5
"""With fewer labelled pictures that show the class, nothing is stated."""


@dataclass(frozen=True)
class LabelledQuality:
    """What labels of random pictures say about one class.

    Attributes:
        class_name: The class.
        value: 0..1, its mask IoU; None if nothing can be said.
        low: 0..1, the lower end of its interval; None where ``value`` is.
        high: 0..1, its upper end.
        width_of_labels_alone: Of the interval without the other pictures' answers.
        num_labelled: Labelled pictures that show the class.
        num_unlabelled: Pictures whose answers helped.
        refused_because: Why nothing can be said; empty if something can.
    """

    class_name: str
    value: float | None
    low: float | None
    high: float | None
    width_of_labels_alone: float | None
    num_labelled: int
    num_unlabelled: int
    refused_because: str = ""


def measure_from_labels(
    class_name: str,
    *,
    iou_sums_n: NDArray[np.float64],
    num_instances_n: NDArray[np.int64],
    score_sums_n: NDArray[np.float64],
    counts_n: NDArray[np.float64],
    other_score_sums_N: NDArray[np.float64],
    other_counts_N: NDArray[np.float64],
    confidence: float,
) -> LabelledQuality:
    """Estimate a class's mask IoU, the sum of the instances' IoU over their number, in all the pictures.

    Args:
        class_name: The class.
        iou_sums_n: float64 (n,), of the labelled pictures' annotated instances; a missed one adds 0.
        num_instances_n: int64 (n,), how many there are.
        score_sums_n: float64 (n,), scores of the detections in the same pictures.
        counts_n: float64 (n,), how many there are.
        other_score_sums_N: float64 (N,), the same of pictures without labels; N may be 0.
        other_counts_N: float64 (N,), the same.
        confidence: Of the interval, between 0 and 1.

    Raises:
        ValueError: if lengths differ, a value is not finite, or the confidence is out of range.
    """
    labelled = np.stack([iou_sums_n, num_instances_n, score_sums_n, counts_n]).astype(np.float64)
    others = np.stack([other_score_sums_N, other_counts_N]).astype(np.float64)
    if not (np.isfinite(labelled).all() and np.isfinite(others).all() and 0.0 < confidence < 1.0):
        raise ValueError("sums and counts must be finite and the confidence between 0 and 1")
    num_showing, num_others = int((labelled[1] > 0).sum()), others.shape[1]
    if num_showing < MIN_LABELLED:
        few = f"{num_showing} of {labelled.shape[1]} labelled random pictures show the class"
        refused = f"{few}, and {MIN_LABELLED} are needed"
        return LabelledQuality(class_name, None, None, None, None, num_showing, num_others, refused)
    value, half, half_alone = _estimate(labelled, others, confidence)
    return LabelledQuality(
        class_name,
        min(max(value, 0.0), 1.0),
        min(max(value - half, 0.0), 1.0),
        min(max(value + half, 0.0), 1.0),
        2.0 * half_alone,
        num_showing,
        num_others,
    )


def _estimate(
    labelled_4n: NDArray[np.float64], others_2N: NDArray[np.float64], confidence: float
) -> tuple[float, float, float]:
    """Return the IoU, half of its interval's width, and half of the width that labels alone would have."""
    num_others = others_2N.shape[1]
    helper_n, helper_N = _helpers(labelled_4n[2:], others_2N)
    typical = labelled_4n[1].mean()
    iou_sums = np.append(labelled_4n[0], [0.0, typical])
    instances = np.append(labelled_4n[1], [typical, typical])
    helper_n = np.append(helper_n, [helper_n.mean()] * 2)
    iou = float(iou_sums.sum() / instances.sum())
    influence_n = (iou_sums - iou * instances) / instances.mean()
    weight = _weigh(influence_n, helper_n, helper_N)
    num = len(iou_sums)
    value = iou + weight * ((float(helper_N.mean()) if num_others else 0.0) - float(helper_n.mean()))
    variance = float(np.var(influence_n - weight * helper_n, ddof=2)) / num
    variance += weight**2 * float(np.var(helper_N)) / num_others if num_others else 0.0
    alone = float(np.var(influence_n, ddof=1)) / num
    half = _t(num - 2, confidence) * math.sqrt(variance)
    return value, half, _t(num - 1, confidence) * math.sqrt(alone)


def _helpers(
    labelled_2n: NDArray[np.float64], others_2N: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what answers tell: how far a picture's scores lie above those of as many mean detections."""
    totals = labelled_2n.sum(axis=1) + others_2N.sum(axis=1)
    mean_score = totals[0] / totals[1] if totals[1] else 0.0
    mean_count = max(totals[1] / (labelled_2n.shape[1] + others_2N.shape[1]), 1e-12)
    helpers = [(part[0] - mean_score * part[1]) / mean_count for part in (labelled_2n, others_2N)]
    return helpers[0], helpers[1]


def _weigh(
    influence_n: NDArray[np.float64], helper_n: NDArray[np.float64], helper_N: NDArray[np.float64]
) -> float:
    """Return the weight with which the variance is smallest; 0 where the answers tell nothing."""
    spread = float(np.var(np.concatenate([helper_n, helper_N])))
    if not helper_N.size or spread <= 0.0:
        return 0.0
    together = float(np.mean((influence_n - influence_n.mean()) * (helper_n - helper_n.mean())))
    return together / spread / (1.0 + len(helper_n) / len(helper_N))


def _t(degrees_of_freedom: int, confidence: float) -> float:
    from scipy.stats import t  # a second of CPU, where labels are looked at alone

    return float(t.ppf(0.5 + confidence / 2.0, max(degrees_of_freedom, 1)))
