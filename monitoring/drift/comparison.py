"""Each feature of a window beside the baseline's, and both embeddings: tested one by one, not judged yet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitoring.drift.baseline import Baseline, feature_matrix
from monitoring.features.feature import Feature
from monitoring.features.table import EMBEDDING
from monitoring.samples.values import Sample
from monitoring.signals.classifier import joint_effect
from monitoring.signals.feature_signal import FeatureSignal
from monitoring.signals.newcomers import Newcomers, find_newcomers
from monitoring.signals.two_sample import TestResult, energy_test, ks_test

_MAX_FILLED_SHARE: Final = 0.1
_FEWEST_EMBEDDINGS: Final = 10
_LEADING: Final = 4
_SMALLEST_SPREAD: Final = 1e-6


def compare_features(
    baseline: Baseline,
    columns: Mapping[int, Feature],
    samples: Sequence[Sample],
    judged_samples: Sequence[Sample],
) -> list[FeatureSignal]:
    """Compare features.

    Args:
        baseline: Of the champion.
        columns: The features, by column of the baseline's values.
        samples: Of the window; how many values are missing is counted over all of them.
        judged_samples: One of each scene, which are tested.
    """
    names = [feature.name for feature in columns.values()]
    current = feature_matrix(judged_samples, names)
    num_known = np.isfinite(feature_matrix(samples, names)).sum(axis=0)
    signals = []
    for number, (column, feature) in enumerate(columns.items()):
        reference_values, current_values = baseline.scene_values[:, column], current[:, number]
        reference_values = reference_values[np.isfinite(reference_values)]
        current_values = current_values[np.isfinite(current_values)]
        num_expected = sum(feature.is_expected(sample.features) for sample in samples)
        result = ks_test(reference_values, current_values)
        means = (_mean(reference_values), _mean(current_values))
        sizes = (len(reference_values), len(current_values))
        missing_percent = _missing_percent(num_expected, int(num_known[number]))
        signals.append(_unjudged(feature, sizes, missing_percent, result, means))
    return signals


def compare_embeddings(
    baseline: Baseline,
    samples: Sequence[Sample],
    judged_samples: Sequence[Sample],
    *,
    smallest_p_value: float,
    seed: int,
) -> FeatureSignal:
    """Compare embeddings; one of another length than the baseline's counts as missing.

    Args:
        baseline: Of the champion, with embeddings.
        samples: Of the window.
        judged_samples: One of each scene.
        smallest_p_value: That must be reachable.
        seed: For permutations.
    """
    reference = baseline.scene_embeddings
    width = reference.shape[1]
    rows = [one.embedding for one in judged_samples if one.embedding and len(one.embedding) == width]
    current = np.asarray(rows, dtype=np.float32).reshape(len(rows), width)
    num_known = sum(sample.embedding is not None and len(sample.embedding) == width for sample in samples)
    result = energy_test(reference, current, smallest_p_value=smallest_p_value, seed=seed)
    missing_percent = _missing_percent(len(samples), num_known)
    return _unjudged(EMBEDDING, (len(reference), len(current)), missing_percent, result, (None, None))


def look_for_newcomers(
    baseline: Baseline,
    columns: Mapping[int, Feature],
    judged_samples: Sequence[Sample],
    *,
    smallest_p_value: float,
    seed: int,
) -> Newcomers:
    """Ask whether a part of the pictures is unlike all of the baseline's.

    Properties that more than a tenth of the pictures of either side lack are passed over; where few lack one,
    the median of both sides takes its place.

    Args:
        baseline: Of the champion.
        columns: Properties of pictures, by column of the baseline's values.
        judged_samples: One of each scene.
        smallest_p_value: That must be reachable.
        seed: For lots and permutations.
    """
    own, current = _without_gaps(baseline, columns, judged_samples)
    return find_newcomers(own, current, smallest_p_value=smallest_p_value, seed=seed)


def measure_joint_effect(
    baseline: Baseline, columns: Mapping[int, Feature], judged_samples: Sequence[Sample], *, seed: int
) -> float:
    """Return how different the pictures are in all properties together, 0..1; missing values as above.

    Args:
        baseline: Of the champion.
        columns: Properties of pictures, by column of the baseline's values.
        judged_samples: One of each scene.
        seed: For lots.
    """
    own, current = _without_gaps(baseline, columns, judged_samples)
    return joint_effect(own, current, seed=seed)


def measure_spread(baseline: Baseline, judged_samples: Sequence[Sample]) -> float:
    """Return how far apart pictures lie in the embedding's leading components, as a share of the baseline's.

    It is the geometric mean of the ratios of standard deviations; 1 where either side has too few embeddings.

    Args:
        baseline: Of the champion.
        judged_samples: One of each scene.
    """
    own = baseline.scene_embeddings.astype(np.float64)
    rows = [one.embedding for one in judged_samples if one.embedding and len(one.embedding) == own.shape[1]]
    current = np.asarray(rows, np.float64).reshape(len(rows), own.shape[1])
    current = current[np.isfinite(current).all(axis=1)]
    if min(len(own), len(current)) < _FEWEST_EMBEDDINGS:
        return 1.0
    scale, centre = np.maximum(own.std(axis=0), _SMALLEST_SPREAD), own.mean(axis=0)
    _, sizes, directions = np.linalg.svd((own - centre) / scale, full_matrices=False)
    leading = directions[:_LEADING][sizes[:_LEADING] > _SMALLEST_SPREAD * max(sizes[0], 1.0)].T
    if not leading.shape[1]:
        return 1.0
    before, now = (((side - centre) / scale @ leading).std(axis=0) for side in (own, current))
    return float(np.exp(np.log(np.maximum(now, _SMALLEST_SPREAD) / before).mean()))


def _without_gaps(
    baseline: Baseline, columns: Mapping[int, Feature], judged_samples: Sequence[Sample]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    own = baseline.scene_values[:, list(columns)]
    current = feature_matrix(judged_samples, [feature.name for feature in columns.values()])
    is_known = [np.isfinite(side).mean(axis=0) >= 1.0 - _MAX_FILLED_SHARE for side in (own, current)]
    sides = np.concatenate([own, current])[:, is_known[0] & is_known[1]]
    if sides.shape[1]:
        sides = np.where(np.isfinite(sides), sides, np.nanmedian(sides, axis=0))
    return sides[: len(own)], sides[len(own) :]


def _missing_percent(num_expected: int, num_known: int) -> float:
    return 100.0 * max(0, num_expected - num_known) / num_expected if num_expected else 0.0


def _unjudged(
    feature: Feature,
    sizes: tuple[int, int],
    missing_percent: float,
    result: TestResult,
    means: tuple[float | None, float | None],
) -> FeatureSignal:
    return FeatureSignal(
        feature=feature,
        num_reference=sizes[0],
        num_current=sizes[1],
        missing_percent=missing_percent,
        distance=result.distance,
        p_value=result.p_value,
        corrected_p_value=1.0,
        effect=result.effect,
        reference_mean=means[0],
        current_mean=means[1],
        drifted=False,
    )


def _mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    mean = float(values.mean()) if values.size else math.nan
    return mean if math.isfinite(mean) else None
