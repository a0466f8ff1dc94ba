"""Weights are judged between the steps or beside them: the same verdicts, heard at certain steps."""

import itertools
import math
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from maskloop.errors import IntegrityError, StoppedError, TrainingError
from models.artifacts.manifest import ArtifactFacts
from models.artifacts.model_folder import save_artifact
from models.loading.request import identify
from models.training.checkpoint import load_checkpoint
from models.training.training_loop import train
from models.validation.judging import BestSoFar, Examiner, Measured, Snapshot

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("_no_judge_is_left")
VAL_PICTURES = {f"{1000 + index}" for index in range(4)}


def run(shapes, folder, *, changes=None, **training):
    request = shapes.make_request(folder, shapes.settings_beside(**training), **(changes or {}))
    return train(request, load_picture=shapes.load_picture)


def same_weights(one, other):
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def between(shapes, tmp_path_factory):
    return run(shapes, tmp_path_factory.mktemp("between"), evaluate_beside=False)


@pytest.fixture(scope="module")
def beside(shapes, tmp_path_factory):
    return run(shapes, tmp_path_factory.mktemp("beside"))


# --- what a run makes of verdicts -------------------------------------------------------------------


def saved_judging(folder):
    saved = load_checkpoint(folder)
    assert saved is not None
    return saved["judging"]


def snapshot_of(step, value=0.0):
    return Snapshot(step, {"weight": torch.tensor([value])}, loss=0.5, learning_rate=0.1)


def test_the_first_of_the_best_weights_are_kept_and_evaluations_without_better_are_counted():
    standing = BestSoFar()
    for step, iou in [(1, 0.25), (2, 0.5), (3, 0.5), (4, 0.25)]:
        standing = standing.after(
            snapshot_of(step, float(step)), Measured({"a": iou, "b": iou + 0.5}, {"loss_mask": 0.25})
        )
    assert (standing.best_step, standing.best_iou, standing.evaluations_without_better) == (2, 0.75, 2)
    assert standing.best is not None
    assert standing.best["weight"].tolist() == [2.0]
    assert [each["mean_iou"] for each in standing.history] == [0.5, 0.75, 0.75, 0.5]
    assert standing.history[0] == {
        "step": 1.0, "training_loss": 0.5, "learning_rate": 0.1, "loss/total": 0.25, "loss/mask": 0.25,
        "iou/a": 0.25, "iou/b": 0.75, "mean_iou": 0.5,
    }  # fmt: skip


def test_a_verdict_without_any_instance_is_not_better():
    standing = BestSoFar().after(snapshot_of(1), Measured({}, {}))
    assert (standing.best, standing.best_iou, standing.evaluations_without_better) == (None, -math.inf, 1)
    assert "mean_iou" not in standing.history[0]


def test_the_best_weights_stay_when_those_that_were_judged_go_on_learning():
    judged = snapshot_of(1, 1.0)
    standing = BestSoFar().after(judged, Measured({"a": 0.5}, {}))
    judged.weights["weight"].fill_(7.0)
    assert standing.best is not None
    assert standing.best["weight"].tolist() == [1.0]


# --- the same verdicts ------------------------------------------------------------------------------


def test_both_ways_measure_the_same_at_the_same_steps_and_keep_the_same_weights(between, beside):
    assert [each["step"] for each in beside.history] == [3.0, 6.0, 9.0, 10.0]
    assert beside.history == between.history
    assert beside.best_step == between.best_step
    assert same_weights(beside, between)
    assert len({each["mean_iou"] for each in beside.history}) > 1


def test_a_verdict_is_heard_when_the_next_evaluation_is_due_and_in_the_runs_own_thread(shapes, tmp_path):
    heard: list[tuple[int, int]] = []
    done: list[int] = []

    def hear(step, metrics):
        assert threading.current_thread() is threading.main_thread()
        assert metrics["step"] == step
        heard.append((step, done[-1]))

    def hear_all(folder, *, is_beside):
        heard.clear()
        request = shapes.make_request(folder, shapes.settings_beside(evaluate_beside=is_beside))
        train(
            request,
            load_picture=shapes.load_picture,
            on_step=lambda step, *_: done.append(step),
            on_evaluation=hear,
        )
        return [*heard]

    assert hear_all(tmp_path / "beside", is_beside=True) == [(3, 6), (6, 9), (9, 10), (10, 10)]
    assert hear_all(tmp_path / "between", is_beside=False) == [(3, 3), (6, 6), (9, 9), (10, 10)]


