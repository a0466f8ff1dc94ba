"""Where a training run stands, after steps, evaluations and a checkpoint."""

import math
import random

import pytest
import torch

from maskloop.errors import StoppedError
from models.training.checkpoint import load_checkpoint
from models.training.run_state import RunState
from models.training.training_loop import train
from models.validation.judging import BestSoFar, Measured, Snapshot


def weights_of(value):
    return {"weight": torch.tensor([value])}


def stepped(state, *losses):
    for loss in losses:
        state = state.after_step(loss, seconds=0.5)
    return state


def evaluated(state, iou, value=0.0):
    state = state.after_hand_in(weights_of(value), learning_rate=0.1, seconds=0.25)
    return state.after_verdict(Measured({"a": iou}, {"loss_mask": 0.5}), seconds=0.25)


@pytest.fixture
def make_request(shapes, tmp_path):
    def make(*, steps=10, num_val=4, **training):
        settings = shapes.tiny_settings(**training)
        dataset = shapes.make_dataset(num_val=num_val)
        return shapes.make_request(tmp_path, settings, steps=steps, dataset=dataset)

    return make


# --- transitions --------------------------------------------------------------------------------------


def test_a_step_is_counted_with_its_loss_and_its_seconds_and_leaves_the_state_before_as_it_was():
    before = stepped(RunState(), 4.0)
    after = stepped(before, 2.0)
    assert (before.step, before.losses, before.seconds) == (1, (4.0,), 0.5)
    assert (after.step, after.losses, after.seconds) == (2, (4.0, 2.0), 1.0)


def test_a_snapshot_has_the_mean_loss_of_the_steps_since_the_one_before():
    state = evaluated(stepped(RunState(), 4.0, 2.0), 0.5)
    assert (state.losses, state.judging) == ((), None)
    state = stepped(state, 1.0, 2.0, 6.0).after_hand_in(weights_of(1.0), learning_rate=0.01, seconds=0.25)
    assert state.judging == Snapshot(5, state.judging.weights, loss=3.0, learning_rate=0.01)
    assert [each["training_loss"] for each in state.so_far.history] == [3.0]


def test_a_verdict_belongs_to_the_step_that_was_handed_in_and_not_to_the_present_one():
    state = stepped(RunState(), 4.0).after_hand_in(weights_of(7.0), learning_rate=0.1, seconds=0.0)
    state = stepped(state, 2.0, 2.0).after_verdict(Measured({"a": 0.5}, {}), seconds=2.0)
    assert (state.step, state.so_far.best_step) == (3, 1)
    assert state.so_far.best is not None
    assert state.so_far.best["weight"].tolist() == [7.0]
    assert (state.losses, state.seconds) == ((2.0, 2.0), 3.5)


def test_a_verdict_on_nothing_changes_nothing():
    state = stepped(RunState(), 4.0)
    assert state.after_verdict(Measured({"a": 0.5}, {}), seconds=1.0) is state


# --- what is due --------------------------------------------------------------------------------------


def test_evaluations_and_checkpoints_are_due_at_their_intervals_and_at_the_last_step(make_request):
    request = make_request(steps=5, evaluate_every_steps=2, checkpoint_every_steps=3)
    states = [RunState(step=step) for step in range(1, 6)]
    assert [each.step for each in states if each.is_evaluation_due(request)] == [2, 4, 5]
    assert [each.step for each in states if each.is_checkpoint_due(request)] == [3, 5]
    assert [each.step for each in states if each.is_finished(request)] == [5]


def test_without_validation_pictures_no_evaluation_is_due(make_request):
    request = make_request(steps=2, num_val=0, evaluate_every_steps=1)
    assert not any(RunState(step=step).is_evaluation_due(request) for step in (1, 2))


