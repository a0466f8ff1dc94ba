"""What differs no more than one place may differ from the rest waits for more scenes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.comparison import measure_spread
from monitoring.drift.references import POOLED
from monitoring.drift.sources import judge_window
from monitoring.drift.verdict import DriftVerdict, judge_drift, waits_for_scenes
from tests.fakes.drift_data import baseline_of, draw, window_of

SETTINGS = MonitoringSettings()


def test_a_moderate_shift_in_one_direction_waits_for_more_scenes() -> None:
    rng = np.random.default_rng(2)
    baseline = baseline_of(draw(rng, 150, correlation=0.98))
    shifted = draw(rng, 200, correlation=0.98, shift_sd=0.9)
    verdict = judge_drift(baseline, window_of(shifted[:50]), SETTINGS)
    assert (verdict.outcome, verdict.may_be_place) == ("inconclusive", True)
    assert "50 scenes of one place can differ as much" in verdict.reason
    assert verdict.num_drifted >= SETTINGS.min_drifted_features
    assert waits_for_scenes(verdict, SETTINGS)
    assert judge_drift(baseline, window_of(shifted), SETTINGS).outcome == "drift"


def test_a_moderate_shift_in_all_directions_is_drift_at_once() -> None:
    rng = np.random.default_rng(1)
    baseline = baseline_of(draw(rng, 150))
    verdict = judge_drift(baseline, window_of(draw(rng, 50, shift_sd=0.9)), SETTINGS)
    properties = [one.effect for one in verdict.signals if one.name != "embedding" and one.drifted]
    assert verdict.outcome == "drift"
    assert max(properties) < 0.6


def test_what_may_be_a_place_of_one_reference_is_no_drift() -> None:
    rng = np.random.default_rng(2)
    near, far = (baseline_of(draw(rng, 150, correlation=0.98, shift_sd=shift)) for shift in (0.0, 5.0))
    window = window_of(draw(rng, 50, correlation=0.98, shift_sd=0.9))
    assert judge_drift(far, window, SETTINGS).outcome == "drift"
    found = judge_window({POOLED: far, "camera 1": near}, window, SETTINGS).deciding
    assert (found.name, found.verdict.outcome) == ("camera 1", "inconclusive")


def test_scenes_that_lie_close_together_are_of_one_place_unless_they_are_unmistakable() -> None:
    rng = np.random.default_rng(3)
    baseline = baseline_of(draw(rng, 150))

    def near(scale: float, shift_sd: float) -> DriftVerdict:
        drawn = [
            replace(one, embedding=tuple(scale * value for value in one.embedding or ()))
            for one in draw(rng, 50, shift_sd=shift_sd)
        ]
        return judge_drift(baseline, window_of(drawn), SETTINGS)

    assert (near(1.0, 0.7).outcome, near(0.4, 0.7).may_be_place) == ("drift", True)
    assert near(0.4, 3.0).outcome == "drift"


def test_the_spread_is_a_share_of_the_baselines_and_needs_embeddings() -> None:
    rng = np.random.default_rng(4)
    baseline = baseline_of(draw(rng, 400))
    halved = [
        replace(one, embedding=tuple(0.5 * value for value in one.embedding or ())) for one in draw(rng, 400)
    ]
    assert measure_spread(baseline, window_of(halved).samples) == pytest.approx(0.5, abs=0.05)
    assert measure_spread(baseline, window_of(draw(rng, 50, embedded=False)).samples) == 1.0
    assert measure_spread(baseline_of(draw(rng, 50, embedded=False)), window_of(halved).samples) == 1.0
