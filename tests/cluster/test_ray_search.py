"""A search that Ray Tune runs on this machine: trials end early, diverge, are cut off, and go on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from maskloop.errors import TrainingError
from maskloop.settings.workspace_settings import parse_settings
from models.cluster.ray_search import RayTuneSearcher
from models.loading.request import TrainingRequest
from models.search.space import Range
from models.search.trials import Measured, SearchPlan, SearchTrial, checkpoints_of
from tests.contracts.test_model_ports import SETTINGS
from tests.fakes.loop_world import World

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own, which it raises in threads of this process
STEPS, EVERY = 9, 1
RATE = "training.learning_rate"
SPACE = {RATE: Range(1e-4, 1e12, is_log=True), "training.weight_decay": Range(0.0, 0.1)}


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    return World(tmp_path_factory.mktemp("data") / "workspace").label(range(12))


def plan_of(version, folder: Path, *waiting: SearchTrial, **other) -> SearchPlan:
    training = {
        **SETTINGS["training"],
        **{"checkpoint_every_steps": 2, "precision": "fp32", "optimizer": "sgd", "clip_norm": 1e30},
        **{"warmup_steps": 0, "schedule": "constant", "steps": STEPS, "cluster": {"max_failures": 0}},
    }
    request = TrainingRequest(
        version, parse_settings({**SETTINGS, "training": training}), folder, STEPS, 0.01, device="cpu"
    )
    known = {"known": (), "reduction_factor": 3, "sampler": "tpe", "concurrent_trials": 1}
    known |= {"next_number": len(waiting) + 1, "evaluate_every_steps": EVERY}
    return SearchPlan(request, SPACE, (), waiting=waiting, **{**known, **other})


def trial(number: int, rate: float) -> SearchTrial:
    return SearchTrial(number, {RATE: rate, "training.weight_decay": 0.001})


class Told:
    """What the command is told, and how long it lets trials begin."""

    def __init__(self, *, num_trials: int, stop_after_evaluations: int = 10**9) -> None:
        self.trials: dict[int, SearchTrial] = {}
        self.tellings = 0
        self._num_trials, self._stop_after = num_trials, stop_after_evaluations

    def search(self, plan: SearchPlan) -> list[SearchTrial]:
        RayTuneSearcher().search(
            plan,
            on_trial=self.hear,
            may_start=lambda: len(self.trials) < self._num_trials,
            should_stop=lambda: sum(len(one.measured) for one in self.trials.values()) >= self._stop_after,
        )
        return [self.trials[number] for number in sorted(self.trials)]

    def hear(self, heard: SearchTrial) -> None:
        self.trials[heard.number] = heard
        self.tellings += 1


def test_trials_finish_or_diverge_and_more_are_drawn_within_the_space(version, tmp_path):
    plan = plan_of(version, tmp_path, trial(1, 0.01), trial(2, 1e12))
    first, second, *drawn = Told(num_trials=4).search(plan)
    assert first.outcome == "finished"
    assert [one.step for one in first.measured] == [*range(1, STEPS + 1)]
    assert second.outcome == "diverged"
    assert "not finite" in second.said
    assert [one.number for one in drawn] == [3, 4]
    assert all(1e-4 <= one.values[RATE] <= 1e12 for one in drawn)
    assert all(one.outcome != "running" and one.seconds > 0 for one in drawn)
    assert not list((tmp_path / "checkpoints").glob("*"))
    assert not (tmp_path / "ray").exists()


def test_a_search_that_was_cut_off_goes_on_where_its_trial_was(version, tmp_path):
    cut = Told(num_trials=1, stop_after_evaluations=4)
    (before,) = cut.search(plan_of(version, tmp_path, trial(1, 0.01)))
    assert before.outcome == "running"
    assert checkpoints_of(tmp_path, 1).is_dir()
    again = Told(num_trials=1)
    (after,) = again.search(plan_of(version, tmp_path, before))
    assert after.outcome == "finished"
    assert after.measured[: len(before.measured)] == before.measured
    assert [one.step for one in after.measured] == [*range(1, STEPS + 1)]
    assert again.tellings == 2 + STEPS - len(before.measured), "what was known is not told again"


def test_a_trial_worse_than_earlier_ones_after_as_many_steps_is_stopped_early(version, tmp_path):
    better = tuple(Measured(step, {"mean_iou": 1.0}) for step in range(1, STEPS + 1))
    known = tuple(replace(trial(n, 0.1 * n), measured=better, outcome="finished") for n in (101, 102, 103))
    (found,) = Told(num_trials=1).search(plan_of(version, tmp_path, trial(1, 1e-4), known=known))
    assert found.outcome == "stopped early"
    assert found.last_step == EVERY


def test_a_spared_trial_is_trained_to_its_end_however_it_does(version, tmp_path):
    better = tuple(Measured(step, {"mean_iou": 1.0}) for step in range(1, STEPS + 1))
    known = (replace(trial(101, 0.1), measured=better, outcome="finished"),)
    plan = plan_of(version, tmp_path, trial(1, 1e-4), known=known, spared=(1,))
    (found,) = Told(num_trials=1).search(plan)
    assert (found.outcome, found.last_step) == ("finished", STEPS)


def test_three_failures_in_a_row_end_the_search_with_the_reason(version, tmp_path):
    (tmp_path / "checkpoints").write_text("a file is in the way of the checkpoints")
    with pytest.raises(TrainingError, match="3 trials in a row failed"):
        Told(num_trials=9).search(plan_of(version, tmp_path))