def test_a_run_ends_early_after_so_many_evaluations_without_better_and_saves_that(make_request):
    request = make_request(steps=50, early_stopping_evaluations=2, checkpoint_every_steps=40)
    state = RunState()
    ended = []
    for iou in (0.5, 0.25, 0.5):
        state = evaluated(stepped(state, 1.0), iou)
        ended.append((state.is_out_of_patience(request), state.is_checkpoint_due(request)))
    assert ended == [(False, False), (False, False), (True, True)]
    patient = make_request(steps=50, early_stopping_evaluations=0)
    assert not state.is_finished(patient)


# --- checkpoints --------------------------------------------------------------------------------------


def plain(value):
    """Return a value without identities, so that two of them can be compared."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("seed", range(20))
def test_a_state_comes_back_from_its_checkpoint_whatever_happened_before(tmp_path, seed):
    draw = random.Random(seed)
    state = RunState()
    for _ in range(draw.randrange(12)):
        state = stepped(state, draw.random())
        if draw.random() < 0.5:
            state = evaluated(state, draw.random(), draw.random())
    if state.losses and draw.random() < 0.5:
        state = state.after_hand_in(weights_of(draw.random()), learning_rate=0.1, seconds=0.0)
    torch.save(state.to_checkpoint(), tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    back = RunState.from_checkpoint(saved)
    assert plain(back.to_checkpoint()) == plain(state.to_checkpoint())
    assert type(back.losses) is type(back.so_far.history) is tuple


def test_a_state_that_an_earlier_version_saved_is_read():
    """After seven steps and two evaluations, beside the weights of the network."""
    history = ({"step": 3.0, "mean_iou": 0.5}, {"step": 6.0})
    best, judged = weights_of(3.0), weights_of(6.0)
    saved = {
        "step": 7,
        "seconds": 3.5,
        "losses": [2.25],
        "standing": {
            "best": best,
            "best_step": 3,
            "best_iou": 0.5,
            "evaluations_without_better": 1,
            "history": history,
        },
        "judging": {"step": 6, "weights": judged, "loss": 2.5, "learning_rate": 0.01},
    }
    state = RunState.from_checkpoint({**saved, "request": "r", "model": {}, "optimizer": {}, "average": None})
    assert (state.step, state.seconds, state.losses) == (7, 3.5, (2.25,))
    assert state.so_far == BestSoFar(best, 3, 0.5, 1, history)
    assert state.judging == Snapshot(6, judged, 2.5, 0.01)
    assert RunState.from_checkpoint({**saved, "judging": None}).judging is None
    assert plain(state.to_checkpoint()) == plain(saved)


def test_nothing_was_judged_yet_in_the_first_checkpoint():
    state = RunState.from_checkpoint(stepped(RunState(), 1.0).to_checkpoint())
    assert (state.so_far.best, state.so_far.best_iou) == (None, -math.inf)


def test_a_checkpoint_has_the_layout_of_earlier_versions(shapes, tmp_path):
    request = shapes.make_request(tmp_path, shapes.settings_beside())
    with pytest.raises(StoppedError):
        train(request, load_picture=shapes.load_picture, should_stop=lambda: True)
    first = load_checkpoint(tmp_path)
    steps = []
    with pytest.raises(StoppedError):
        train(
            request,
            load_picture=shapes.load_picture,
            on_step=lambda step, *_: steps.append(step),
            should_stop=lambda: steps[-1] == 4,
        )
    later = load_checkpoint(tmp_path)
    assert first is not None
    assert later is not None
    plain_keys = {"request": str, "step": int, "seconds": float, "losses": list, "standing": dict}
    for saved in (first, later):
        assert {name: type(saved[name]) for name in plain_keys} == plain_keys
        assert saved.keys() == plain_keys.keys() | {"model", "optimizer", "average", "judging"}
        assert [*saved["standing"]] == [
            "best", "best_step", "best_iou", "evaluations_without_better", "history",
        ]  # fmt: skip
    assert first["judging"] is None
    assert [*later["judging"]] == ["step", "weights", "loss", "learning_rate"]
    assert (later["judging"]["step"], steps[0]) == (3, 2)
