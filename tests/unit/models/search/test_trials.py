from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from maskloop.errors import DataError
from models.loading.request import TrainingRequest
from models.search.space import Range
from models.search.trials import (
    Measured,
    SearchPlan,
    SearchTrial,
    best_trial,
    objective,
    request_of,
    result_of,
)

RATE = "training.learning_rate"


def trial(number: int, *ious: float, **other) -> SearchTrial:
    measured = tuple(Measured(step, {"mean_iou": iou}) for step, iou in enumerate(ious, 1))
    return SearchTrial(number, {RATE: 0.1 * number}, measured, **{"outcome": "finished", **other})


def test_trials_are_compared_by_the_critical_classes_alone():
    metrics = {"mean_iou": 0.5, "iou/bolt": 0.2, "iou/nut": 0.8, "loss/total": 3.0}
    assert objective(metrics, ()) == 0.5
    assert objective(metrics, ("nut",)) == 0.8
    assert objective(metrics, ("nut", "bolt", "never seen")) == 0.5
    with pytest.raises(DataError, match="no critical class"):
        objective(metrics, ("never seen",))


def test_a_trial_counts_where_its_training_would_keep_the_weights():
    assert result_of(trial(1, 0.25, 0.75, 0.5), ()) == 0.75
    measured = (
        Measured(1, {"mean_iou": 0.5, "iou/nut": 0.9}),
        Measured(2, {"mean_iou": 0.6, "iou/nut": 0.1}),
    )
    assert result_of(replace(trial(1), measured=measured), ("nut",)) == 0.1


@pytest.mark.parametrize("outcome", ["diverged", "failed"])
def test_a_trial_that_gave_up_has_the_worst_result_however_it_began(outcome):
    assert result_of(trial(1, 0.9, outcome=outcome), ()) == 0.0


def test_a_trial_without_an_evaluation_has_no_result():
    assert result_of(trial(1, outcome="running"), ()) is None


def test_the_best_trial_is_one_that_finished_and_the_earliest_of_equal_ones():
    early, first, second = trial(1, 0.9, outcome="stopped early"), trial(2, 0.5), trial(3, 0.5)
    assert best_trial([early, first, second, trial(4, 0.4)], ()) is first
    assert best_trial([early], ()) is None


def test_an_evaluation_that_is_known_changes_nothing():
    one = trial(1, 0.1, 0.2)
    assert one.hearing(Measured(2, {"mean_iou": 0.9})) is one
    assert one.hearing(Measured(3, {"mean_iou": 0.9})).last_step == 3


def test_a_trial_trains_with_its_values_evaluates_where_trials_are_compared_and_saves_apart(shapes, tmp_path):
    request = TrainingRequest(shapes.make_dataset(), shapes.tiny_settings(), tmp_path, 9, 0.5)
    plan = SearchPlan(request, {RATE: Range(0.1, 1.0)}, (), (), (), 1, 3, 3, "tpe", 0)
    asked = request_of(plan, trial(2))
    assert asked.learning_rate == asked.settings.training.learning_rate == 0.2
    assert asked.settings.training.evaluate_every_steps == 3
    assert asked.settings.training.early_stopping_evaluations == 0
    assert asked.steps == 9
    assert asked.checkpoint_dir != request_of(plan, trial(3)).checkpoint_dir
    assert Path(tmp_path) in asked.checkpoint_dir.parents
