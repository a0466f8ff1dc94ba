"""The drift verdict: pure, with a false alarm rate that holds at any window size.

A window drifts when at least ``min_drifted_features`` signals are both certain (corrected for all of them
together) and large (an effect of at least ``min_effect``). The correction keeps the chance of any certain
signal in a quiet window at or below ``false_alarm_rate``; the rest only makes alarms rarer. What could not be
measured never counts as quiet.

A quiet window is one whose scenes are drawn independently from the same distribution as the baseline's.
Pictures of one scene, or taken in a row, are not independent: one sample of each scene is judged (`scenes`),
and a window of too few scenes is inconclusive.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from maskloop.digest import digest_value
from maskloop.settings.workspace_settings import MonitoringSettings
from maskloop.wording import count
from monitoring.drift.baseline import Baseline, feature_matrix
from monitoring.drift.scenes import Scenes, find_scenes
from monitoring.features.feature import Feature, FeatureTable
from monitoring.features.table import EMBEDDING, FEATURES
from monitoring.samples.values import Sample
from monitoring.samples.windows import Window
from monitoring.signals.causes import likely_cause
from monitoring.signals.feature_signal import FeatureSignal as FeatureSignal
from monitoring.signals.two_sample import (
    TestResult,
    detectable_distance,
    energy_test,
    holm_corrected,
    ks_test,
)

Outcome = Literal["drift", "quiet", "inconclusive"]

METHOD: Final = "scenes-ks-holm-energy/2"
SCENE_SHARE: Final = 0.9
"""A window needs so many scenes as a share of ``min_window_samples``: a few pictures look alike by chance."""
MAX_DETECTABLE_EFFECT: Final = 0.7
"""A comparison that could not even see an effect of this size is inconclusive."""


@dataclass(frozen=True)
class DriftVerdict:
    """One judged window.

    Attributes:
        outcome: ``drift``, ``quiet`` or ``inconclusive``.
        reason: One sentence, with the numbers.
        cause: What moved most, in plain words; empty unless the outcome is ``drift``.
        window_id: Of the window.
        weights_digest: Of the champion.
        baseline_digest: Of the baseline.
        threshold_digest: Of the method and all settings that entered.
        num_samples: In the window.
        num_reference: In the baseline.
        missing_percent: Of the feature with the largest share of missing values.
        detectable_effect: Smallest effect that could have been certain here, 0..1.
        num_drifted: Signals that drifted.
        min_drifted_features: Signals that had to.
        signals: The largest effect first.
        num_scenes: About so many scenes are in the window; one sample of each was judged.
        num_reference_scenes: In the baseline, the same.
    """

    outcome: Outcome
    reason: str
    cause: str
    window_id: str
    weights_digest: str
    baseline_digest: str
    threshold_digest: str
    num_samples: int
    num_reference: int
    missing_percent: float
    detectable_effect: float
    num_drifted: int
    min_drifted_features: int
    signals: tuple[FeatureSignal, ...]
    num_scenes: int
    num_reference_scenes: int


def judge_drift(
    baseline: Baseline,
    window: Window,
    settings: MonitoringSettings,
    *,
    seed: int = 0,
    table: FeatureTable = FEATURES,
    scenes: Scenes | None = None,
) -> DriftVerdict:
    """Compare a window with the champion's baseline.

    Args:
        baseline: Of the champion.
        window: Of the champion's newest samples.
        settings: Thresholds.
        seed: For the permutations of the embedding test; the same seed gives the same verdict.
        table: Says what a feature of the baseline is about. Features it does not name are passed over.
        scenes: Of the window, where they are known already.
    """
    columns = _known_columns(baseline, table)
    found = scenes or find_scenes(window.samples, baseline)
    refusal = _why_not_comparable(baseline, window, settings, found.num_scenes, num_features=len(columns))
    judged = tuple(window.samples[position] for position in found.positions)
    signals = () if refusal else _all_signals(baseline, columns, window.samples, judged, settings, seed)
    detectable = _detectable_effect(baseline, found.num_scenes, settings, len(signals))
    num_drifted = sum(signal.drifted for signal in signals)
    outcome, reason = _decide(refusal, signals, num_drifted, detectable, settings)
    return DriftVerdict(
        outcome=outcome,
        reason=reason,
        cause=likely_cause(signals) if outcome == "drift" else "",
        window_id=window.window_id,
        weights_digest=window.weights_digest,
        baseline_digest=baseline.digest,
        threshold_digest=threshold_digest(settings),
        num_samples=len(window.samples),
        num_reference=baseline.num_samples,
        missing_percent=max((signal.missing_percent for signal in signals), default=0.0),
        detectable_effect=detectable,
        num_drifted=num_drifted,
        min_drifted_features=settings.min_drifted_features,
        signals=signals,
        num_scenes=found.num_scenes,
        num_reference_scenes=len(baseline.scene_values),
    )


def min_scenes(settings: MonitoringSettings) -> int:
    """Return the fewest scenes that a verdict needs."""
    return math.ceil(SCENE_SHARE * settings.min_window_samples)


def waits_for_scenes(verdict: DriftVerdict, settings: MonitoringSettings) -> bool:
    """Say whether a window's samples are judged again with later ones: they show too few scenes so far."""
    is_large = verdict.num_samples >= settings.min_window_samples
    has_too_few = is_large and verdict.num_scenes < min_scenes(settings)
    return verdict.outcome == "inconclusive" and has_too_few and verdict.num_samples < settings.window_samples


