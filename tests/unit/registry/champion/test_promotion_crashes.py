"""A promotion or rollback that dies anywhere is completed or undone, never half done."""

from __future__ import annotations

import pytest

from maskloop.errors import UnavailableError
from maskloop.records.kinds import ChampionChanging, write_record
from registry.champion.promotion import (
    expected_aliases,
    promote,
    reconcile_aliases,
    recover,
    rollback,
)
from tests.fakes.crashing import Countdown, crashing, every_crash_point
from tests.fakes.registry_world import RegistryWorld


@pytest.fixture
def world() -> RegistryWorld:
    return RegistryWorld()


def consistent(world: RegistryWorld) -> bool:
    state = world.state
    expected = expected_aliases(state)
    return state.changing is None and all(world.alias(alias) == at for alias, at in expected.items())


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
            cycle=world.cycle_of(candidate),
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


def begin_change(world: RegistryWorld, weights_digest: str) -> None:
    """Write the intent and die."""
    from registry.champion.promotion import plan_promotion

    now = world.clock.now()
    plan = plan_promotion(world.state, weights_digest, world.settings, why="it passed", now=now)
    write_record(world.ledger, plan, actor="otto", key=f"champion.changing:{plan.epoch}")


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
