"""A promotion or rollback that dies anywhere is completed or undone, never half done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from maskloop.errors import RefusedError, UnavailableError
from maskloop.ledger.port import Ledger
from maskloop.records.kinds import ChampionChangeAbandoned, ChampionChanging, write_record
from registry.champion.aliases import expected_aliases
from registry.champion.champion_journal import open_journal
from registry.champion.promotion import (
    plan_promotion,
    plan_rollback,
    promote,
    reconcile_aliases,
    recover,
    rollback,
)
from registry.ports import ModelStore
from tests.fakes.crashing import Countdown, crashing, every_crash_point
from tests.fakes.registry_world import RegistryWorld


@pytest.fixture
def world() -> RegistryWorld:
    return RegistryWorld()


def consistent(world: RegistryWorld) -> bool:
    state = world.state
    expected = expected_aliases(state)
    return state.changing is None and all(world.alias(alias) == at for alias, at in expected.items())


def what_came_of_it(world: RegistryWorld) -> dict[str, object]:
    """Return everything that must not depend on where a process died; epochs and times may."""
    changes = [serving.change for serving in world.state.serving]
    return {
        "changes": [(change.version, change.previous_version, change.cause) for change in changes],
        "phases": [(cycle.id, cycle.phase) for cycle in world.state.cycles.values()],
        "aliases": {alias: world.alias(alias) for alias in ("champion", "challenger")},
        "status": {one.version: one.tags.get("status", "") for one in world.store.versions()},
    }


def promote_the_third(ledger: Ledger, store: ModelStore, world: RegistryWorld) -> None:
    third = world.store.version("3").weights_digest
    options: Any = {"settings": world.settings, "why": "it passed", "clock": world.clock}
    promote(ledger, store, cycle_id="c3", weights_digest=third, **options)


def roll_back_once(ledger: Ledger, store: ModelStore, world: RegistryWorld) -> None:
    if world.state.serving[-1].change.cause == "promotion":
        rollback(ledger, store, by="otto", why="it misses bolts")


def roll_back_without_registry(ledger: Ledger, _store: ModelStore, world: RegistryWorld) -> None:
    world.store.is_offline = True
    roll_back_once(ledger, world.store, world)
    world.store.is_offline = False


@pytest.mark.parametrize(
    ("change", "expected_status"),
    [
        (promote_the_third, {"1": "retired", "2": "retired", "3": "champion"}),
        (roll_back_once, {"1": "champion", "2": "retired", "3": ""}),
        (roll_back_without_registry, {"1": "champion", "2": "retired", "3": ""}),
    ],
)
def test_a_change_that_dies_anywhere_and_is_asked_for_again_ends_as_if_it_had_not_died(
    change: Callable[[Ledger, ModelStore, RegistryWorld], None], expected_status: dict[str, str]
) -> None:
    worlds: list[RegistryWorld] = []

    def run(countdown: Countdown) -> None:
        world = RegistryWorld()
        world.promoted(), world.promoted(), world.approved()
        reconcile_aliases(world.ledger, world.store)
        worlds.append(world)
        change(crashing(world.ledger, countdown), crashing(world.store, countdown), world)

    def settle(world: RegistryWorld) -> dict[str, object]:
        world.clock.advance(minutes=5)  # the dead process's lease ends
        change(world.ledger, world.store, world)
        recover(world.ledger, world.store)
        assert reconcile_aliases(world.ledger, world.store) == []
        assert consistent(world)
        return what_came_of_it(world)

    outcomes = [settle(worlds[-1]) for _ in every_crash_point(run)]
    undisturbed = settle(worlds[-1])
    assert undisturbed["status"] == expected_status
    assert len(outcomes) >= 15, "each call before and after it took effect"
    assert all(outcome == undisturbed for outcome in outcomes)


@pytest.mark.parametrize("has_champion", [False, True])
def test_a_promotion_killed_at_any_call_is_completed_by_the_next_tick(has_champion: bool) -> None:
    worlds: list[RegistryWorld] = []

    def run(countdown: Countdown) -> None:
        world = RegistryWorld()
        if has_champion:
            world.promoted()
        candidate = world.approved()
        reconcile_aliases(world.ledger, world.store)
        worlds.append(world)
        promote(
            crashing(world.ledger, countdown),
            crashing(world.store, countdown),
            cycle_id=world.cycle_of(candidate),
            weights_digest=candidate.weights_digest,
            settings=world.settings,
            why="it passed",
            clock=world.clock,
        )

    points = 0
    for _ in every_crash_point(run):
        world, points = worlds[-1], points + 1
        began = any(entry.kind == ChampionChanging.kind for entry in world.ledger.entries()[-2:])
        world.clock.advance(minutes=5)  # the dead process's lease ends
        recover(world.ledger, world.store)
        reconcile_aliases(world.ledger, world.store)
        assert consistent(world)
        newest = world.store.versions()[-1].version
        before = "1" if has_champion else ""
        champion = world.state.champion
        assert (champion.version if champion else "") == (newest if began else before)
        assert not recover(world.ledger, world.store)
        assert reconcile_aliases(world.ledger, world.store) == []
    assert points >= 20


def test_a_rollback_killed_at_any_call_is_completed_by_the_next_tick() -> None:
    worlds: list[RegistryWorld] = []

    def run(countdown: Countdown) -> None:
        world = RegistryWorld()
        world.promoted(), world.promoted()
        worlds.append(world)
        rollback(crashing(world.ledger, countdown), crashing(world.store, countdown), by="otto", why="")

    for _ in every_crash_point(run):
        worlds[-1].clock.advance(minutes=5)  # the dead process's lease ends
        recover(worlds[-1].ledger, worlds[-1].store)
        assert reconcile_aliases(worlds[-1].ledger, worlds[-1].store) == []
        assert consistent(worlds[-1])


def test_recovery_itself_may_be_killed_at_any_call() -> None:
    worlds: list[RegistryWorld] = []

    def run(countdown: Countdown) -> None:
        world = RegistryWorld()
        world.promoted()
        begin_change(world, world.approved().weights_digest)
        worlds.append(world)
        recover(crashing(world.ledger, countdown), crashing(world.store, countdown))

    for _ in every_crash_point(run):
        worlds[-1].clock.advance(minutes=5)  # the dead process's lease ends
        recover(worlds[-1].ledger, worlds[-1].store)
        assert worlds[-1].alias("champion") == "2"
        assert consistent(worlds[-1])


def begin_change(world: RegistryWorld, weights_digest: str, *, cycle_id: str = "") -> None:
    """Write the intent and die."""
    now = world.clock.now()
    plan = plan_promotion(world.state, weights_digest, world.settings, why="it passed", now=now)
    write_record(world.ledger, plan, actor="otto", cycle_id=cycle_id, key=f"champion.changing:{plan.epoch}")


def test_a_recovered_change_keeps_the_name_of_who_began_it(world: RegistryWorld) -> None:
    begin_change(world, world.approved().weights_digest)
    assert recover(world.ledger, world.store)
    assert world.state.serving[-1].actor == "otto"


def test_a_change_whose_version_was_deleted_meanwhile_is_abandoned(world: RegistryWorld) -> None:
    first, second = world.promoted(), world.approved()
    begin_change(world, second.weights_digest)
    world.store.delete_version_by_hand(second.version)
    assert recover(world.ledger, world.store)
    assert world.alias("champion") == first.version
    assert world.state.champion is not None
    assert world.state.champion.version == first.version
    assert world.state.epoch == 2, "a used epoch is never used again"
    third = world.promoted()
    assert world.alias("champion") == third.version


def test_an_unavailable_registry_leaves_the_change_to_the_next_tick(world: RegistryWorld) -> None:
    begin_change(world, world.approved().weights_digest)
    world.store.is_offline = True
    with pytest.raises(UnavailableError):
        recover(world.ledger, world.store)
    world.store.is_offline = False
    assert recover(world.ledger, world.store)
    assert world.alias("champion") == "1"


def test_a_promotion_that_a_rollback_overtakes_while_the_registry_is_away_is_not_under_way_any_more(
    world: RegistryWorld,
) -> None:
    first, _, third = world.promoted(), world.promoted(), world.approved()
    begin_change(world, third.weights_digest, cycle_id=world.cycle_of(third))
    assert world.state.cycles["c3"].phase == "promoting"
    world.store.is_offline = True
    change = rollback(world.ledger, world.store, by="otto", why="it misses bolts")
    assert (change.version, change.cause) == (first.version, "rollback")
    assert world.state.cycles["c3"].phase == "approved", "its candidate does not serve"
    entry = next(one for one in world.ledger.entries() if one.kind == ChampionChangeAbandoned.kind)
    assert (entry.cycle_id, entry.actor) == ("c3", "otto")


def test_an_epoch_that_somebody_else_used_is_refused_also_without_the_registry(world: RegistryWorld) -> None:
    first, second = world.promoted(), world.promoted()
    other = ChampionChanging(
        epoch=3,
        version=second.version,
        weights_digest=second.weights_digest,
        previous_version=second.version,
        previous_digest=second.weights_digest,
        cause="rollback",
        why="another process",
    )
    intended = plan_rollback(world.state, to_version=first.version, why="it misses bolts")
    write_record(world.ledger, other, key="champion.changing:3")
    world.store.is_offline = True
    with open_journal(world.ledger, world.store) as journal:
        with pytest.raises(RefusedError, match="at the same moment"):
            journal.carry_out_without_registry(intended, actor="otto")
        assert world.state.changing == other
        assert len(world.state.serving) == 2


@pytest.mark.parametrize("is_registry_away", [False, True])
def test_a_rollback_that_died_and_is_asked_for_again_goes_back_by_one_champion_only(
    world: RegistryWorld, is_registry_away: bool
) -> None:
    _, second, third = world.promoted(), world.promoted(), world.promoted()
    plan = plan_rollback(world.state, to_version=None, why="it misses bolts")
    write_record(world.ledger, plan, actor="otto", key=f"champion.changing:{plan.epoch}")
    world.store.is_offline = is_registry_away
    change = rollback(world.ledger, world.store, by="otto", why="it misses bolts")
    assert (change.version, change.previous_version) == (second.version, third.version)
    assert change.alias_moved is not is_registry_away
    assert len(world.state.serving) == 4


def test_another_rollback_than_the_one_that_died_begins_after_it(world: RegistryWorld) -> None:
    first, second, _ = world.promoted(), world.promoted(), world.promoted()
    plan = plan_rollback(world.state, to_version=None, why="it misses bolts")
    write_record(world.ledger, plan, actor="otto", key=f"champion.changing:{plan.epoch}")
    rollback(world.ledger, world.store, to_version=first.version, by="otto", why="it misses nuts")
    changes = [serving.change for serving in world.state.serving]
    assert [change.version for change in changes[-2:]] == [second.version, first.version]
