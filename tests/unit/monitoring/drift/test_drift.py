"""The drift verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.baseline import Baseline
from monitoring.drift.scenes import Scenes
from monitoring.drift.verdict import DriftVerdict, judge_drift, threshold_digest
from monitoring.features.observation import Observation
from tests.fakes.drift_data import baseline_of, draw, window_of

SETTINGS = MonitoringSettings()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def baseline(rng: np.random.Generator) -> Baseline:
    return baseline_of(draw(rng, 120))


def judge(baseline: Baseline, observations: list[Observation], **changes: float) -> DriftVerdict:
    settings = SETTINGS.model_copy(update=changes)
    return judge_drift(baseline, window_of(observations), settings, seed=1)


def with_features(observation: Observation, **features: float | None) -> Observation:
    return replace(observation, features={**observation.features, **features})


def test_the_same_stream_is_quiet(baseline: Baseline, rng: np.random.Generator) -> None:
    verdict = judge(baseline, draw(rng, 80))
    assert verdict.outcome == "quiet"
    assert verdict.cause == ""
    assert (verdict.num_samples, verdict.num_reference, verdict.missing_percent) == (80, 120, 0.0)


def test_a_shift_of_one_standard_deviation_is_drift(baseline: Baseline, rng: np.random.Generator) -> None:
    verdict = judge(baseline, draw(rng, 50, shift_sd=1.0))
    assert verdict.outcome == "drift"
    assert verdict.num_drifted >= 2
    assert verdict.cause
    assert any(signal.name == "embedding" and signal.drifted for signal in verdict.signals)


def test_one_drifted_feature_is_not_enough(baseline: Baseline, rng: np.random.Generator) -> None:
    window = [with_features(one, noise=9.0) for one in draw(rng, 60)]
    assert judge(baseline, window).outcome == "quiet"
    alone = judge(baseline, window, min_drifted_features=1)
    assert (alone.outcome, alone.num_drifted) == ("drift", 1)
    assert alone.signals[0].name == "noise"


def test_a_certain_but_small_effect_is_quiet(rng: np.random.Generator) -> None:
    baseline = baseline_of(draw(rng, 2000, embedded=False))
    window = draw(rng, 2000, shift_sd=0.3, embedded=False)
    verdict = judge(baseline, window)
    assert verdict.outcome == "quiet"
    assert verdict.signals[0].corrected_p_value < 1e-6
    assert judge(baseline, window, min_effect=0.1).outcome == "drift"


def test_the_embedding_counts_as_one_signal(baseline: Baseline, rng: np.random.Generator) -> None:
    moved = draw(rng, 60, shift_sd=2.0)
    window = [
        replace(one, embedding=other.embedding) for one, other in zip(draw(rng, 60), moved, strict=True)
    ]
    verdict = judge(baseline, window)
    assert verdict.num_drifted == 1
    assert verdict.signals[0].name == "embedding"


@pytest.mark.parametrize("num", [0, 1, 49])
def test_too_few_samples_are_inconclusive_however_different(
    baseline: Baseline, rng: np.random.Generator, num: int
) -> None:
    verdict = judge(baseline, draw(rng, num, shift_sd=9.0))
    assert verdict.outcome == "inconclusive"
    assert str(num) in verdict.reason


def test_a_baseline_of_other_weights_is_refused(rng: np.random.Generator) -> None:
    observations = draw(rng, 60)
    verdict = judge(baseline_of(observations, weights_digest="w2"), observations)
    assert verdict.outcome == "inconclusive"
    assert "other weights" in verdict.reason


def test_a_single_sample_of_other_weights_spoils_the_window(
    baseline: Baseline, rng: np.random.Generator
) -> None:
    window = window_of(draw(rng, 60))
    stranger = replace(window.samples[0], weights_digest="w2")
    mixed = replace(window, samples=(*window.samples[1:], stranger))
    assert judge_drift(baseline, mixed, SETTINGS).outcome == "inconclusive"


def test_a_tiny_baseline_cannot_call_a_window_quiet(rng: np.random.Generator) -> None:
    verdict = judge(baseline_of(draw(rng, 6)), draw(rng, 60))
    assert verdict.outcome == "inconclusive"
    assert verdict.detectable_effect > 0.7


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), None])
def test_half_the_values_missing_is_never_quiet(
    baseline: Baseline, rng: np.random.Generator, wrong: float | None
) -> None:
    window = [with_features(one, noise=wrong) if i % 2 else one for i, one in enumerate(draw(rng, 60))]
    verdict = judge(baseline, window)
    assert verdict.outcome == "inconclusive"
    assert verdict.missing_percent == 50.0
    assert "noise is missing in 50 %" in verdict.reason


def test_a_feature_nobody_measured_any_more_is_missing(baseline: Baseline, rng: np.random.Generator) -> None:
    window = [
        replace(one, features={name: value for name, value in one.features.items() if name != "noise"})
        for one in draw(rng, 60)
    ]
    assert judge(baseline, window).missing_percent == 100.0


def test_missing_embeddings_are_missing_values(baseline: Baseline, rng: np.random.Generator) -> None:
    assert judge(baseline, draw(rng, 60, embedded=False)).outcome == "inconclusive"
    other_length = [replace(one, embedding=(1.0, 2.0)) for one in draw(rng, 60)]
    assert judge(baseline, other_length).missing_percent == 100.0


def test_drift_is_drift_although_something_is_missing(baseline: Baseline, rng: np.random.Generator) -> None:
    window = [with_features(one, noise=None) for one in draw(rng, 60, shift_sd=2.0)]
    assert judge(baseline, window).outcome == "drift"


def test_scores_of_pictures_without_detections_are_not_missing(
    baseline: Baseline, rng: np.random.Generator
) -> None:
    empty = {"count": 0.0, "mean_score": None, "max_score": None, "mean_fill": None, "mean_aspect": None}
    window = [with_features(one, **empty) if i % 8 == 3 else one for i, one in enumerate(draw(rng, 60))]
    verdict = judge(baseline, window)
    assert verdict.missing_percent == 0.0
    assert verdict.outcome == "quiet"


def test_constant_features_are_fine(rng: np.random.Generator) -> None:
    grey = [with_features(one, red_green=0.0) for one in draw(rng, 100)]
    verdict = judge(baseline_of(grey), [with_features(one, red_green=0.0) for one in draw(rng, 60)])
    assert verdict.outcome == "quiet"
    assert next(s for s in verdict.signals if s.name == "red_green").p_value == 1.0


def test_the_same_input_gives_the_same_verdict(baseline: Baseline, rng: np.random.Generator) -> None:
    window = draw(rng, 60)
    assert judge(baseline, window) == judge(baseline, window)


def test_a_verdict_carries_what_it_was_reached_with(baseline: Baseline, rng: np.random.Generator) -> None:
    verdict = judge(baseline, draw(rng, 60, shift_sd=1.0))
    assert verdict.num_samples == 60
    assert verdict.baseline_digest == baseline.digest
    assert verdict.threshold_digest == threshold_digest(SETTINGS)
    assert verdict.signals[0].effect >= verdict.signals[-1].effect


def test_the_threshold_digest_follows_the_thresholds_alone() -> None:
    assert threshold_digest(SETTINGS) == threshold_digest(MonitoringSettings(keep_pictures=1))
    assert threshold_digest(SETTINGS) != threshold_digest(MonitoringSettings(min_effect=0.2))


def test_every_sample_more_or_less_empty_of_features_is_inconclusive() -> None:
    nothing = [Observation({}) for _ in range(60)]
    assert judge(baseline_of(nothing), nothing).outcome == "inconclusive"


def blurred(observation: Observation) -> Observation:
    """Return a picture without the sharpness that its contrast would have brought; noise goes with it."""
    contrast = observation.features["contrast"] or 0.0
    return with_features(observation, sharpness=contrast - 3.0, noise=contrast - 3.5)


def sharp(rng: np.random.Generator, num: int) -> list[Observation]:
    """Return pictures whose sharpness and noise follow their contrast, which differs much."""
    seen = [with_features(one, contrast=2.0 * (one.features["contrast"] or 0.0)) for one in draw(rng, num)]
    return [
        with_features(one, sharpness=one.features["contrast"], noise=(one.features["contrast"] or 0.0) + 0.1)
        for one in seen
    ]


def test_a_fifth_of_new_pictures_is_drift_although_no_property_moved_by_enough() -> None:
    rng = np.random.default_rng(3)
    baseline = baseline_of(sharp(rng, 150))
    mixed = [*sharp(rng, 160), *map(blurred, sharp(rng, 40))]
    window = [mixed[place] for place in rng.permutation(200)]
    verdict = judge(baseline, window)
    assert (verdict.outcome, verdict.num_drifted) == ("drift", 0)
    assert verdict.newcomers is not None
    assert verdict.newcomers.share == pytest.approx(0.2, abs=0.1)
    assert "of the pictures are unlike the champion's own" in verdict.reason
    assert verdict.cause.startswith("a part of the pictures is new: the pictures are")
    assert {one.name for one in verdict.carrying if one.drifted} >= {"sharpness", "noise"}
    assert judge(baseline, window, min_new_share=0.5).outcome == "quiet"
    assert judge(baseline, sharp(rng, 200)).outcome == "quiet"


def test_newcomers_are_not_asked_for_in_small_windows_nor_in_bursts() -> None:
    rng = np.random.default_rng(3)
    baseline = baseline_of(sharp(rng, 150))
    small = [*sharp(rng, 64), *map(blurred, sharp(rng, 16))]
    assert judge(baseline, small).newcomers is None
    window = window_of([*sharp(rng, 160), *map(blurred, sharp(rng, 40))])
    half = Scenes(tuple(range(0, 200, 2)), {"": 2})
    assert judge_drift(baseline, window, SETTINGS, scenes=half).newcomers is None


def test_few_scenes_are_drift_only_if_they_have_almost_nothing_in_common(rng: np.random.Generator) -> None:
    baseline = baseline_of(draw(rng, 150))
    every_third = Scenes(tuple(range(0, 60, 3)), {"": 3})
    outcomes = {}
    for shift in (0.0, 0.7, 5.0):
        window = window_of(draw(rng, 60, shift_sd=shift))
        outcomes[shift] = judge_drift(baseline, window, SETTINGS, scenes=every_third).outcome
    assert outcomes == {0.0: "inconclusive", 0.7: "inconclusive", 5.0: "drift"}
    few = Scenes(tuple(range(0, 60, 6)), {"": 6})
    far = window_of(draw(rng, 60, shift_sd=5.0))
    assert judge_drift(baseline, far, SETTINGS, scenes=few).outcome == "inconclusive"