def test_the_steps_go_on_while_a_thread_evaluates(shapes, tmp_path):
    """Validation pictures come only once the next step is done: between the steps this would never end."""
    step_done = threading.Event()
    seen_from = set()

    def load(path):
        if path.stem in VAL_PICTURES:
            assert step_done.wait(timeout=60)
            seen_from.add(threading.current_thread().name)
        return shapes.load_picture(path)

    request = shapes.make_request(tmp_path, shapes.settings_beside(picture_cache_mb=0), steps=6)
    train(
        request,
        load_picture=load,
        on_step=lambda step, *_: step_done.set() if step == 4 else None,
    )
    assert seen_from == {"judge_0"}


def test_both_ways_compute_with_as_many_threads(shapes, tmp_path):
    """The number of threads would change the rounding."""
    counts = []

    def load(path):
        if path.stem in VAL_PICTURES:
            counts.append(torch.get_num_threads())
        return shapes.load_picture(path)

    torch.set_num_threads(2)
    request = shapes.make_request(tmp_path, shapes.settings_beside(picture_cache_mb=0), steps=3)
    train(request, load_picture=load)
    torch.set_num_threads(1)
    assert counts == [1] * 2 * len(VAL_PICTURES)  # for the IoU, and for the loss


# --- killed and continued ---------------------------------------------------------------------------


@pytest.mark.parametrize("stop_at", [3, 4, 6, 8, 9])
def test_a_run_stopped_at_any_step_judges_again_and_ends_bitwise_as_one_that_was_not(
    shapes, beside, tmp_path, stop_at
):
    request = shapes.make_request(tmp_path, shapes.settings_beside())
    asked = itertools.count(1)
    with pytest.raises(StoppedError, match=f"step {stop_at} of 10"):
        train(request, load_picture=shapes.load_picture, should_stop=lambda: next(asked) >= stop_at)
    judging = saved_judging(tmp_path)
    assert judging["step"] == stop_at // 3 * 3
    resumed = train(request, load_picture=shapes.load_picture)
    assert resumed.history == beside.history
    assert resumed.best_step == beside.best_step
    assert same_weights(resumed, beside)


