"""How good the champion's masks probably are in a window without labels, with a band, or why that is not
known.

A regression from the signs of a window to its figure, learned from known shifts of labelled pictures: the
idea of W. Deng and L. Zheng, Are labels always necessary for classifier accuracy evaluation? (2021), with a
Gaussian process (C. Rasmussen and C. Williams, Gaussian Processes for Machine Learning, 2006, chapter 2),
which knows how far a window lies from all that it learned from.

The band is conformal with normalised residuals (H. Papadopoulos, A. Gammerman and V. Vovk, Normalized
nonconformity measures for regression conformal prediction, 2008). The residuals are those of whole kinds of
shift that were left out: a blur is predicted from everything but blurs, as production will differ in a way
that nobody thought of.

Shape suffixes: L windows, K signs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskloop.records.kinds import QualityEstimate, QualityMetric
from maskloop.wording import count
from monitoring.quality.lessons import METRICS, Lessons, describe_window
from monitoring.quality.signs import Signs

CONFIDENCE: Final = 0.9
MIN_INSTANCES: Final = 20
"""A class with fewer annotated instances in the held-out pictures is not estimated."""
MIN_PICTURES: Final = 20
"""Neither is a window with fewer pictures."""
WIDEST_BAND: Final = 0.4
"""A band that is wider says nothing: the estimate is refused."""
_LENGTH: Final = 3.0
"""Distance, in standard deviations of five signs, over which figures stay alike."""
_LEAST_SCALE: Final = 0.05
"""Of a sign that hardly varies among the lessons."""
_NOISE: Final = 0.03
_SLOPE: Final = 0.1
_LEAST_SPREAD: Final = 0.1


@dataclass(frozen=True, eq=False)
class Regression:
    """A Gaussian process over the signs of windows: a constant, a slope and a smooth part.

    Attributes:
        centre: float64 (K,), what is subtracted from signs.
        scale: float64 (K,), what they are divided by then.
        signs: float64 (L, K), scaled.
        inverse: float64 (L, L), of their covariance with noise.
        mean: Of the figures.
        weights: float64 (L,), the inverse times the figures' differences from their mean.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    signs: NDArray[np.float64]
    inverse: NDArray[np.float64]
    mean: float
    weights: NDArray[np.float64]

    def predict(self, signs_NK: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return figures, 0..1, and how far from all lessons they are (a standard deviation), float64
        (N,)."""
        scaled = (signs_NK - self.centre) / self.scale
        shared = _covariance(scaled, self.signs)
        own = 1.0 + _SLOPE * (scaled**2).sum(axis=1)
        left = own - np.einsum("nl,lm,nm->n", shared, self.inverse, shared)
        value = np.clip(self.mean + shared @ self.weights, 0.0, 1.0)
        return value, np.sqrt(np.maximum(left, 0.0))


@dataclass(frozen=True, eq=False)
class Estimator:
    """Estimates one figure of one class.

    Attributes:
        regression: Learned from all lessons.
        reach: Half the band, as a multiple of the distance from all lessons plus 0.1.
        farthest: The largest distance at which the regression was tested.
    """

    regression: Regression
    reach: float
    farthest: float


def estimate_quality(lessons: Lessons, signs: Signs) -> tuple[QualityEstimate, ...]:
    """Estimate every figure of every class in a window. Pure.

    Args:
        lessons: Of the champion that answered.
        signs: Of the pictures that were looked at; their number of classes is that of the lessons.

    Raises:
        ValueError: if the signs are of other classes.
    """
    if signs.counts.shape[1] != len(lessons.class_names):
        raise ValueError(f"{signs.counts.shape[1]} classes, but {len(lessons.class_names)} were learned")
    described = describe_window(signs, lessons.reference) if len(signs) else None
    return tuple(
        _estimate(lessons, index, metric, None if described is None else described[index], len(signs))
        for metric in METRICS
        for index in range(len(lessons.class_names))
    )


def fit_estimator(lessons: Lessons, class_index: int, metric: QualityMetric) -> Estimator | None:
    """Learn to estimate a figure of a class; None if fewer than three kinds of shift show it."""
    figures = lessons.figures[:, class_index, METRICS.index(metric)]
    windows = lessons.windows[:, class_index]
    known = np.isfinite(figures) & np.isfinite(windows).all(axis=1)
    kinds, windows, figures = np.array(lessons.kinds)[known], windows[known], figures[known]
    if len(set(kinds)) < 3:
        return None
    error, distance, share = np.zeros(len(kinds)), np.zeros(len(kinds)), np.zeros(len(kinds))
    for kind in sorted(set(kinds)):
        own = kinds == kind
        value, distance[own] = fit_regression(windows[~own], figures[~own]).predict(windows[own])
        error[own] = np.abs(value - figures[own])
        share[own] = 1.0 / own.sum()
    reach = weighted_quantile(error / (distance + _LEAST_SPREAD), share, CONFIDENCE)
    return Estimator(fit_regression(windows, figures), reach, float(distance.max()))


def fit_regression(signs_LK: NDArray[np.float64], figures_L: NDArray[np.float64]) -> Regression:
    """Learn figures, float64 (L,), from signs, float64 (L, K), all finite."""
    centre = signs_LK.mean(axis=0)
    scale: NDArray[np.float64] = np.maximum(signs_LK.std(axis=0), _LEAST_SCALE)
    scaled = (signs_LK - centre) / scale
    inverse = np.linalg.inv(_covariance(scaled, scaled) + _NOISE * np.eye(len(scaled))).astype(np.float64)
    mean = float(figures_L.mean())
    return Regression(centre, scale, scaled, inverse, mean, inverse @ (figures_L - mean))


def weighted_quantile(values_N: NDArray[np.float64], weights_N: NDArray[np.float64], share: float) -> float:
    """Return the smallest value, float64 (N,), with at least a share of all weight, (N,), at or below it.

    >>> weighted_quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0]), 0.75)
    2.0
    """
    order = np.argsort(values_N, kind="stable")
    reached = np.cumsum(weights_N[order]) >= share * weights_N.sum() - 1e-12
    return float(values_N[order][int(reached.argmax())])


def _estimate(
    lessons: Lessons, class_index: int, metric: QualityMetric, signs_K: NDArray[np.float64] | None, num: int
) -> QualityEstimate:
    value, low, high = math.nan, math.nan, math.nan
    refusal = _why_not(lessons, class_index, signs_K, num)
    if not refusal and signs_K is not None:
        estimator = fit_estimator(lessons, class_index, metric)
        if estimator is None:
            refusal = "fewer than three kinds of change show it"
        else:
            value, low, high, refusal = _predict(estimator, signs_K)
    known = not refusal
    return QualityEstimate(
        class_name=lessons.class_names[class_index],
        metric=metric,
        value=value if known else None,
        low=low if known else None,
        high=high if known else None,
        confidence=CONFIDENCE,
        num_pictures=num,
        refused_because=refusal,
    )


def _why_not(lessons: Lessons, class_index: int, signs_K: NDArray[np.float64] | None, num: int) -> str:
    if num < MIN_PICTURES or signs_K is None:
        return f"{count(num, 'kept picture')} of the window could be looked at, and {MIN_PICTURES} are needed"
    if (instances := int(lessons.num_instances[class_index])) < MIN_INSTANCES:
        return (
            f"{count(instances, 'labelled instance')} in {count(lessons.num_pictures, 'held-out picture')},"
            f" and {MIN_INSTANCES} are needed"
        )
    if not np.isfinite(signs_K).all():
        return "the sharpness or the embedding of the pictures is unknown"
    return ""


def _predict(estimator: Estimator, signs_K: NDArray[np.float64]) -> tuple[float, float, float, str]:
    values, distances = estimator.regression.predict(signs_K[np.newaxis])
    value, distance = float(values[0]), float(distances[0])
    half = estimator.reach * (distance + _LEAST_SPREAD)
    low, high = max(value - half, 0.0), min(value + half, 1.0)
    if distance > estimator.farthest:
        return value, low, high, "pictures and answers are unlike any that it learned from"
    if high - low > WIDEST_BAND:
        return value, low, high, f"it may be anything from {low:.2f} to {high:.2f}"
    return value, low, high, ""


def _covariance(first_NK: NDArray[np.float64], second_LK: NDArray[np.float64]) -> NDArray[np.float64]:
    squared = ((first_NK[:, None] - second_LK[None]) ** 2).sum(axis=2)
    length = _LENGTH * math.sqrt(first_NK.shape[1] / 5.0)
    smooth: NDArray[np.float64] = np.exp(-squared / (2.0 * length**2)) + _SLOPE * (first_NK @ second_LK.T)
    return smooth
