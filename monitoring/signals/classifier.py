"""A classifier that tells two samples apart by all their numbers together, each row without knowing itself.

Kernel ridge regression of the label on whitened numbers; each row gets its score from a fit without itself
(the leverage formula of D. M. Allen's PRESS, 1974). Where no number by itself tells the samples apart, their
scores may (D. Lopez-Paz and M. Oquab, 2017).

Shape suffixes: N pooled rows, C numbers, B labellings.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_ROWS: Final = 500
"""Of each side; more are drawn by lot, because the cost grows with the cube."""
_RIDGE: Final = 0.02
_FEWEST: Final = 5
_SMALLEST_SPREAD: Final = 1e-6


def joint_effect(reference: NDArray[np.float64], current: NDArray[np.float64], *, seed: int) -> float:
    """Return how different two samples are in all numbers together, 0..1.

    It is the Kolmogorov-Smirnov distance of the scores, so it compares with the effect in a single number.

    Args:
        reference: float64 (., C), finite.
        current: float64 (., C), finite.
        seed: For lots, where there are more than `MAX_ROWS`.
    """
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(seed)
    reference, current = (side[draw_rows(len(side), rng)] for side in (reference, current))
    whitened_NC = whiten(np.concatenate([reference, current]))
    if not whitened_NC.shape[1] or min(len(reference), len(current)) <= _FEWEST:
        return 0.0
    hat_NN = hat_matrix(whitened_NC)
    is_current_N = np.arange(len(hat_NN)) >= len(reference)
    [scores_N] = left_out_scores(hat_NN, np.diag(hat_NN), is_current_N[np.newaxis])
    result = ks_2samp(scores_N[is_current_N], scores_N[~is_current_N], alternative="less", method="asymp")
    return float(result.statistic)


def draw_rows(num: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return at most `MAX_ROWS` of ``num`` rows by lot, int64 (N,), rising."""
    if num <= MAX_ROWS:
        return np.arange(num)
    return np.sort(rng.choice(num, MAX_ROWS, replace=False))


def whiten(values_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return normal scores, float64 (N, C), turned on their principal components, each of unit spread.

    Small components tell as much as large ones; those without any spread are left out.

    Args:
        values_NC: float64, finite.
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    scores_NC = np.asarray(ndtri((rankdata(values_NC, axis=0) - 0.5) / max(1, len(values_NC))))
    spread_C = scores_NC.std(axis=0) if len(scores_NC) else np.zeros(scores_NC.shape[1])
    told = spread_C > _SMALLEST_SPREAD
    if not told.any():
        return values_NC[:, :0]
    left, sizes, _ = np.linalg.svd(scores_NC[:, told] / spread_C[told], full_matrices=False)
    return np.asarray(left[:, sizes > _SMALLEST_SPREAD * sizes[0]] * np.sqrt(len(left)), dtype=np.float64)


def hat_matrix(points_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what turns labels into fitted labels, float64 (N, N), with a Gaussian kernel of median width."""
    from scipy.spatial.distance import pdist, squareform

    distances = pdist(points_NC, "sqeuclidean")
    kernel_NN = np.exp(-squareform(distances) / max(float(np.median(distances)), _SMALLEST_SPREAD))
    means_N = kernel_NN.mean(axis=0)
    kernel_NN += kernel_NN.mean() - means_N - means_N[:, np.newaxis]
    num = len(kernel_NN)
    hat_NN = np.linalg.solve(kernel_NN + _RIDGE * num * np.eye(num), kernel_NN)
    return np.asarray((hat_NN + hat_NN.T) / 2.0 + 1.0 / num)


def left_out_scores(
    hat_NN: NDArray[np.float64], leverage_N: NDArray[np.float64], labels_BN: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return each picture's label as the others tell it, float64 (B, N)."""
    fitted_BN = labels_BN.astype(np.float64) @ hat_NN
    return np.asarray((fitted_BN - leverage_N * labels_BN) / (1.0 - leverage_N))
