"""A rollout that waits, is looked at, dies anywhere, or is planned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.answering.model_source import LedgerModelSource
from flows.deciding.decisions import decide_by_hand
from flows.loop.reconcile import reconcile
from flows.pages.status import describe_status
from flows.planning.plan import CloseCycle, LoopFacts, Promote, StartRollout, Wait, plan
from flows.rollouts.rollout import (
    advance_rollout,
    describe_rollout,
    resume_rollout,
)
from maskloop.errors import NotFoundError, UnavailableError
from maskloop.records.kinds import (
    ChampionChanged,
    RolloutMoved,
    SliceRecorded,
)
from tests.fakes.crashing import Countdown, Killed
from tests.fakes.engines import TorchAlone
from tests.fakes.loop_world import World
from tests.fakes.rollout_world import (
    ROLLOUT,
    climb,
    make_challenger,
    make_world,
    position,
    rollout_of,
    traffic,
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


# --- waiting -------------------------------------------------------------------------------------


def model_source(world: World) -> LedgerModelSource:
    app = world.app()
    return LedgerModelSource(app.ledger, app.state, app.copies, app.workspace, app.shared_files, TorchAlone())


def test_no_traffic_pauses_then_rolls_back(world: World) -> None:
    world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    world.clock.advance(hours=25)
    advance_rollout(world.app())
    assert position(world) == ("paused", 0.0)
    reconcile(world.app())
    assert world.last_cycle.waiting is not None
    assert "maskloop rollout resume" in world.last_cycle.waiting.way_out
    world.clock.advance(hours=73)
    advance_rollout(world.app())
    assert position(world) == ("rolled-back", 0.0)


def test_a_person_accepts_what_traffic_could_not_show(world: World) -> None:
    world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    world.clock.advance(hours=25)
    advance_rollout(world.app())
    with pytest.raises(NotFoundError):
        resume_rollout(World(world.workspace.root.parent / "empty").app(), by="otto", accept=True)
    resume_rollout(world.app(), by="otto", accept=True)
    assert position(world) == ("progressing", 5.0)


def test_an_approval_that_expired_on_the_way_waits_for_a_person(world: World) -> None:
    climb(world, num_moves=3)
    world.clock.advance(days=15)
    traffic(world, 90)
    advance_rollout(world.app())
    assert position(world) == ("paused", 100.0)
    assert "expired" in world.of_kind(RolloutMoved)[-1].reason
    decide_by_hand(world.app(), "2", "approved", by="anna", why="still good")
    resume_rollout(world.app(), by="anna", accept=True)
    advance_rollout(world.app())
    assert position(world) == ("promoted", 100.0)


def test_an_outage_of_the_registry_delays_the_promotion_and_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    climb(world, num_moves=3)

    def away(*_args: Any, **_more: Any) -> Any:
        raise UnavailableError("MLflow does not answer")

    traffic(world, 90)
    world.clock.advance(minutes=6)
    with monkeypatch.context() as outage:
        outage.setattr(world.models, "version", away)
        advance_rollout(world.app())
    assert position(world) == ("promoting", 100.0)
    advance_rollout(world.app())
    assert position(world) == ("promoted", 100.0)


# --- what replicas serve -------------------------------------------------------------------------


def test_replicas_read_champion_challenger_and_share_from_the_record(world: World) -> None:
    source = model_source(world)
    wanted = source.wanted()
    assert wanted.challenger is not None
    assert (wanted.champion.version, wanted.challenger.version) == ("1", "2")
    assert (wanted.traffic.share_percent, wanted.traffic.mirror_percent) == (0.0, 100.0)
    world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    traffic(world, 90)
    advance_rollout(world.app())
    assert source.wanted().traffic.share_percent == 5.0
    traffic(world, 60, agreement=0.0)
    advance_rollout(world.app())
    after = source.wanted()
    assert after.challenger is None
    assert after.traffic.share_percent == 0.0


def test_a_rollout_can_be_looked_at_any_time(world: World) -> None:
    traffic(world, 90)
    found = describe_rollout(world.app())
    assert (found["phase"], found["num_compared"]) == ("shadow", 90)
    assert found["challenger_ms"]["p50"] == pytest.approx(10.0)
    assert world.app().analyse_rollout(rollout_of(world)).outcome == "pass"
    with pytest.raises(NotFoundError):
        describe_rollout(world.app(), "cycle-1")
    status = describe_status(world.app())
    assert (
        "rollout:  version 2, since 2026-03-02 09:00 UTC: the rollout of version 2 begins" in status.to_text()
    )
    assert status.to_json()["rollout"]["phase"] == "shadow"


# --- crashes -------------------------------------------------------------------------------------


def crash_points(tmp_path: Path, **pictures: Any) -> Iterator[World]:
    """Yield worlds in which the process died at the 1st, 2nd, … write of an advance, until none did."""
    for point in range(1, 60):
        made = World(tmp_path / f"workspace-{point}", rollout=ROLLOUT)
        make_challenger(made)
        made.tag_version("2", "approved", by="anna")
        reconcile(made.app())
        if not pictures:
            for _ in range(3):
                traffic(made, 90)
                made.clock.advance(minutes=6)
                advance_rollout(made.app())
        traffic(made, 90, **pictures)
        made.clock.advance(minutes=6)
        try:
            advance_rollout(made.app(countdown=Countdown(point)))
        except Killed:
            yield made
        else:
            return
    pytest.fail("it never came through")


def test_killed_at_any_write_of_a_promotion_one_version_serves_and_the_next_look_completes(
    tmp_path: Path,
) -> None:
    num_points = 0
    for world in crash_points(tmp_path):
        num_points += 1
        assert world.state.champion is not None
        assert world.state.champion.version in ("1", "2")
        reconcile(world.app())
        reconcile(world.app())
        assert world.state.champion.version == "2"
        assert position(world) == ("promoted", 100.0)
        assert len(world.of_kind(ChampionChanged)) == 2
    assert num_points >= 5


def test_killed_at_any_write_of_a_rollback_no_client_meets_the_challenger_again(tmp_path: Path) -> None:
    num_points = 0
    for world in crash_points(tmp_path, agreement=0.1):
        num_points += 1
        if rollout_of(world).phase in ("aborting", "rolled-back"):
            assert rollout_of(world).share_percent == 0.0
            assert model_source(world).wanted().challenger is None
        reconcile(world.app())
        assert position(world) == ("rolled-back", 0.0)
        assert world.state.champion is not None
        assert world.state.champion.version == "1"
        assert len(world.of_kind(SliceRecorded)) == 1
    assert num_points >= 2


# --- planning ------------------------------------------------------------------------------------


def planned(world: World) -> tuple[Any, ...]:
    return plan(world.state, LoopFacts(now=world.clock.now()), world.app().settings)


def test_what_is_planned_follows_the_rollout(world: World) -> None:
    state = world.state
    without = replace(state, rollouts={})
    facts, settings = LoopFacts(now=world.clock.now()), world.app().settings
    assert plan(without, facts, settings) == (StartRollout("cycle-2"),)
    off = settings.model_copy(update={"rollout": settings.rollout.model_copy(update={"enabled": False})})
    assert plan(without, facts, off) == ()
    world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    assert planned(world) == ()
    climb(world)
    (step,) = planned(world)
    assert isinstance(step, CloseCycle)
    assert not isinstance(step, Promote | Wait)


def test_only_one_challenger_rolls_out_at_a_time(world: World) -> None:
    cycle = world.state.cycles["cycle-2"]
    second = replace(cycle, id="cycle-3")
    state = replace(world.state, cycles={**world.state.cycles, "cycle-3": second})
    assert StartRollout("cycle-3") not in plan(state, LoopFacts(now=world.clock.now()), world.app().settings)


def test_a_running_service_judges_anew_only_when_there_is_noticeably_more(world: World) -> None:
    app = world.app()
    traffic(world, 200)
    first = app.analyse_rollout(rollout_of(world))
    traffic(world, 2)
    assert app.analyse_rollout(rollout_of(world)) is first
    traffic(world, 1)
    again = app.analyse_rollout(rollout_of(world))
    assert again.num_compared == 203
