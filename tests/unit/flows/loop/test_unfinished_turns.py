"""What becomes of a turn that was left unfinished when something else is asked for, or settings change."""

from __future__ import annotations

import pytest

from flows.learning.request import digest_settings
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from maskloop.digest import digest_value
from maskloop.errors import BusyError, ConfigurationError, DataError, TrainingError, UnavailableError
from maskloop.records.kinds import TrainingFailed, TrainingStarted
from maskloop.settings.workspace_settings import Settings
from maskloop.workspace import Workspace
from tests.fakes.loop_world import World


def leave_unfinished(world: World, error: Exception) -> None:
    world.trainer.error = error
    with pytest.raises(type(error)):
        run_turn(world.app(), starts_from="first-weights")
    world.trainer.error = None


def set_steps(world: World, steps: int) -> None:
    edit_settings(world, "[training]\n", f"[training]\nwarmup_steps = {steps}\n")


def edit_settings(world: World, old: str, new: str) -> None:
    path = world.workspace.settings_file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
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
    assert len(world.trainer.requests) == 1


def test_invalid_settings_cost_no_attempt_however_often_they_are_met(world: World) -> None:
    world.trainer.error = ConfigurationError("there are no such weights")
    for _ in range(5):
        with pytest.raises(ConfigurationError):
            run_turn(world.app(), starts_from="first-weights")
    assert world.last_cycle.closed is None
    assert world.last_cycle.waiting is not None
    assert world.last_cycle.waiting.way_out == "mend the settings and start it again"
    assert not world.of_kind(TrainingFailed)
    world.trainer.error = None
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


@pytest.mark.parametrize(
    ("new", "name", "saved"),
    [
        ("[thresholds]\nper_class = true\n\n[gates]\n", "class_score_thresholds", {"nut": 0.7}),
        ("[gates]\nscore_threshold = 0.4\n", "score_threshold", 0.4),
    ],
)
def test_a_model_saved_but_not_registered_is_not_taken_for_one_with_other_thresholds(
    world: World, monkeypatch: pytest.MonkeyPatch, new: str, name: str, saved: object
) -> None:
    world.trainer.thresholds = {"nut": 0.7}
    with monkeypatch.context() as dying:
        dying.setattr(type(world.models), "register", _die)
        with pytest.raises(UnavailableError):
            run_turn(world.app(), starts_from="first-weights")
    assert len(world.trainer.saved) == 1
    edit_settings(world, "[gates]\n", new)
    assert run_turn(world.app(), starts_from="first-weights").phase == "judged"
    assert getattr(world.trainer.saved[-1], name) == saved
    first, second = world.of_kind(TrainingStarted)
    assert first.settings_digest != second.settings_digest


def test_thresholds_at_their_defaults_leave_earlier_digests_as_they_are() -> None:
    settings = Settings()
    shaping = {part: getattr(settings, part).model_dump(mode="json") for part in ("model", "training")}
    assert digest_settings(settings) == digest_value(shaping)


def _die(*_args: object, **_more: object) -> None:
    raise UnavailableError("MLflow does not answer")


def test_without_test_pictures_nothing_is_trained(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    version = world.app().data.current()
    assert version is not None
    without = {**version.by_split, "test": ()}
    monkeypatch.setattr(type(version), "by_split", property(lambda _version: without))
    with pytest.raises(DataError, match="no test pictures"):
        run_turn(world.app(), starts_from="first-weights")
    assert not world.trainer.requests
