"""Which samples carry a drift alarm: how far each lies out in the features that drifted.

A sample's figure for a feature is the share of the champion's own pictures that lie less far towards the side
to which production moved. A sample's drift is the mean of these figures, weighted by each signal's effect.

Shape suffixes: N samples, F features that drifted, P pictures of the champion's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitoring.drift.baseline import Baseline, feature_matrix
from monitoring.drift.novelty import MIN_PICTURES, fit_novelty
from monitoring.features.feature import Feature
from monitoring.features.observation import Observed
from monitoring.features.table import EMBEDDING
from monitoring.signals.feature_signal import FeatureSignal

UNKNOWN: Final = 0.5
"""The drift of a sample that has none of the features: that of a picture in the middle of the champion's."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """How much each sample has to do with an alarm.

    Attributes:
        features: The F features that drifted.
        rises: Whether production moved to higher values, for each; None where that cannot be told.
        shares: float64 (N, F), 0..1, the share of the champion's own pictures that lie less far out; NaN
            where the sample has no such feature.
        drift: float64 (N,), 0..1, their mean, weighted by effect. All 1 without an alarm.
        num_own: How many pictures of the champion's own there are.
    """

    features: tuple[Feature, ...]
    rises: tuple[bool | None, ...]
    shares: NDArray[np.float64]
    drift: NDArray[np.float64]
    num_own: int


def attribute_drift(
    signals: Sequence[FeatureSignal], baseline: Baseline, samples: Sequence[Observed]
) -> Attribution:
    """Return how far each sample lies out in the drifted signals of a verdict.

    Args:
        signals: Of a verdict; those that did not drift are passed over.
        baseline: The reference of that verdict.
        samples: Any, of the same champion.
    """
    fired = [one for one in signals if one.drifted and _is_comparable(one, baseline)]
    if not fired:
        return Attribution((), (), np.zeros((len(samples), 0)), np.ones(len(samples)), baseline.num_samples)
    shares_NF = np.stack([_shares(signal, baseline, samples) for signal in fired], axis=1)
    weights_NF = np.array([signal.effect for signal in fired]) * np.isfinite(shares_NF)
    total_N = weights_NF.sum(axis=1)
    drift_N = np.full(len(samples), UNKNOWN)
    np.divide((weights_NF * np.nan_to_num(shares_NF)).sum(axis=1), total_N, out=drift_N, where=total_N > 0)
    return Attribution(
        tuple(signal.feature for signal in fired),
        tuple(_rises(signal) for signal in fired),
        shares_NF,
        drift_N,
        baseline.num_samples,
    )


def _is_comparable(signal: FeatureSignal, baseline: Baseline) -> bool:
    if signal.name == EMBEDDING.name:
        return len(baseline.embeddings) >= MIN_PICTURES
    return signal.name in baseline.feature_names


def _rises(signal: FeatureSignal) -> bool | None:
    if signal.name == EMBEDDING.name:  # compared by how unfamiliar a picture is
        return True
    before, after = signal.reference_mean, signal.current_mean
    return None if before is None or after is None or before == after else after > before


def _shares(signal: FeatureSignal, baseline: Baseline, samples: Sequence[Observed]) -> NDArray[np.float64]:
    if signal.name == EMBEDDING.name:
        return _novelties(baseline, samples)
    own_P = baseline.values[:, baseline.feature_names.index(signal.name)]
    own_P = own_P[np.isfinite(own_P)]
    values_N = feature_matrix(samples, (signal.name,))[:, 0]
    rises = _rises(signal)
    if rises is None:  # the shape moved, not the middle: either side is far out
        middle = float(np.median(own_P)) if own_P.size else 0.0
        own_P, values_N, rises = np.abs(own_P - middle), np.abs(values_N - middle), True
    ordered_P = np.sort(own_P if rises else -own_P)
    is_known_N = np.isfinite(values_N)
    shares_N = np.full(len(values_N), np.nan)
    towards = values_N[is_known_N] if rises else -values_N[is_known_N]
    shares_N[is_known_N] = np.searchsorted(ordered_P, towards, side="left") / max(1, len(ordered_P))
    return shares_N


def _novelties(baseline: Baseline, samples: Sequence[Observed]) -> NDArray[np.float64]:
    scorer = fit_novelty(baseline, out_of_distribution_percent=1.0)
    width = baseline.embeddings.shape[1]
    known = [
        number
        for number, sample in enumerate(samples)
        if sample.embedding is not None and len(sample.embedding) == width
    ]
    shares_N = np.full(len(samples), np.nan)
    if scorer is not None and known:
        embeddings = np.array([samples[number].embedding for number in known], np.float32)
        shares_N[known] = scorer.rank(embeddings)
    return shares_N
