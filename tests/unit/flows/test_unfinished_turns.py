"""What becomes of a turn that was left unfinished when something else is asked for, or settings change."""

from __future__ import annotations

import pytest

from flows.reconcile import reconcile
from flows.retrain import run_turn
from maskloop.errors import BusyError, ConfigurationError, DataError, TrainingError
from maskloop.records import TrainingFailed, TrainingStarted
from maskloop.workspace import Workspace
from tests.fakes.loop_world import World


def leave_unfinished(world: World, error: Exception) -> None:
    world.model.error = error
    with pytest.raises(type(error)):
        run_turn(world.app(), starts_from="first-weights")
    world.model.error = None


def set_steps(world: World, steps: int) -> None:
    path = world.workspace.root / "maskloop.toml"
    text = path.read_text()
    assert "[training]\n" in text
    path.write_text(text.replace("[training]\n", f"[training]\nwarmup_steps = {steps}\n"))
    world.workspace = Workspace(path.parent)  # as the next command reads it


@pytest.mark.parametrize(("starts_from", "is_taught"), [("champion", False), ("first-weights", True)])
def test_another_kind_of_training_does_not_carry_an_unfinished_one_on(
    world: World, starts_from: str, is_taught: bool
) -> None:
    leave_unfinished(world, TrainingError("the loss is not finite"))
    with pytest.raises(BusyError, match="another kind of training") as refused:
        run_turn(world.app(), starts_from=starts_from, is_taught=is_taught)  # type: ignore[arg-type]
    assert "`maskloop train`" in refused.value.hint
    assert "`maskloop abandon cycle-1`" in refused.value.hint
    assert len(world.model.requests) == 1


def test_settings_that_cannot_be_cost_no_attempt_however_often_they_are_met(world: World) -> None:
    world.model.error = ConfigurationError("there are no such weights")
    for _ in range(5):
        with pytest.raises(ConfigurationError):
            run_turn(world.app(), starts_from="first-weights")
    assert world.last_cycle.closed is None
    assert world.last_cycle.waiting is not None
    assert world.last_cycle.waiting.way_out == "mend the settings and start it again"
    assert not world.of_kind(TrainingFailed)
    world.model.error = None
    reconcile(world.app())
    assert world.last_cycle.phase == "judged"


def test_with_the_same_settings_an_attempt_goes_on_in_its_run_and_with_others_in_another(
    world: World,
) -> None:
    leave_unfinished(world, TrainingError("the loss is not finite"))
    leave_unfinished(world, TrainingError("the loss is not finite"))
    set_steps(world, 3)
    cycle = run_turn(world.app(), starts_from="first-weights")
    first, again, changed = world.of_kind(TrainingStarted)
    assert first.run_id == again.run_id != changed.run_id
    assert cycle.candidate is not None
    assert cycle.candidate.run_id == changed.run_id
    runs = world.tracker.runs
    assert runs[first.run_id].params["training.warmup_steps"] != "3"
    assert runs[changed.run_id].params["training.warmup_steps"] == "3"
    assert runs[first.run_id].status == "failed"


def test_without_test_pictures_nothing_is_trained(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    version = world.app().data.current()
    assert version is not None
    without = {**version.by_split, "test": ()}
    monkeypatch.setattr(type(version), "by_split", property(lambda _version: without))
    with pytest.raises(DataError, match="no test pictures"):
        run_turn(world.app(), starts_from="first-weights")
    assert not world.model.requests