def threshold_digest(settings: MonitoringSettings) -> str:
    """Return a digest of the method and of every setting a verdict depends on."""
    names = ("min_window_samples", "false_alarm_rate", "min_effect", "min_drifted_features")
    values = {name: getattr(settings, name) for name in (*names, "max_missing_percent")}
    return digest_value(values | {"method": METHOD, "max_detectable_effect": MAX_DETECTABLE_EFFECT})


def _known_columns(baseline: Baseline, table: FeatureTable) -> dict[int, Feature]:
    """Return the features of whole pictures that are still measured, by column of the baseline's values."""
    found = {column: table.find(name) for column, name in enumerate(baseline.feature_names)}
    return {
        column: feature
        for column, feature in found.items()
        if feature is not None and feature.needs != "instances"
    }


def _why_not_comparable(
    baseline: Baseline, window: Window, settings: MonitoringSettings, num_scenes: int, *, num_features: int
) -> str:
    """Return why these two cannot be compared at all, or an empty string."""
    digests = {window.weights_digest, *(sample.weights_digest for sample in window.samples)}
    if digests != {baseline.weights_digest}:
        return "the baseline belongs to other weights than the ones that answered these samples"
    if len(window.samples) < settings.min_window_samples:
        return (
            f"{count(len(window.samples), 'sample')} came, and a verdict needs {settings.min_window_samples}"
        )
    if not num_features:
        return "the baseline has no features"
    if num_scenes < min_scenes(settings):
        return _tell_scenes(len(window.samples), num_scenes, settings)
    return ""


def _tell_scenes(num_samples: int, num_scenes: int, settings: MonitoringSettings) -> str:
    num_wanted = math.ceil(min_scenes(settings) * num_samples / num_scenes)
    remedy = f"about {num_wanted} samples like these would do"
    if num_wanted > settings.window_samples:
        remedy += f"; monitoring.window_samples is {settings.window_samples}"
    return (
        f"{count(num_samples, 'sample')}, about {count(num_scenes, 'scene')}, and a verdict needs"
        f" {min_scenes(settings)} scenes: {remedy}"
    )


