"""A new mix of classes is told once, as that."""

from __future__ import annotations

import numpy as np
import pytest

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.verdict import DriftVerdict, judge_drift
from monitoring.features.observation import Observation
from tests.fakes.class_data import WHOLE, draw_answers
from tests.fakes.drift_data import baseline_of, window_of

BEFORE, AFTER = {"wheel": 2.0, "door": 3.0}, {"wheel": 5.0, "door": 1.0}


def judge(before: list[Observation], after: list[Observation]) -> DriftVerdict:
    return judge_drift(baseline_of(before), window_of(after), MonitoringSettings(), seed=1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_a_new_mix_that_moves_everything_is_told_once_and_is_drift(rng: np.random.Generator) -> None:
    verdict = judge(
        draw_answers(rng, 200, BEFORE, mix_effect=4.0), draw_answers(rng, 100, AFTER, mix_effect=4.0)
    )
    assert sum(one.drifted for one in verdict.signals) > 6
    assert (verdict.outcome, verdict.is_mix) == ("drift", True)
    assert verdict.cause.startswith("the mix of classes changed: wheel ")
    assert verdict.cause.endswith("% of the instances")
    assert verdict.reason.startswith(verdict.cause)


def test_shares_are_told_as_computed_by_hand(rng: np.random.Generator) -> None:
    """Of 10 instances 4 were wheels, of 10 now 7."""

    def exactly(num_wheels: int, num: int) -> list[Observation]:
        drawn = draw_answers(rng, num, BEFORE)
        counts = {"count": 10.0, "count of wheel": float(num_wheels), "count of door": 10.0 - num_wheels}
        return [Observation(dict(one.features) | counts) for one in drawn]

    verdict = judge(exactly(4, 150), exactly(7, 80))
    assert verdict.cause == "the mix of classes changed: wheel 40 → 70, door 60 → 30 % of the instances"


def test_a_camera_that_changed_beside_the_mix_is_not_explained_by_it(rng: np.random.Generator) -> None:
    shifts = dict.fromkeys(WHOLE[:3], 2.5)
    verdict = judge(draw_answers(rng, 200, BEFORE), draw_answers(rng, 100, AFTER, shifts=shifts))
    assert (verdict.outcome, verdict.is_mix) == ("drift", False)
    assert "the pictures " in verdict.cause


def test_masks_that_changed_beside_the_mix_are_not_explained_by_it(rng: np.random.Generator) -> None:
    shifts = {"complexity of door": 2.5, "holes of door": 2.5}
    verdict = judge(draw_answers(rng, 200, BEFORE), draw_answers(rng, 200, AFTER, shifts=shifts))
    assert (verdict.outcome, verdict.is_mix) == ("drift", False)


def test_more_of_every_class_is_told_as_numbers(rng: np.random.Generator) -> None:
    verdict = judge(draw_answers(rng, 300, BEFORE), draw_answers(rng, 150, {"wheel": 6.0, "door": 9.0}))
    assert verdict.is_mix
    assert "wheel" in verdict.cause
    if verdict.cause.startswith("the number of instances"):
        assert verdict.cause.endswith("in a picture")


def test_the_same_mix_is_quiet_however_much_a_mix_would_matter(rng: np.random.Generator) -> None:
    verdict = judge(
        draw_answers(rng, 200, BEFORE, mix_effect=4.0), draw_answers(rng, 100, BEFORE, mix_effect=4.0)
    )
    assert (verdict.outcome, verdict.is_mix) == ("quiet", False)
