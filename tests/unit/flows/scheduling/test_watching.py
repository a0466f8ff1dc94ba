"""The process that stays: it does what is due, shows what it did and that it lives, and survives trouble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from flows.loop.cycles import record_trigger
from flows.loop.turn import run_turn
from flows.scheduling.watching import Watch
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.errors import ConfigurationError, MaskloopError, UnavailableError
from maskloop.records.kinds import ChampionChanged
from maskloop.workspace import Workspace
from tests.fakes.loop_world import World

QUARTER_OF_AN_HOUR_S = 900.0


@dataclass
class Board:
    """Where looks are shown."""

    shown: list[tuple[list[str], str]] = field(default_factory=list)
    error: MaskloopError | None = None

    def publish(self, workspace: Workspace, sentences: Sequence[str], trouble: MaskloopError | None) -> None:
        assert workspace.settings
        if self.error:
            raise self.error
        self.shown.append(([*sentences], str(trouble or "")))


@dataclass
class Scene:
    world: World
    board: Board = field(default_factory=Board)
    time_s: float = 0.0
    opened: int = 0
    started: list[str] = field(default_factory=list)
    broken: MaskloopError | None = None

    def watch(self) -> Watch:
        def open_workspace(_root: Path, teller: Teller) -> App:
            self.opened += 1
            if self.broken:
                raise self.broken
            return replace(self.world.app(), teller=teller)

        return Watch(
            self.world.workspace.root,
            publish=self.board.publish,
            open_workspace=open_workspace,
            start_work=lambda cycle: self.started.append(cycle),
            now_s=lambda: self.time_s,
        )


@pytest.fixture
def scene(world: World) -> Scene:
    return Scene(world)


def test_an_approval_is_carried_out_by_the_next_look_and_shown(scene: Scene) -> None:
    run_turn(scene.world.app(), starts_from="first-weights")
    watch = scene.watch()
    watch.look()
    scene.world.tag_version("1", "approved")
    assert watch.look()
    assert scene.world.alias("champion") == "1"
    assert len(scene.world.of_kind(ChampionChanged)) == 1
    said, trouble = scene.board.shown[-1]
    assert not {*said} & {*scene.board.shown[0][0]}, "nothing of an earlier look is said again"
    assert any("version 1" in sentence and "serves" in sentence for sentence in said)
    assert trouble == ""


def test_a_trigger_starts_a_training_and_the_look_does_not_wait_for_it(scene: Scene) -> None:
    record_trigger(scene.world.app().journal, "schedule:1", "schedule", "a test")
    scene.watch().look()
    assert scene.started == ["cycle-1"]


def test_looks_that_find_nothing_leave_one_sign_of_life_in_a_quarter_of_an_hour(scene: Scene) -> None:
    watch = scene.watch()
    assert watch.look(), "the data version that the fixture made"
    for scene.time_s in range(15, int(2 * QUARTER_OF_AN_HOUR_S) + 1, 15):
        assert watch.look() == []
    assert scene.board.shown[1:] == [(["nothing is due"], "")] * 2
    assert scene.opened == 1, "the workspace is not opened anew for each look"


def test_an_error_is_shown_once_and_due_work_is_done_after_it_has_passed(scene: Scene) -> None:
    run_turn(scene.world.app(), starts_from="first-weights")
    watch = scene.watch()
    watch.look()
    scene.world.tag_version("1", "approved")
    scene.world.models.is_offline = True
    for scene.time_s in (15.0, 30.0, 45.0):
        assert watch.look() == []
    assert len(scene.board.shown) == 2
    assert "does not answer" in scene.board.shown[-1][1]
    scene.world.models.is_offline = False
    assert watch.look()
    assert scene.world.alias("champion") == "1"


def test_settings_broken_by_an_edit_are_trouble_that_is_shown(scene: Scene) -> None:
    watch = scene.watch()
    watch.look()
    scene.broken = ConfigurationError("[training] steps is no number")
    scene.world.workspace.settings_file.write_text("steps = [")
    watch.look()
    assert scene.board.shown[-1] == ([], str(scene.broken))


def test_an_unreachable_prefect_server_does_not_stop_a_look(scene: Scene) -> None:
    run_turn(scene.world.app(), starts_from="first-weights")
    scene.world.tag_version("1", "approved")
    scene.board.error = UnavailableError("Prefect does not answer")
    assert scene.watch().look()
    assert scene.world.alias("champion") == "1"


def test_a_reconcile_by_another_process_is_no_error(scene: Scene) -> None:
    assert scene.world.ledger.take_lease("reconcile", ttl_s=60) is not None
    assert scene.watch().look() == []
    assert scene.board.shown == []


def test_edited_settings_count_from_the_next_look_on(scene: Scene) -> None:
    watch = scene.watch()
    watch.look()
    settings = scene.world.workspace.settings_file
    settings.write_text(settings.read_text() + "# edited\n")
    watch.look()
    watch.look()
    assert scene.opened == 2
