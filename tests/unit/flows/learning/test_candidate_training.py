"""What a training tells while it runs, and what it saves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from evaluation.instances import ScoreThreshold
from flows.evidence.evaluate import evaluate_model
from flows.loop.turn import run_turn
from flows.workspace.figure_log import FigureLog
from flows.workspace.telling import SilentTeller
from maskloop.errors import MaskloopError, StorageError, UnavailableError
from tests.fakes.loop_world import World
from tests.fakes.model_ports import ColourPredictor
from tests.fakes.run_tracker import FakeRunTracker


@dataclass
class Listener(SilentTeller):
    """Remembers what is said."""

    sentences: list[str] = field(default_factory=list)

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


@pytest.mark.parametrize(("wait_percent", "is_told"), [(45.0, True), (3.0, False)])
def test_steps_that_wait_for_pictures_are_recorded_and_told(
    world: World, wait_percent: float, is_told: bool
) -> None:
    world.trainer.wait_percent = wait_percent
    listener = Listener()
    cycle = run_turn(replace(world.app(), teller=listener), starts_from="first-weights")
    assert cycle.candidate is not None
    assert world.tracker.runs[cycle.candidate.run_id].metrics["train/wait_percent"] == [(2, wait_percent)]
    told = [sentence for sentence in listener.sentences if "waiting for pictures" in sentence]
    assert bool(told) is is_told
    if is_told:
        assert f"{wait_percent:.0f} % of their time" in told[0]


def test_the_parts_of_the_training_loss_and_their_sum_are_recorded_and_no_rate_as_a_validation(
    world: World,
) -> None:
    cycle = run_turn(world.app(), starts_from="first-weights")
    assert cycle.candidate is not None
    metrics = world.tracker.runs[cycle.candidate.run_id].metrics
    assert metrics["train/loss/mask"] == [(2, 0.5)]
    assert metrics["train/loss/total"] == [(2, 0.5)]
    assert [step for step, _ in metrics["train/learning_rate"]] == [2]
    validation = {name for name in metrics if name.startswith("validation/")}
    assert validation == {"validation/mean_iou", "validation/loss/total"}


class RefusingTracker(FakeRunTracker):
    """Refuses figures, with one error after the other."""

    def __init__(self, errors: list[MaskloopError]) -> None:
        super().__init__()
        self.errors = errors

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], *, step: int) -> None:
        if self.errors:
            raise self.errors.pop(0)
        super().log_metrics(run_id, metrics, step=step)


def test_figures_that_the_tracker_refuses_end_no_training_and_are_told_once(world: World) -> None:
    world.tracker = RefusingTracker([StorageError("MLflow refused: a name")] * 3)
    listener = Listener()
    cycle = run_turn(replace(world.app(), teller=listener), starts_from="first-weights")
    assert cycle.candidate is not None
    assert len([said for said in listener.sentences if "MLflow refused" in said]) == 1


def test_figures_wait_for_a_tracker_that_does_not_answer_and_lose_none(world: World) -> None:
    world.tracker = RefusingTracker([UnavailableError("MLflow does not answer")])
    listener = Listener()
    cycle = run_turn(replace(world.app(), teller=listener), starts_from="first-weights")
    assert cycle.candidate is not None
    metrics = world.tracker.runs[cycle.candidate.run_id].metrics
    assert metrics["train/anchors/reach_iou_50"][0][0] == 0
    assert metrics["train/loss/total"] == [(2, 0.5)]
    assert len([said for said in listener.sentences if "does not answer" in said]) == 1


def test_a_tracker_that_does_not_answer_is_left_alone_for_a_while(world: World) -> None:
    world.tracker = RefusingTracker([UnavailableError("MLflow does not answer")] * 2)
    run_id = world.tracker.open_run("k", name="n", tags={})
    log = FigureLog(world.tracker, run_id, world.clock, lambda _said: None)
    log.log({"loss": 1.0}, step=1)
    log.log({"loss": 0.5}, step=2)
    assert len(world.tracker.errors) == 1
    world.clock.advance(seconds=61)
    log.log({"loss": 0.25}, step=3)
    assert world.tracker.errors == []
    log.flush()
    assert world.tracker.runs[run_id].metrics["loss"] == [(1, 1.0), (2, 0.5), (3, 0.25)]


def ask_for_thresholds(world: World, thresholds: dict[str, float]) -> None:
    """Let settings ask for thresholds of each class, and the calibration find these."""
    path = world.workspace.root / "maskloop.toml"
    path.write_text(path.read_text() + "\n[thresholds]\nper_class = true\nmin_instances = 3\n")
    world.trainer.thresholds = thresholds


def test_thresholds_calibrated_on_the_validation_pictures_are_saved_and_recorded(
    world: World,
) -> None:
    ask_for_thresholds(world, {"bolt": 0.7})
    listener, version = Listener(), world.app().data.current()
    cycle = run_turn(replace(world.app(), teller=listener), starts_from="first-weights")
    assert version is not None
    assert world.trainer.calibrated_on == [(version.by_split["val"], 3)]
    assert world.trainer.saved[0].class_score_thresholds == {"bolt": 0.7}
    assert cycle.candidate is not None
    assert cycle.candidate.threshold_sources == ("belt",)
    assert "thresholds of classes fitted on belt" in listener.sentences
    assert world.tracker.runs[cycle.candidate.run_id].metrics["validation/threshold/bolt"] == [(2, 0.7)]
    assert any("no own threshold for nut" in sentence for sentence in listener.sentences)


def test_without_being_asked_no_threshold_is_calibrated(world: World) -> None:
    run_turn(world.app(), starts_from="first-weights")
    assert world.trainer.saved[0].class_score_thresholds == {}


def test_a_model_is_measured_at_its_own_thresholds(world: World) -> None:
    version = world.app().data.current()
    assert version is not None

    def measure(score_threshold: ScoreThreshold) -> list[float]:
        measured = evaluate_model(
            ColourPredictor(1.0, score_threshold=score_threshold),
            version,
            version.by_split["test"],
            score_threshold=0.5,
            max_detections=10,
            max_mpx=1.0,
            progress=lambda *_: None,
        )
        of_classes: list[float] = measured.evaluation.iou.class_iou().tolist()
        return of_classes

    assert measure(0.5) == [1.0, 1.0]
    assert measure((0.95, 0.5)) == [0.0, 1.0]  # red is found with 0.9