def test_a_run_killed_with_an_evaluation_under_way_ends_bitwise_as_one_that_was_not(shapes, tmp_path):
    whole = train(beside_request(shapes, tmp_path / "whole"), load_picture=shapes.load_picture)
    command = [sys.executable, shapes.__file__, str(tmp_path / "killed"), "--die-at", "7", "--beside"]
    killed = subprocess.run(command, cwd=Path(__file__).parents[4], timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert saved_judging(tmp_path / "killed")["step"] == 4
    resumed = train(beside_request(shapes, tmp_path / "killed"), load_picture=shapes.load_picture)
    assert resumed.history == whole.history
    assert same_weights(resumed, whole)


def beside_request(shapes, folder):
    """The request of ``shapes.py --beside``: evaluated at steps 4, 8 and 10."""
    return shapes.make_request(folder, shapes.tiny_settings(ema_decay=0.5, evaluate_beside=True))


def test_a_finished_run_has_nothing_left_to_judge_and_is_not_continued(shapes, tmp_path):
    first = run(shapes, tmp_path)
    assert saved_judging(tmp_path) is None
    request = shapes.make_request(tmp_path, shapes.settings_beside())
    again = train(request, load_picture=shapes.load_picture, on_step=_never)
    assert (again.history, again.best_step) == (first.history, first.best_step)


def _never(*_):
    raise AssertionError("a step was taken")


def test_when_a_run_hears_its_verdicts_is_part_of_the_request(shapes, tmp_path):
    requests = [
        shapes.make_request(tmp_path, shapes.settings_beside(evaluate_beside=beside))
        for beside in (False, True)
    ]
    assert len({identify(each) for each in requests}) == 2


# --- stopping early ---------------------------------------------------------------------------------


def test_stopping_early_comes_exactly_one_interval_later(shapes, tmp_path):
    def stop(folder, *, beside):
        settings = shapes.tiny_settings(
            early_stopping_evaluations=2, evaluate_every_steps=2, evaluate_beside=beside
        )
        request = shapes.make_request(tmp_path / folder, settings, steps=50, learning_rate=1e-9)
        result = train(request, load_picture=shapes.load_picture)
        again = train(request, load_picture=shapes.load_picture, on_step=_never)
        assert again.steps_done == result.steps_done
        return result

    early, later = stop("between", beside=False), stop("beside", beside=True)
    assert (early.steps_done, later.steps_done) == (6, 8)
    assert (early.best_step, later.best_step) == (2, 2)
    assert later.history == early.history
    assert same_weights(early, later)


def test_patience_that_ends_at_the_last_step_leaves_the_last_weights_unjudged_in_both_ways(shapes, tmp_path):
    def stop(folder, *, beside):
        settings = shapes.tiny_settings(
            early_stopping_evaluations=1, evaluate_every_steps=1, evaluate_beside=beside
        )
        request = shapes.make_request(tmp_path / folder, settings, steps=3, learning_rate=1e-9)
        return train(request, load_picture=shapes.load_picture)

    early, later = stop("between", beside=False), stop("beside", beside=True)
    assert (early.steps_done, later.steps_done) == (2, 3)
    assert later.history == early.history


# --- what goes wrong --------------------------------------------------------------------------------


def test_an_error_of_the_evaluation_ends_the_run_with_that_error_at_the_step_that_hears_it(
    shapes, tmp_path, monkeypatch
):
    def fail(*_args, **_named):
        raise IntegrityError("the model computes numbers that are not finite")

    monkeypatch.setattr("models.validation.judging.measure_class_iou", fail)
    steps = []
    request = shapes.make_request(tmp_path, shapes.settings_beside())
    with pytest.raises(IntegrityError, match="not finite"):
        train(request, load_picture=shapes.load_picture, on_step=lambda step, *_: steps.append(step))
    assert steps[-1] == 6
    assert shapes.judges_alive() == []


def test_a_run_that_fails_does_not_wait_for_the_rest_of_an_evaluation(shapes, tmp_path, monkeypatch):
    """The thread hangs in the first validation picture until it is given up, and asks for no more."""
    is_loading, is_over, loaded = threading.Event(), threading.Event(), []
    give_up = Examiner.give_up

    def give_up_and_tell(self):
        give_up(self)
        is_over.set()

    monkeypatch.setattr(Examiner, "give_up", give_up_and_tell)

    def load(path):
        if path.stem in VAL_PICTURES:
            loaded.append(path.stem)
            is_loading.set()
            assert is_over.wait(timeout=60)
        return shapes.load_picture(path)

    def fail(step, *_):
        if step == 5:
            assert is_loading.wait(timeout=60)
            raise TrainingError("the loss is not finite")

    request = shapes.make_request(tmp_path, shapes.settings_beside(picture_cache_mb=0))
    with pytest.raises(TrainingError, match="not finite"):
        train(request, load_picture=load, on_step=fail)
    assert shapes.judges_alive() == []
    assert len(loaded) == 1


def test_an_interrupted_run_leaves_no_thread(shapes, tmp_path):
    def interrupt(step, *_):
        if step == 4:
            raise KeyboardInterrupt

    request = shapes.make_request(tmp_path, shapes.settings_beside())
    with pytest.raises(KeyboardInterrupt):
        train(request, load_picture=shapes.load_picture, on_step=interrupt)
    assert shapes.judges_alive() == []


# --- with everything else ---------------------------------------------------------------------------


def test_it_works_with_a_teacher_and_without_an_average(shapes, artifact, tmp_path):
    folder, manifest = artifact
    taught = {"teacher_artifact": folder, "teacher_digest": manifest.weights_digest}
    one = run(shapes, tmp_path / "beside", changes=taught, ema_decay=0.0)
    other = run(shapes, tmp_path / "between", changes=taught, ema_decay=0.0, evaluate_beside=False)
    assert one.history == other.history
    assert same_weights(one, other)


def test_it_works_with_a_compiled_network(shapes, beside, tmp_path, monkeypatch):
    monkeypatch.setattr("models.training.run._COMPILER", "eager")
    torch._dynamo.reset()
    compiled = run(shapes, tmp_path, compile=True)
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0
    assert compiled.history == beside.history
    assert same_weights(compiled, beside)


def test_threads_that_make_batches_and_one_that_judges_get_along(shapes, beside, tmp_path):
    assert same_weights(run(shapes, tmp_path, num_workers=2), beside)


def test_a_warm_start_is_judged_as_any_other(shapes, tiny_model, tmp_path):
    settings = shapes.settings_beside()
    save_artifact(
        tmp_path / "parent",
        tiny_model,
        ArtifactFacts(class_names=shapes.CLASS_NAMES, settings=settings.model, score_threshold=0.5),
    )
    again = {"parent_artifact": tmp_path / "parent"}
    one = run(shapes, tmp_path / "beside", changes=again)
    other = run(shapes, tmp_path / "between", changes=again, evaluate_beside=False)
    assert one.history == other.history


def test_without_validation_pictures_nothing_is_judged(shapes, tmp_path):
    result = run(shapes, tmp_path, changes={"dataset": shapes.make_dataset(num_val=0)})
    assert (result.best_step, result.history) == (10, ())
