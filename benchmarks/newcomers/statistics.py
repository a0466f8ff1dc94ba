"""Statistics of two samples for B labellings of the same N pictures; the observed labelling is the first.

Shape suffixes: N pooled pictures, C numbers, B labellings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

Points = NDArray[np.float64]
Labels = NDArray[np.bool_]
_NEIGHBOURS: Final = 5
_WIDTHS: Final = (0.125, 0.25, 0.5, 1.0)
_LINEAR_RIDGE: Final = 0.01
_KERNEL_RIDGE: Final = 0.02
_FEWEST: Final = 5


def energy(points_NC: Points, labels_BN: Labels) -> Points:
    """Return the energy distance (Székely and Rizzo 2004)."""
    distances_NN = squareform(pdist(points_NC))
    labels = labels_BN.astype(np.float64)
    num, num_all = labels[0].sum(), labels.shape[1]
    within = np.einsum("bn,bn->b", labels @ distances_NN, labels)
    away = labels @ distances_NN.sum(axis=1)
    rest = distances_NN.sum() - 2.0 * away + within
    others = num_all - num
    return np.asarray(2.0 * (away - within) / (num * others) - within / num**2 - rest / others**2)


def discrepancy(points_NC: Points, labels_BN: Labels) -> Points:
    """Return the largest standardised maximum mean discrepancy of four widths (Gretton et al. 2012)."""
    squared_NN = squareform(pdist(points_NC, "sqeuclidean"))
    labels = labels_BN.astype(np.float64)
    num, num_all = labels[0].sum(), labels.shape[1]
    found = []
    for width in _WIDTHS:
        kernel_NN = np.exp(-squared_NN / (width * np.median(squared_NN[squared_NN > 0.0])))
        np.fill_diagonal(kernel_NN, 0.0)
        within = np.einsum("bn,bn->b", labels @ kernel_NN, labels)
        away = labels @ kernel_NN.sum(axis=1)
        rest = kernel_NN.sum() - 2.0 * away + within
        others = num_all - num
        value = within / num**2 + rest / others**2 - 2.0 * (away - within) / (num * others)
        found.append((value - value.mean()) / value.std())
    return np.asarray(np.max(found, axis=0))


def neighbours(points_NC: Points, labels_BN: Labels) -> Points:
    """Return how many of the current pictures' neighbours are current (Schilling 1986)."""
    distances_NN = squareform(pdist(points_NC))
    np.fill_diagonal(distances_NN, np.inf)
    near = np.argsort(distances_NN, axis=1)[:, :_NEIGHBOURS]
    return np.array([float((labels[near] & labels[:, np.newaxis]).sum()) for labels in labels_BN])


def linear_classifier(points_NC: Points, labels_BN: Labels) -> Points:
    """Return the excess among the highest scores of a ridge regression, each without its own picture."""
    return upper_excess(_linear_scores(points_NC, labels_BN), labels_BN)


def kernel_classifier(points_NC: Points, labels_BN: Labels) -> Points:
    """Return the same of a kernel ridge regression: the product's (`monitoring.signals.newcomers`)."""
    return upper_excess(_kernel_scores(points_NC, labels_BN), labels_BN)


def linear_classifier_distance(points_NC: Points, labels_BN: Labels) -> Points:
    """Return the largest difference of the shares above a score (one-sided Kolmogorov-Smirnov)."""
    ordered = _ordered(_linear_scores(points_NC, labels_BN), labels_BN)
    num, num_all = labels_BN[0].sum(), labels_BN.shape[1]
    gain = ordered.cumsum(axis=1) / num - (~ordered).cumsum(axis=1) / (num_all - num)
    return np.asarray(gain.max(axis=1))


def upper_excess(scores_BN: Points, labels_BN: Labels) -> Points:
    """Return the largest standardised excess of current pictures among the highest scores."""
    ordered = _ordered(scores_BN, labels_BN)
    num_all, share = labels_BN.shape[1], labels_BN[0].mean()
    tops = np.arange(1, num_all + 1)
    spread = np.sqrt(tops * share * (1.0 - share) * (1.0 - tops / num_all) + 1e-9)
    return np.asarray(
        ((ordered.cumsum(axis=1) - tops * share) / spread)[:, _FEWEST : num_all // 3].max(axis=1)
    )


def _ordered(scores_BN: Points, labels_BN: Labels) -> Labels:
    return np.take_along_axis(labels_BN, np.argsort(-scores_BN, axis=1, kind="stable"), axis=1)


def _linear_scores(points_NC: Points, labels_BN: Labels) -> Points:
    left, sizes, _ = np.linalg.svd(points_NC - points_NC.mean(axis=0), full_matrices=False)
    weights = sizes**2 / (sizes**2 + _LINEAR_RIDGE * len(points_NC))
    return _left_out(np.asarray((left * weights) @ left.T, np.float64), labels_BN)


def _kernel_scores(points_NC: Points, labels_BN: Labels) -> Points:
    squared_NN = squareform(pdist(points_NC, "sqeuclidean"))
    kernel_NN = np.exp(-squared_NN / np.median(squared_NN))
    means = kernel_NN.mean(axis=0)
    kernel_NN += kernel_NN.mean() - means - means[:, np.newaxis]
    num = len(kernel_NN)
    hat_NN = np.linalg.solve(kernel_NN + _KERNEL_RIDGE * num * np.eye(num), kernel_NN)
    return _left_out(np.asarray(hat_NN, np.float64), labels_BN)


def _left_out(hat_NN: Points, labels_BN: Labels) -> Points:
    hat_NN = hat_NN + 1.0 / len(hat_NN)
    leverage = np.diag(hat_NN)
    return np.asarray((labels_BN @ hat_NN.T - leverage * labels_BN) / (1.0 - leverage))


STATISTICS: Final[Mapping[str, Callable[[Points, Labels], Points]]] = {
    "energy": energy,
    "discrepancy": discrepancy,
    "neighbours": neighbours,
    "linear classifier, distance": linear_classifier_distance,
    "linear classifier, upper end": linear_classifier,
    "kernel classifier, upper end": kernel_classifier,
}
