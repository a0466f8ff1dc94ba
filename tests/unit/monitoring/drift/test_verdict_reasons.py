"""What a drift verdict says, and the numbers at which it turns."""

from __future__ import annotations

import numpy as np
import pytest

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.references import POOLED
from monitoring.drift.sources import judge_window
from monitoring.drift.verdict import DriftVerdict, judge_drift, threshold_digest
from monitoring.features.observation import Observation
from tests.fakes.drift_data import baseline_of, window_of

SETTINGS = MonitoringSettings(min_window_samples=50, min_drifted_features=1)


def observations(noise: float, num: int = 100, *, num_missing: int = 0) -> list[Observation]:
    """Return pictures in no order, of noise evenly from ``noise`` to 1 grey level more, the last without."""
    values = [noise + step / num for step in np.random.default_rng(0).permutation(num - num_missing).tolist()]
    return [
        *(Observation({"noise": value}) for value in values),
        *[Observation({"noise": None})] * num_missing,
    ]


def judge(before: list[Observation], after: list[Observation], **changes: float) -> DriftVerdict:
    return judge_drift(baseline_of(before), window_of(after), SETTINGS.model_copy(update=changes))


@pytest.mark.parametrize(
    ("verdict", "outcome", "reason"),
    [
        (
            judge(observations(1.0), observations(3.0)),
            "drift",
            "1 of 1 signal drifted, 1 is required; the largest effect is 1.00 in noise",
        ),
        (
            judge(observations(1.0), observations(1.0)),
            "quiet",
            "0 of 1 signal drifted, 1 is required;"
            " a change with an effect of 0.30 or more would have been found",
        ),
        (
            judge(observations(1.0), observations(1.0, 1), min_window_samples=2),
            "inconclusive",
            "1 sample came, and a verdict needs 2",
        ),
        (
            judge(observations(1.0), observations(1.0, num_missing=11)),
            "inconclusive",
            "noise is missing in 11 % of the samples, at most 10 % are accepted",
        ),
        (
            judge(observations(1.0, 5), observations(1.0)),
            "inconclusive",
            "with so few samples even a change with an effect of 0.7 could be missed",
        ),
    ],
)
def test_a_verdict_says_in_one_sentence_what_decided_it(
    verdict: DriftVerdict, outcome: str, reason: str
) -> None:
    assert (verdict.outcome, verdict.reason) == (outcome, reason)


def test_as_many_missing_values_as_are_accepted_are_still_quiet() -> None:
    verdict = judge(observations(1.0), observations(1.0, num_missing=10))
    assert (verdict.outcome, verdict.missing_percent) == ("quiet", 10.0)


def test_the_least_window_is_enough_and_one_sample_less_is_not() -> None:
    assert judge(observations(1.0), observations(1.0, 50)).outcome == "quiet"
    assert judge(observations(1.0), observations(1.0, 49)).outcome == "inconclusive"


def test_means_and_numbers_of_values_are_told_beside_the_effect() -> None:
    (signal,) = judge(observations(1.0, 100), observations(3.0, 60, num_missing=6)).signals
    assert (signal.num_reference, signal.num_current, signal.missing_percent) == (100, 54, 10.0)
    assert signal.reference_mean == pytest.approx(1.0 + 99 / 200)
    assert signal.current_mean == pytest.approx(3.0 + 53 / 120)


def test_an_effect_as_large_as_the_least_one_counts() -> None:
    """Of 100 values 30 moved away: the Kolmogorov-Smirnov distance is 0.3."""
    before = observations(1.0)
    moved = [step for step in range(100) if step % 10 in (0, 3, 4)]
    after = [*before]
    for step in moved:
        after[step] = Observation({"noise": 5.0 + step / 100})
    (signal,) = judge(before, after).signals
    assert signal.effect == pytest.approx(0.3)
    assert judge(before, after, min_effect=signal.effect).num_drifted == 1
    assert judge(before, after, min_effect=signal.effect + 1e-9).num_drifted == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("min_window_samples", 51),
        ("false_alarm_rate", 0.02),
        ("min_effect", 0.4),
        ("min_drifted_features", 3),
        ("max_missing_percent", 20.0),
    ],
)
def test_each_threshold_enters_the_digest(key: str, value: float) -> None:
    assert threshold_digest(SETTINGS.model_copy(update={key: value})) != threshold_digest(SETTINGS)


def test_of_two_quiet_references_the_first_named_is_the_closest() -> None:
    same = baseline_of(observations(1.0))
    window = window_of(observations(1.0))
    found = judge_window({"camera 2": same, POOLED: same}, window, SETTINGS).deciding
    assert found.name == "camera 2"
