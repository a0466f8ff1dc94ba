from __future__ import annotations

import math
from dataclasses import replace

import pytest

from models.cluster.proposals import Proposals
from models.loading.request import TrainingRequest
from models.search.space import Choice, Range, Space, holds
from models.search.trials import Measured, SearchPlan, SearchTrial

RATE, SIZE = "training.learning_rate", "training.batch_size"
SPACE: Space = {RATE: Range(1e-4, 1e-1, is_log=True), SIZE: Choice((2, 4, 8))}


@pytest.fixture
def plan(shapes, tmp_path):
    request = TrainingRequest(shapes.make_dataset(), shapes.tiny_settings(), tmp_path, 9, 0.5)
    return SearchPlan(request, SPACE, (), (), (), 1, 1, 3, "tpe", 0)


def ended(trial: SearchTrial, *ious: float, outcome="finished") -> SearchTrial:
    measured = tuple(Measured(step, {"mean_iou": iou}) for step, iou in enumerate(ious, 1))
    return replace(trial, measured=measured, outcome=outcome)


def trial(number: int, rate: float) -> SearchTrial:
    return SearchTrial(number, {RATE: rate, SIZE: 4})


def test_drawn_values_lie_in_the_space_with_numbers_that_go_up(plan):
    drawn = [Proposals(plan).draw() for _ in range(1)] + [Proposals(replace(plan, next_number=5)).draw()]
    assert [one.number for one in drawn] == [1, 5]
    assert all(holds(SPACE, one.values) for one in drawn)


def test_what_waits_comes_first_with_its_own_number_and_evaluations(plan):
    waiting = (replace(ended(trial(3, 0.01), 0.5), outcome="running"), trial(7, 0.02))
    proposals = Proposals(replace(plan, waiting=waiting, next_number=8))
    assert [proposals.draw(), proposals.draw()] == [*waiting]
    assert proposals.draw().number == 8


def test_settings_to_begin_with_may_lie_outside_of_the_space(plan):
    outside = trial(1, 5.0)
    proposals = Proposals(replace(plan, waiting=(outside,), next_number=2))
    assert proposals.draw() == outside
    proposals.end(ended(outside, 0.5))
    assert holds(SPACE, proposals.draw().values)


def test_a_search_that_goes_on_does_not_draw_again_what_it_drew_before(plan):
    first = Proposals(plan)
    before = [first.draw().values for _ in range(3)]
    again = Proposals(replace(plan, next_number=4))
    assert all(again.draw().values not in before for _ in range(3))


def mean_distance(plan: SearchPlan) -> float:
    """Return how far from 0.01 the rates are that are drawn, in powers of ten."""
    proposals, distances = Proposals(plan), []
    for _ in range(8):
        drawn = proposals.draw()
        distances.append(abs(math.log10(drawn.values[RATE] / 0.01)))
        proposals.end(ended(drawn, 0.5))
    return math.fsum(distances) / len(distances)


def test_known_results_draw_trials_towards_the_better_ones(plan):
    rates = [1e-4, 2e-4, 5e-4, 1e-3, 9e-3, 1e-2, 1.1e-2, 5e-2, 8e-2, 9e-2]
    known = tuple(
        ended(trial(-1 - at, rate), 0.8 if 9e-3 <= rate <= 1.1e-2 else 0.1) for at, rate in enumerate(rates)
    )
    assert mean_distance(replace(plan, known=known)) < 0.7 * mean_distance(plan)


def test_trials_that_diverged_are_avoided_not_forgotten(plan):
    known = (
        *(ended(trial(-at, 0.05 + at / 1000), outcome="diverged") for at in range(1, 9)),
        *(ended(trial(-10 - at, 0.001 + at / 10000), 0.5 + at / 1000) for at in range(1, 9)),
    )
    proposals = Proposals(replace(plan, known=known))
    assert sum(proposals.draw().values[RATE] > 0.03 for _ in range(8)) <= 1


def test_known_results_that_do_not_fit_the_space_are_left_out(plan):
    known = (ended(trial(-1, 5.0), 0.9), SearchTrial(-2, {RATE: 0.01}), trial(-3, 0.01))
    assert Proposals(replace(plan, known=known))._study.trials == []


def test_what_stopped_early_is_no_result_to_optuna(plan):
    proposals = Proposals(plan)
    proposals.end(ended(proposals.draw(), 0.1, 0.2, outcome="stopped early"))
    proposals.end(ended(proposals.draw(), 0.3, 0.4))
    stopped, finished = proposals._study.trials
    assert (stopped.state.name, stopped.intermediate_values) == ("PRUNED", {1: 0.1, 2: 0.2})
    assert (finished.state.name, finished.value) == ("COMPLETE", 0.4)
