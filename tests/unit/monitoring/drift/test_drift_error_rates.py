"""The promised false alarm rate and power of the drift verdict, by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.verdict import judge_drift
from tests.fakes.drift_data import baseline_of, draw, window_of

SETTINGS = MonitoringSettings()
BARE = MonitoringSettings(false_alarm_rate=0.05, min_effect=0.0, min_drifted_features=1)
"""Nothing but the correction for many tests stands between a quiet window and an alarm."""


def alarms(
    num_windows: int, num_samples: int, settings: MonitoringSettings, *, seed: int, **stream: float
) -> int:
    rng = np.random.default_rng(seed)
    shift_sd, correlation = stream.get("shift_sd", 0.0), stream.get("correlation", 0.0)
    count = 0
    for window in range(num_windows):
        baseline = baseline_of(draw(rng, 80, correlation=correlation))
        current = draw(rng, num_samples, shift_sd=shift_sd, correlation=correlation)
        count += judge_drift(baseline, window_of(current), settings, seed=window).outcome == "drift"
    return count


@pytest.mark.parametrize("num_samples", [50, 100, 200])
@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_the_correction_alone_bounds_false_alarms_at_any_window_size(
    num_samples: int, correlation: float
) -> None:
    """At 5 %, 100 quiet windows give 5 alarms; more than 11 would come once in 230 times."""
    assert alarms(100, num_samples, BARE, seed=num_samples, correlation=correlation) <= 11


def test_quiet_windows_do_not_alarm_with_the_default_settings() -> None:
    assert sum(alarms(40, num_samples, SETTINGS, seed=num_samples) for num_samples in (50, 100, 200)) <= 3


def test_a_shift_of_one_standard_deviation_in_50_samples_is_seen() -> None:
    assert alarms(60, 50, SETTINGS, seed=9, shift_sd=1.0) >= 58


def test_with_correlated_features_it_is_seen_in_100_samples() -> None:
    """In 50 a single place may differ as much, so a fourth of these windows waits for more scenes."""
    assert alarms(60, 50, SETTINGS, seed=10, shift_sd=1.0, correlation=0.5) >= 35
    assert alarms(60, 100, SETTINGS, seed=10, shift_sd=1.0, correlation=0.5) >= 58