def _decide(
    refusal: str,
    signals: Sequence[FeatureSignal],
    num_drifted: int,
    detectable: float,
    settings: MonitoringSettings,
) -> tuple[Outcome, str]:
    if refusal:
        return "inconclusive", refusal
    required = settings.min_drifted_features
    wanted = "1 is" if required == 1 else f"{required} are"
    share = f"{num_drifted} of {count(len(signals), 'signal')} drifted, {wanted} required"
    if num_drifted >= required:
        largest = next(signal for signal in signals if signal.drifted)
        return "drift", f"{share}; the largest effect is {largest.effect:.2f} in {largest.name}"
    missing = [signal for signal in signals if signal.missing_percent > settings.max_missing_percent]
    if missing:
        worst = max(missing, key=lambda signal: signal.missing_percent)
        return "inconclusive", (
            f"{worst.name} is missing in {worst.missing_percent:.0f} % of the samples,"
            f" at most {settings.max_missing_percent:.0f} % are accepted"
        )
    if detectable > MAX_DETECTABLE_EFFECT:
        return "inconclusive", (
            f"with so few samples even a change with an effect of {MAX_DETECTABLE_EFFECT} could be missed"
        )
    return "quiet", f"{share}; a change with an effect of {detectable:.2f} or more would have been found"


def _all_signals(
    baseline: Baseline,
    columns: Mapping[int, Feature],
    samples: Sequence[Sample],
    judged_samples: Sequence[Sample],
    settings: MonitoringSettings,
    seed: int,
) -> tuple[FeatureSignal, ...]:
    """Test one sample of each scene; values may be missing in any sample."""
    signals = _feature_signals(baseline, columns, samples, judged_samples)
    num_tests = len(signals) + bool(len(baseline.embeddings))
    if len(baseline.embeddings):
        smallest = settings.false_alarm_rate / num_tests
        signals.append(_embedding_signal(baseline, samples, judged_samples, smallest, seed))
    corrected = holm_corrected([signal.p_value for signal in signals])
    judged = [
        replace(
            signal,
            corrected_p_value=p_value,
            drifted=p_value <= settings.false_alarm_rate and signal.effect >= settings.min_effect,
        )
        for signal, p_value in zip(signals, corrected, strict=True)
    ]
    return tuple(sorted(judged, key=lambda signal: (-signal.effect, signal.name)))


def _feature_signals(
    baseline: Baseline,
    columns: Mapping[int, Feature],
    samples: Sequence[Sample],
    judged_samples: Sequence[Sample],
) -> list[FeatureSignal]:
    current = feature_matrix(judged_samples, baseline.feature_names)
    num_known = np.isfinite(feature_matrix(samples, baseline.feature_names)).sum(axis=0)
    signals = []
    for column, feature in columns.items():
        reference_values, current_values = baseline.scene_values[:, column], current[:, column]
        reference_values = reference_values[np.isfinite(reference_values)]
        current_values = current_values[np.isfinite(current_values)]
        num_expected = sum(feature.is_expected(sample.features) for sample in samples)
        result = ks_test(reference_values, current_values)
        means = (_mean(reference_values), _mean(current_values))
        sizes = (len(reference_values), len(current_values))
        missing_percent = _missing_percent(num_expected, int(num_known[column]))
        signals.append(_unjudged(feature, sizes, missing_percent, result, means))
    return signals


def _embedding_signal(
    baseline: Baseline,
    samples: Sequence[Sample],
    judged_samples: Sequence[Sample],
    smallest_p_value: float,
    seed: int,
) -> FeatureSignal:
    """Compare embeddings; one of another length than the baseline's counts as missing."""
    reference = baseline.scene_embeddings
    width = reference.shape[1]
    rows = [one.embedding for one in judged_samples if one.embedding and len(one.embedding) == width]
    current = np.asarray(rows, dtype=np.float32).reshape(len(rows), width)
    num_known = sum(sample.embedding is not None and len(sample.embedding) == width for sample in samples)
    result = energy_test(reference, current, smallest_p_value=smallest_p_value, seed=seed)
    missing_percent = _missing_percent(len(samples), num_known)
    return _unjudged(EMBEDDING, (len(reference), len(current)), missing_percent, result, (None, None))


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


def _detectable_effect(
    baseline: Baseline, num_scenes: int, settings: MonitoringSettings, num_signals: int
) -> float:
    p_value = settings.false_alarm_rate / max(1, num_signals)
    distance = detectable_distance(len(baseline.scene_values), num_scenes, p_value)
    return min(1.0, max(settings.min_effect, distance))


def _mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    mean = float(values.mean()) if values.size else math.nan
    return mean if math.isfinite(mean) else None
