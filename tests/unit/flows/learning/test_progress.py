"""What a training tells: figures for the tracker, one record for the ledger, sentences for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.learning.progress import Advance, StepLog, describe_starvation, describe_step
from flows.workspace.figure_log import FigureLog
from flows.workspace.running import WorkNote
from maskloop.errors import BusyError
from maskloop.records.kinds import TrainingAdvanced
from maskloop.workspace import Workspace
from tests.fakes.ledger import FakeClock
from tests.fakes.run_tracker import FakeRunTracker

LOSSES = {"loss/total": 0.75, "loss/mask": 0.5, "loss/box_reg": 0.25}


class Training:
    """A training of so many steps in batches of eight, and everybody who hears of it."""

    def __init__(self, folder: Path, *, num_steps: int = 40, furthest_step: int = 0) -> None:
        self.records: list[TrainingAdvanced] = []
        self.said: list[str] = []
        self.tracker = FakeRunTracker()
        self.run_id = self.tracker.open_run("t", name="training", tags={})
        self.has_lease = True
        self.advance = Advance(
            self.records.append,
            WorkNote(Workspace(folder), "cycle-1"),
            attempt=2,
            furthest_step=furthest_step,
            num_steps=num_steps,
        )
        figures = FigureLog(self.tracker, self.run_id, FakeClock(), self.said.append)
        self.log = StepLog(figures, self.advance, 8, self.check_lease, self.said.append)

    def check_lease(self) -> None:
        if not self.has_lease:
            raise BusyError("another process has it")

    def step(self, step: int, *, wait_percent: float = 0.0) -> None:
        self.log.on_step(step, LOSSES, 0.01, pictures_per_s=16.0, wait_percent=wait_percent)

    def steps_recorded(self, name: str) -> list[int]:
        return [step for step, _ in self.tracker.runs[self.run_id].metrics.get(name, [])]


@pytest.fixture
def training(tmp_path: Path) -> Training:
    return Training(tmp_path)


def test_every_tenth_step_and_the_last_one_are_recorded(tmp_path: Path) -> None:
    training = Training(tmp_path, num_steps=25)
    for step in range(1, 26):
        training.step(step)
    assert training.steps_recorded("train/loss/total") == [10, 20, 25]


def test_a_recorded_step_holds_losses_rate_and_speed(training: Training) -> None:
    training.step(10, wait_percent=12.5)
    assert training.tracker.runs[training.run_id].metrics == {
        "train/loss/total": [(10, 0.75)],
        "train/loss/mask": [(10, 0.5)],
        "train/loss/box_reg": [(10, 0.25)],
        "train/learning_rate": [(10, 0.01)],
        "train/pictures_per_s": [(10, 16.0)],
        "train/wait_percent": [(10, 12.5)],
    }


@pytest.mark.parametrize(
    ("num_steps", "told"), [(40, [4, 8, 12, 16, 20, 24, 28, 32, 36, 40]), (5, [1, 2, 3, 4, 5])]
)
def test_people_hear_of_every_tenth_of_a_training(tmp_path: Path, num_steps: int, told: list[int]) -> None:
    training = Training(tmp_path, num_steps=num_steps)
    for step in range(1, num_steps + 1):
        training.step(step)
    assert training.said == [f"step {step} of {num_steps}: loss 0.75, 0.50 s a step" for step in told]


def test_a_training_that_lost_its_lease_stops_before_it_records_anything(training: Training) -> None:
    training.has_lease = False
    with pytest.raises(BusyError):
        training.step(10)
    assert training.steps_recorded("train/loss/total") == []
    assert training.log.waits_percent == []


def test_an_evaluation_is_recorded_without_the_figures_that_its_steps_recorded(training: Training) -> None:
    metrics = {"mean_iou": 0.8125, "iou/bolt": 0.75, "step": 20.0, "training_loss": 0.5, "learning_rate": 0.1}
    training.log.on_evaluation(20, metrics)
    assert training.tracker.runs[training.run_id].metrics == {
        "validation/mean_iou": [(20, 0.8125)],
        "validation/iou/bolt": [(20, 0.75)],
    }
    assert training.said == ["step 20 of 40: mean IoU 0.812 on validation pictures"]


def test_an_evaluation_of_the_loss_alone_says_nothing_about_the_iou(training: Training) -> None:
    training.log.on_evaluation(20, {"loss": 0.5})
    assert training.said == []
    assert training.steps_recorded("validation/loss") == [20]


def test_the_first_checkpoint_of_an_attempt_is_recorded_and_no_later_one(training: Training) -> None:
    for step in (10, 20, 30):
        training.advance.on_checkpoint(step)
    assert training.records == [TrainingAdvanced(attempt=2, step=10, steps=40)]


def test_only_a_checkpoint_beyond_those_of_earlier_attempts_is_an_advance(tmp_path: Path) -> None:
    training = Training(tmp_path, furthest_step=20)
    for step in (10, 20):
        training.advance.on_checkpoint(step)
    assert training.records == []
    training.advance.on_checkpoint(30)
    assert [record.step for record in training.records] == [30]


@pytest.mark.parametrize(
    ("waits_percent", "told"),
    [
        ([], ""),
        ([20.0, 20.0], ""),
        ([0.0, 40.0], ""),
        ([10.0, 40.0], "the steps spent 25 % of their time waiting for pictures; "),
        ([100.0], "the steps spent 100 % of their time waiting for pictures; "),
    ],
)
def test_waiting_for_pictures_is_reported_above_a_fifth_of_the_time(
    waits_percent: list[float], told: str
) -> None:
    said = describe_starvation(waits_percent)
    assert said.startswith(told)
    assert bool(said) == bool(told)
    assert not said or "training.num_workers" in said


def test_the_waits_of_all_steps_are_counted_not_only_of_recorded_ones(training: Training) -> None:
    for step in range(1, 5):
        training.step(step, wait_percent=step * 10.0)
    assert training.log.waits_percent == [10.0, 20.0, 30.0, 40.0]
    assert describe_starvation(training.log.waits_percent).startswith("the steps spent 25 %")


def test_a_step_is_described_by_its_loss_and_its_duration() -> None:
    losses: dict[str, Any] = {"loss/total": 1.005, "loss/mask": 1.0}
    assert describe_step(1, 2000, losses, 12.344) == "step 1 of 2000: loss 1.00, 12.34 s a step"


def test_the_first_step_and_the_last_are_noted_for_the_status(tmp_path: Path, training: Training) -> None:
    def noted() -> list[object]:
        (file,) = tmp_path.rglob("progress.json")
        note = json.loads(file.read_text())
        return [note[name] for name in ("work", "done", "total")]

    training.step(1)
    assert noted() == ["training", 1, 40]
    training.step(40)
    assert noted() == ["training", 40, 40]
