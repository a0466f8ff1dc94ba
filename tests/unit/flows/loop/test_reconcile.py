"""The reconcile: once is enough, twice does nothing, and a process may die anywhere in between."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flows.deciding.decisions import decide_by_hand
from flows.loop.cycles import open_cycle, record_trigger
from flows.loop.reconcile import describe_step, reconcile, work_here
from flows.loop.work import work_on_cycle
from flows.planning.plan import StartWork
from flows.workspace.running import WORK_LEASE
from maskloop.errors import BusyError, TrainingError, UnavailableError
from maskloop.ledger.port import check_chain
from maskloop.records.kinds import (
    ApprovalDecided,
    CandidateRegistered,
    ChampionChanged,
    CycleClosed,
    CycleOpened,
    TrainingStarted,
    TriggerRecorded,
    VerdictReached,
    VersionIngested,
)
from tests.fakes.crashing import Countdown, Killed, Moment, every_crash_point
from tests.fakes.loop_world import World


def leave_it(_cycle_id: str) -> None:
    """A starter that starts nothing."""


def asked(world: World, key: str = "schedule:1") -> None:
    record_trigger(world.app().journal, key, "schedule", "a test", starts_from="champion")


# --- once, twice, side by side -----------------------------------------------------------------------


def test_an_empty_loop_has_nothing_to_do(tmp_path: Path) -> None:
    assert reconcile(World(tmp_path / "workspace").app()).done == ()


def test_what_was_done_is_told_in_order(world: World) -> None:
    asked(world)
    assert reconcile(world.app()).done == (
        "recorded 1 data version that the ledger did not have",
        "a cycle was opened: a test",
        "cycle-1: training and judging",
        "cycle-1 waits for approval",
    )


@pytest.mark.parametrize("tag", ["pending", "approved", "rejected", "maybe"])
def test_a_second_reconcile_in_a_row_changes_nothing_at_all(world: World, tag: str) -> None:
    asked(world)
    reconcile(world.app())
    world.tag_version("1", tag)
    reconcile(world.app())
    before = (world.ledger.entries(), world.models.versions(), len(world.trainer.requests))
    assert reconcile(world.app()).done == ()
    assert (world.ledger.entries(), world.models.versions(), len(world.trainer.requests)) == before


def test_a_lost_event_is_made_up_for_and_a_repeated_one_does_nothing(world: World) -> None:
    """Nobody told the loop about the tag; then two webhooks tell it at once."""
    asked(world)
    reconcile(world.app())
    world.tag_version("1", "approved")
    for _ in range(2):
        reconcile(world.app(), start_work=leave_it)
    assert len(world.of_kind(ChampionChanged)) == 1
    assert len(world.of_kind(ApprovalDecided)) == 1


def test_only_one_reconcile_runs_at_a_time(world: World) -> None:
    assert world.ledger.take_lease("reconcile", ttl_s=60) is not None
    with pytest.raises(BusyError, match="reconcile is already running"):
        reconcile(world.app())


def test_a_cycle_that_somebody_works_on_is_left_alone(world: World) -> None:
    asked(world)
    reconcile(world.app(), start_work=leave_it)
    lease = world.ledger.take_lease(WORK_LEASE, ttl_s=60)
    assert lease is not None
    assert reconcile(world.app()).done == ()
    with pytest.raises(BusyError):
        work_on_cycle(world.app(), "cycle-1")
    world.clock.advance(seconds=61)
    reconcile(world.app())
    assert world.last_cycle.phase == "judged"


def test_work_is_asked_for_again_until_it_is_done(world: World) -> None:
    started: list[str] = []
    asked(world)
    for _ in range(3):
        reconcile(world.app(), start_work=lambda cycle: started.append(cycle))
    assert started == ["cycle-1"] * 3
    assert world.trainer.requests == []


def test_a_promotion_does_not_wait_for_training_and_trains_nothing(world: World) -> None:
    asked(world)
    reconcile(world.app())
    world.tag_version("1", "approved")
    reconcile(world.app(), start_work=leave_it)
    assert world.alias("champion") == "1"


def test_a_failure_of_local_work_is_reported_and_its_error_kept_for_the_next_plan(world: World) -> None:
    world.trainer.error = TrainingError("the loss is not finite")
    asked(world)
    app = world.app()
    open_cycle(app.journal, "schedule:1")
    work_here(partial(work_on_cycle, app), app.teller, "cycle-1")
    assert world.last_cycle.failures == ("the loss is not finite",)
    with pytest.raises(TrainingError):
        work_on_cycle(app, "cycle-1")


def test_opening_a_cycle_twice_gives_the_same_one(world: World) -> None:
    asked(world)
    app = world.app()
    assert open_cycle(app.journal, "schedule:1") == "cycle-1"
    assert describe_step(StartWork("cycle-1"), world.state).startswith("cycle-1")
    assert len(world.of_kind(CycleOpened)) == 1


# --- killed anywhere ---------------------------------------------------------------------------------

Story = Callable[[World, Countdown | None], None]


def first_turn(world: World, countdown: Countdown | None = None) -> None:
    """A first model, approved by a person in the UI."""
    app = world.app(countdown=countdown)
    record_trigger(app.journal, "schedule:1", "schedule", "a test", starts_from="first-weights")
    reconcile(app)
    if world.alias("champion") == "":
        world.tag_version("1", "approved", by="anna")
    reconcile(app)


def second_turn(world: World, countdown: Countdown | None = None) -> None:
    """Drift, labels, training from the champion, approval at the command line, promotion."""
    if world.state.champion is None:
        first_turn(world)
    app = world.app(countdown=countdown)
    record_trigger(app.journal, "drift:1", "drift", "a new camera")
    reconcile(app)
    if len(world.data.versions()) == 1:
        world.label(range(12, 24))
    reconcile(app)
    if world.last_cycle.phase == "judged":
        decide_by_hand(app, "2", "approved", by="anna", why="good")
    reconcile(app)


def rejected_turn(world: World, countdown: Countdown | None = None) -> None:
    """A candidate that the gates fail."""
    world.trainer.quality = 0.3
    app = world.app(countdown=countdown)
    record_trigger(app.journal, "schedule:1", "schedule", "a test", starts_from="first-weights")
    reconcile(app)


def what_came_of_it(world: World) -> dict[str, Any]:
    """Everything that must not depend on where a process died; times, attempts and mere display may."""
    changes = world.of_kind(ChampionChanged)
    return {
        "cycles": [(c.id, c.phase, c.closed and c.closed.outcome) for c in world.state.cycles.values()],
        "triggers": [one.trigger_key for one in world.of_kind(TriggerRecorded)],
        "pending": list(world.state.pending_triggers),
        "data": [(v.tag, v.num_new_labelled) for v in world.of_kind(VersionIngested)],
        "candidates": [(c.version, c.weights_digest) for c in world.of_kind(CandidateRegistered)],
        "verdicts": [(v.candidate_version, v.outcome) for v in world.of_kind(VerdictReached)],
        "decisions": [(d.version, d.decision, d.by) for d in world.of_kind(ApprovalDecided)],
        "champions": [(c.epoch, c.version, c.previous_version) for c in changes],
        "closed": len(world.of_kind(CycleClosed)),
        "aliases": {alias: world.alias(alias) for alias in ("champion", "challenger")},
        "status": [(v.version, v.tags["status"]) for v in world.models.versions()],
        "runs": [(key, run.status) for key, run in world.tracker.runs.items()],
    }


@pytest.mark.slow
@pytest.mark.parametrize("story", [first_turn, second_turn, rejected_turn])
def test_a_process_that_dies_at_any_point_does_not_change_the_outcome(tmp_path: Path, story: Story) -> None:
    worlds: list[World] = []

    def new_world() -> World:
        worlds.append(World(tmp_path / f"workspace-{len(worlds)}"))
        worlds[-1].label(range(12))
        return worlds[-1]

    undisturbed = new_world()
    story(undisturbed, None)
    expected = what_came_of_it(undisturbed)
    num_points = 0
    for number, moment in every_crash_point(lambda countdown: story(new_world(), countdown)):
        world = worlds[-1]
        world.clock.advance(seconds=121)  # leases of the dead expire
        story(world, None)
        assert what_came_of_it(world) == expected, f"killed {moment} call {number}"
        assert reconcile(world.app()).done == (), f"killed {moment} call {number}"
        check_chain(world.ledger.entries())
        num_points += 1
    assert num_points > 50


class Outage(Countdown):
    """One call is not answered, before or after it took effect; the process lives and sees an error."""

    def step(self, call: Callable[[], Any]) -> Any:
        try:
            return super().step(call)
        except Killed:
            raise UnavailableError("nobody answers") from None


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_unanswered_call_at_any_point_does_not_change_the_outcome(tmp_path: Path, moment: Moment) -> None:
    """Unlike a dead process, this one still runs its own clearing up, which may meet the outage too."""
    worlds: list[World] = []

    def play(countdown: Countdown | None) -> dict[str, Any]:
        worlds.append(World(tmp_path / f"workspace-{len(worlds)}"))
        worlds[-1].label(range(12))
        with suppress(UnavailableError):
            second_turn(worlds[-1], countdown)
        worlds[-1].clock.advance(seconds=121)
        second_turn(worlds[-1], None)
        return what_came_of_it(worlds[-1])

    expected, number, outage = play(None), 0, Outage(1, moment)
    while outage.has_fired or not number:
        number += 1
        outage = Outage(number, moment)
        assert play(outage) == expected, f"not answered {moment} call {number}"
        assert reconcile(worlds[-1].app()).done == ()
    assert number > 50


def test_a_process_that_dies_every_time_it_trains_is_given_up_and_blocks_nothing(world: World) -> None:
    world.trainer.error = Killed()
    asked(world)
    for _ in range(3):
        with pytest.raises(Killed):
            reconcile(world.app())
        world.clock.advance(seconds=121)
    reconcile(world.app())
    assert world.last_cycle.closed == CycleClosed(
        outcome="failed", reason="3 attempts without progress: the process was killed every time"
    )
    assert [one.attempt for one in world.of_kind(TrainingStarted)] == [1, 2, 3]
    world.trainer.error = None
    asked(world, "schedule:2")
    reconcile(world.app())
    assert world.last_cycle.phase == "judged"
