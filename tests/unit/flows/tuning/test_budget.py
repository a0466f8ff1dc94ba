from __future__ import annotations

import pytest

from flows.tuning.budget import evaluation_interval, foresee
from models.search.trials import Measured, SearchTrial


def trial(number: int, *, steps: int, seconds: float, outcome="finished") -> SearchTrial:
    return SearchTrial(number, {}, (Measured(steps, {"mean_iou": 0.5}),), outcome, "", seconds)


def left_after(*trials: SearchTrial, seconds: float, **other):
    known = {"first_rung_steps": 10, "max_trials": 0, "num_at_once": 1}
    return foresee(trials, seconds_left=seconds, **{**known, **other})


@pytest.mark.parametrize(("steps", "factor"), [(400, 3), (2000, 3), (7, 3), (1, 3), (100, 10), (5, 2)])
def test_both_rungs_and_the_end_are_met_by_evaluations(steps, factor):
    every = evaluation_interval(steps, factor)
    assert every * factor**2 >= steps, "the second rung is a third of the way or further"
    assert (every - 1) * factor**2 < steps


def test_the_first_trial_may_start_as_nobody_knows_how_long_it_takes():
    found = left_after(seconds=1.0)
    assert (found.may_start, found.num_trials_left) == (True, None)
    assert not left_after(seconds=0.0).may_start
    assert left_after(seconds=-5.0).seconds_left == 0.0


def test_a_trial_that_cannot_reach_the_first_rung_does_not_start():
    went = trial(1, steps=90, seconds=180.0)  # two seconds a step, ten steps to the first rung
    assert left_after(went, seconds=20.0).may_start
    assert left_after(went, seconds=19.9) == foresee_none(19.9)


def foresee_none(seconds: float):
    return type(left_after(seconds=1.0))(seconds, 0, False)


def test_trials_still_to_come_follow_from_how_long_the_ended_ones_took():
    ended = [trial(1, steps=90, seconds=180.0), trial(2, steps=10, seconds=20.0, outcome="stopped early")]
    under_way = trial(3, steps=10, seconds=20.0, outcome="running")
    assert left_after(*ended, under_way, seconds=1000.0).num_trials_left == 10
    assert left_after(*ended, under_way, seconds=1000.0, num_at_once=2).num_trials_left == 20
    assert left_after(*ended, under_way, seconds=1000.0, max_trials=5).num_trials_left == 2


def test_no_more_trials_start_than_were_allowed():
    assert not left_after(trial(1, steps=90, seconds=1.0), seconds=1e6, max_trials=1).may_start
