"""Figures of a training reach the tracker in order, now or later; its troubles never end a training."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from flows.workspace.figure_log import FigureLog
from maskloop.errors import RefusedError
from tests.fakes.ledger import FakeClock
from tests.fakes.run_tracker import FakeRunTracker


class Tracker(FakeRunTracker):
    """Refuses figures by name, and counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.num_asked = 0

    def log_metrics(self, run_id: str, figures: Mapping[str, float], *, step: int) -> None:
        self.num_asked += 1
        if self.refused & set(figures):
            raise RefusedError("this name is not allowed")
        super().log_metrics(run_id, figures, step=step)


class Run:
    """A figure log over a tracker, and what was said."""

    def __init__(self) -> None:
        self.tracker, self.clock, self.said = Tracker(), FakeClock(), list[str]()
        self.run_id = self.tracker.open_run("t", name="training", tags={})
        self.log = FigureLog(self.tracker, self.run_id, self.clock, self.said.append)

    def recorded(self) -> dict[str, list[tuple[int, float]]]:
        return self.tracker.runs[self.run_id].metrics


@pytest.fixture
def run() -> Run:
    return Run()


def test_figures_are_recorded_at_once_while_the_tracker_answers(run: Run) -> None:
    run.log.log({"loss": 0.5}, step=1)
    run.log.log({"loss": 0.25}, step=2)
    assert run.recorded() == {"loss": [(1, 0.5), (2, 0.25)]}
    assert run.said == []


def test_figures_wait_in_order_and_are_recorded_once_the_tracker_is_back(run: Run) -> None:
    run.tracker.is_offline = True
    for step in (1, 2, 3):
        run.log.log({"loss": step / 10}, step=step)
    assert run.recorded() == {}

    run.tracker.is_offline = False
    run.clock.advance(seconds=60)
    run.log.log({"loss": 0.4}, step=4)
    assert run.recorded() == {"loss": [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]}


def test_a_tracker_that_does_not_answer_is_left_alone_for_a_minute(run: Run) -> None:
    run.tracker.is_offline = True
    for _ in range(59):
        run.log.log({"loss": 0.5}, step=1)
        run.clock.advance(seconds=1)
    assert run.tracker.num_asked == 1
    run.clock.advance(seconds=1)
    run.log.log({"loss": 0.5}, step=1)
    assert run.tracker.num_asked == 2


def test_at_the_end_what_waits_is_tried_without_waiting_for_the_minute(run: Run) -> None:
    run.tracker.is_offline = True
    run.log.log({"loss": 0.5}, step=1)
    run.tracker.is_offline = False
    run.log.flush()
    assert run.recorded() == {"loss": [(1, 0.5)]}


def test_a_tracker_that_is_away_is_reported_once(run: Run) -> None:
    run.tracker.is_offline = True
    for _ in range(3):
        run.log.log({"loss": 0.5}, step=1)
        run.clock.advance(minutes=2)
    (said,) = run.said
    assert said.startswith("figures of this training wait for MLflow; the training goes on: ")


def test_refused_figures_are_given_up_and_those_after_them_are_recorded(run: Run) -> None:
    run.tracker.refused = {"odd/name"}
    run.log.log({"odd/name": 1.0}, step=1)
    run.log.log({"loss": 0.5}, step=2)
    run.log.flush()
    assert run.recorded() == {"loss": [(2, 0.5)]}
    assert run.tracker.num_asked == 2, "what was refused is not tried again"
    (said,) = run.said
    assert said.startswith("some figures of this training are not in MLflow")
