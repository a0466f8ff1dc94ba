"""Telling two samples apart with a known error rate, and saying by how much they differ.

Shape suffixes: N pooled observations, B permutations, E embedding values.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_REFERENCE_EMBEDDINGS: Final = 1000
NUM_COMPONENTS: Final = 16
_PERMUTATIONS_PER_BATCH: Final = 500
_HOPELESS_P_VALUE: Final = 0.1


@dataclass(frozen=True)
class TestResult:
    """The result of a two-sample test.

    Attributes:
        distance: The test statistic, at least 0.
        p_value: 0..1; at most a share ``p`` of tests of equal distributions come out at or below ``p``.
        effect: How different, 0..1, whatever the sample sizes.
    """

    __test__ = False  # not a test class, whatever pytest makes of the name
    distance: float
    p_value: float
    effect: float


def ks_test(reference: NDArray[np.float64], current: NDArray[np.float64]) -> TestResult:
    """Compare two samples of one number with the Kolmogorov-Smirnov distance, which is also the effect.

    Both are float64 (N,), of any lengths, without NaN.

    The p-value is exact for continuous values; ties make it larger than it need be, never smaller (Noether
    1963), so counts are judged conservatively. An empty sample gives no evidence: distance 0, p 1.

    >>> ks_test(np.zeros(5), np.ones(5)).effect
    1.0
    """
    from scipy.stats import ks_2samp

    if reference.size == 0 or current.size == 0:
        return TestResult(0.0, 1.0, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # falls back to the asymptotic p-value by itself
        result = ks_2samp(reference, current, method="auto")
    distance = float(result.statistic)
    return TestResult(distance, float(result.pvalue), distance)


def detectable_distance(num_reference: float, num_current: float, p_value: float) -> float:
    """Return the smallest Kolmogorov-Smirnov distance that reaches ``p_value``; above 1 means none does.

    From the first term of Kolmogorov's asymptotic series, ``p = 2 exp(-2 D² n m / (n + m))``.
    """
    if num_reference == 0 or num_current == 0:
        return math.inf
    effective = num_reference * num_current / (num_reference + num_current)
    return math.sqrt(-math.log(p_value / 2.0) / (2.0 * effective))


def ordinary_effect(num_reference: float, num_current: float) -> float:
    """Return what the effect between two random chunks of one sample stays below in 95 % of cases, 0..1.

    The quantile of Kolmogorov's distribution holds for any continuous number; ties make effects smaller. It
    is also the half width of a band around the effect of two samples that differ: the deviation of empirical
    distributions from the true ones is largest where these are alike.
    """
    return min(1.0, detectable_distance(num_reference, num_current, 0.05))


def energy_test(
    reference: NDArray[np.float32], current: NDArray[np.float32], *, smallest_p_value: float, seed: int
) -> TestResult:
    """Compare two samples of embeddings, float32 (., E), by their energy distance (Székely and Rizzo 2004).

    Both are first projected on the leading principal components of their union, which does not know who is
    who, so that the permutation p-value is exact.

    The effect is the one-sided Kolmogorov-Smirnov distance between the two samples' witness values: how much
    farther an observation lies from the other reference ones than from the other current ones.
    """
    if len(reference) < 2 or len(current) < 2:
        return TestResult(0.0, 1.0, 0.0)
    rng = np.random.default_rng(seed)
    if len(reference) > MAX_REFERENCE_EMBEDDINGS:
        reference = reference[rng.choice(len(reference), MAX_REFERENCE_EMBEDDINGS, replace=False)]
    distances_NN = _pairwise_distances(_leading_components(np.concatenate([reference, current])))
    is_current_N = np.arange(len(distances_NN)) >= len(reference)
    observed = float(_energy_distances(distances_NN, is_current_N[np.newaxis])[0])
    p_value = permutation_p_value(
        is_current_N,
        lambda labels_BN: _energy_distances(distances_NN, labels_BN),
        smallest_p_value=smallest_p_value,
        rng=rng,
    )
    return TestResult(max(observed, 0.0), p_value, _witness_effect(distances_NN, is_current_N))


def _leading_components(pooled_NE: NDArray[np.float32]) -> NDArray[np.float64]:
    centred = pooled_NE.astype(np.float64) - pooled_NE.mean(axis=0, dtype=np.float64)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(left[:, :NUM_COMPONENTS] * sizes[:NUM_COMPONENTS], dtype=np.float64)


def _pairwise_distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.spatial.distance import pdist, squareform

    return np.asarray(squareform(pdist(points)), dtype=np.float64)


def _energy_distances(
    distances_NN: NDArray[np.float64], is_current_BN: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the energy distance for B ways of calling some of the N observations current."""
    labels_BN = is_current_BN.astype(np.float64)
    num_current = labels_BN[0].sum()
    num_reference = labels_BN.shape[1] - num_current
    within_current = np.einsum("bn,bn->b", labels_BN @ distances_NN, labels_BN)
    from_current = labels_BN @ distances_NN.sum(axis=1)
    within_reference = distances_NN.sum() - 2.0 * from_current + within_current
    between = 2.0 * (from_current - within_current) / (num_current * num_reference)
    return np.asarray(between - within_current / num_current**2 - within_reference / num_reference**2)


def permutation_p_value(
    is_current_N: NDArray[np.bool_],
    statistic: Callable[[NDArray[np.bool_]], NDArray[np.float64]],
    *,
    smallest_p_value: float,
    rng: np.random.Generator,
) -> float:
    """Return the share of permutations whose statistic is as large as the observed one, 0..1, above 0.

    As many are drawn as a p-value of ``smallest_p_value`` needs, fewer once it can only be large (Besag and
    Clifford 1991).

    Args:
        is_current_N: bool (N,), the observed labels.
        statistic: Of labels, bool (B, N): float64 (B,).
        smallest_p_value: That must be reachable, above 0.
        rng: Draws.
    """
    observed = float(statistic(is_current_N[np.newaxis])[0])
    num_wanted = math.ceil(2.0 / smallest_p_value)
    tolerance = 1e-9 * (1.0 + abs(observed))
    num_done = num_as_large = 0
    while num_done < num_wanted:
        batch = min(_PERMUTATIONS_PER_BATCH, num_wanted - num_done)
        shuffled_BN = rng.permuted(np.tile(is_current_N, (batch, 1)), axis=1)
        num_as_large += int((statistic(shuffled_BN) >= observed - tolerance).sum())
        num_done += batch
        if num_as_large >= _HOPELESS_P_VALUE * num_wanted:  # the final p-value cannot be below this any more
            break
    return (num_as_large + 1) / (num_done + 1)


def _witness_effect(distances_NN: NDArray[np.float64], is_current_N: NDArray[np.bool_]) -> float:
    from scipy.stats import ks_2samp

    num_current = int(is_current_N.sum())
    num_reference = len(is_current_N) - num_current
    to_current = distances_NN[:, is_current_N].sum(axis=1) / (num_current - is_current_N)
    to_reference = distances_NN[:, ~is_current_N].sum(axis=1) / (num_reference - ~is_current_N)
    witness = to_reference - to_current
    result = ks_2samp(witness[is_current_N], witness[~is_current_N], alternative="less", method="asymp")
    return float(result.statistic)
