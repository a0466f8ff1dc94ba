"""`maskloop status` is true at any moment, and ends with what to do next."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from flows.command.main import cli
from flows.deciding.decisions import decide_by_hand
from flows.intake.batch_intake import record_missing_versions
from flows.loop.cycles import record_trigger
from flows.loop.reconcile import reconcile
from flows.loop.rejudge import judge_again
from flows.loop.turn import run_turn
from flows.pages.loop_report import write_report
from flows.pages.status import describe_status
from flows.planning.due import find_due
from flows.planning.plan import LoopFacts
from flows.workspace.running import WORK_LEASE, WorkNote
from maskloop.errors import TrainingError
from maskloop.records.record import StartsFrom
from tests.fakes.crashing import Killed
from tests.fakes.loop_stories import first_champion, judged, set_floor
from tests.fakes.loop_world import World


def text_of(world: World) -> str:
    return describe_status(world.app()).to_text()


def commands_of(world: World) -> list[str]:
    return [one.command.partition(" -w ")[0] for one in describe_status(world.app()).due]


def test_an_empty_workspace_says_what_to_do_first_and_then_next(tmp_path: Path) -> None:
    empty = World(tmp_path / "empty")
    assert commands_of(empty) == ["maskloop ingest LABELS"]
    empty.label(range(12))
    record_missing_versions(empty.ledger, empty.state, empty.data)
    assert commands_of(empty) == ["maskloop train"]


def test_commands_name_the_workspace_unless_it_is_the_present_folder(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_missing_versions(world.ledger, world.state, world.data)
    (due,) = describe_status(world.app()).due
    words = shlex.split(due.command)
    assert words[:3] == ["maskloop", "train", "-w"]
    assert Path(words[3]).resolve() == world.workspace.root
    monkeypatch.chdir(world.workspace.root)
    assert describe_status(world.app()).due[0].command == "maskloop train"


def test_a_training_that_runs_shows_its_step_its_time_and_its_process(world: World) -> None:
    world.trainer.error = Killed()
    with pytest.raises(Killed):
        run_turn(world.app(), starts_from="first-weights")
    assert world.ledger.take_lease(WORK_LEASE, ttl_s=120)  # a process that was killed frees none
    world.clock.advance(seconds=121)
    died = describe_status(world.app())
    assert died.running is None
    assert "died:     cycle-1: training, step 2 of 2" in died.to_text()
    assert commands_of(world) == ["maskloop reconcile"]
    assert world.ledger.take_lease(WORK_LEASE, ttl_s=60)
    note = WorkNote(world.workspace, "cycle-1")
    note.write("training", 100, 400)
    note._noted_at -= 2
    note.write("training", 120, 400)
    text = text_of(world)
    assert "running:  cycle-1: training, step 120 of 400, about" in text
    assert "(process " in text
    assert "died:" not in text
    assert "nothing is due, the work goes on" in text


def test_a_cycle_that_failed_is_shown_until_another_training_takes_it_up(world: World) -> None:
    world.trainer.error = TrainingError("the loss is not finite")
    with pytest.raises(TrainingError):
        run_turn(world.app(), starts_from="first-weights")
    assert "tried once, last: the loss is not finite" in text_of(world)
    for _ in range(3):
        reconcile(world.app())
    text = text_of(world)
    assert (
        "failed:   cycle-1 at 2026-03-02 09:00 UTC (rita asked for it): 3 attempts without progress" in text
    )
    assert commands_of(world) == ["maskloop train"]
    assert "rejected:" not in text
    world.trainer.error = None
    run_turn(world.app(), starts_from="first-weights")
    assert "failed:" not in text_of(world)


def test_what_failed_is_taken_up_by_a_training_of_its_own_kind(world: World) -> None:
    first_champion(world)
    world.trainer.error = TrainingError("the loss is not finite")
    trainings: tuple[tuple[StartsFrom, bool, str], ...] = (
        ("first-weights", False, "maskloop train"),
        ("champion", False, "maskloop retrain"),
        ("first-weights", True, "maskloop distil"),
    )
    for starts_from, is_taught, command in trainings:
        with pytest.raises(TrainingError):
            run_turn(world.app(), starts_from=starts_from, is_taught=is_taught)
        for _ in range(3):
            reconcile(world.app())
        assert commands_of(world) == [command]


def test_a_version_that_the_gates_failed_is_shown_with_its_reason_its_page_and_the_way_out(
    world: World,
) -> None:
    set_floor(world, 0.99)
    run_turn(world.app(), starts_from="first-weights")
    found = describe_status(world.app())
    assert "rejected: version 1, cycle-1 at 2026-03-02 09:00 UTC (rita asked for it): " in found.to_text()
    assert "change it and run `maskloop judge 1`" in found.to_text()
    assert found.to_json()["rejected"]["version"] == "1"
    assert "evidence on version 1" in found.pages
    set_floor(world, 0.5)
    judge_again(world.app(), "1")
    assert "rejected:" not in text_of(world)


def test_labels_that_have_just_come_count_at_once_and_not_only_after_the_next_reconcile(world: World) -> None:
    first_champion(world)
    record_trigger(world.app().journal, "drift:1", "drift", "a new camera")
    reconcile(world.app())
    assert "3 more labelled pictures" in text_of(world)
    world.label(range(12, 14))
    record_missing_versions(world.ledger, world.state, world.data)  # as an ingest does
    assert "1 more labelled picture from after the drift is needed" in text_of(world)
    world.label(range(14, 24))
    record_missing_versions(world.ledger, world.state, world.data)
    text = text_of(world)
    assert "more labelled" not in text
    assert "cycle-2: starts its training" in text
    assert commands_of(world) == ["maskloop reconcile"]


def test_pages_that_are_there_are_named_and_no_others(world: World) -> None:
    version = judged(world)
    world.workspace.loop_page.unlink()
    pages = describe_status(world.app()).pages
    assert list(pages) == [f"evidence on version {version}"]
    write_report(world.app(), None)
    found = describe_status(world.app())
    assert list(found.pages) == [f"evidence on version {version}", "the loop"]
    for path in found.pages.values():
        assert path.exists()
        assert str(path) in found.to_text()
    assert commands_of(world) == [f"maskloop approve {version} --by NAME"]


def test_after_a_decision_the_promotion_is_due_and_after_it_nothing(world: World) -> None:
    decide_by_hand(world.app(), judged(world), "approved", by="otto", why="fine")
    assert commands_of(world) == ["maskloop reconcile"]
    reconcile(world.app())
    assert commands_of(world) == []
    assert "next:     nothing is due" in text_of(world)


def test_times_have_their_year_and_zone(world: World) -> None:
    judged(world)
    assert text_of(world).count("2026-03-02 09:00 UTC") >= 2
    assert "since 03-02" not in text_of(world)


def test_status_changes_nothing(world: World) -> None:
    judged(world)
    before = world.state, dict(world.ledger._leases)
    describe_status(world.app())
    assert (world.state, world.ledger._leases) == before


def test_every_command_that_can_be_due_exists(world: World, tmp_path: Path) -> None:
    seen = {one.split()[1] for one in commands_of(World(tmp_path / "empty"))}
    record_missing_versions(world.ledger, world.state, world.data)
    seen |= {one.split()[1] for one in commands_of(world)}
    judged(world)
    seen |= {one.split()[1] for one in commands_of(world)}
    state, facts = world.state, LoopFacts(now=world.clock.now())
    seen |= {one.command.split()[1] for one in find_due(state, facts, world.workspace.settings)}
    assert seen >= {"ingest", "train", "approve"}
    assert seen <= set(cli.commands)
