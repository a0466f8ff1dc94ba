"""A challenger's way into traffic, over fakes: the record after every move, and after every crash."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataset.decoding import encode_png
from flows.model_source import LedgerModelSource
from flows.planning import CloseCycle, Facts, Promote, StartRollout, Wait, plan
from flows.promote import decide_by_hand
from flows.reconcile import reconcile
from flows.retrain import run_turn
from flows.rollout import (
    advance_rollout,
    analyse_rollout,
    describe_rollout,
    resume_rollout,
    roll_back_last_change,
    stop_rollout,
)
from flows.status import describe_status
from maskloop.errors import NotFoundError, RefusedError, UnavailableError
from maskloop.records import (
    ChampionChanged,
    CycleClosed,
    RolloutMoved,
    RolloutStarted,
    SliceRecorded,
)
from maskloop.state import Rollout
from serving.pairs import Comparison, KeptPair
from tests.fakes.crashing import Countdown, Killed
from tests.fakes.loop_world import CLASS_NAMES, ColourPredictor, World, draw_picture, put_in_place

ROLLOUT = """
min_pictures = 30
min_step_pictures = 20
min_step_minutes = 5
steps_percent = [5, 50, 100]
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A champion serves, and a candidate of the same quality was judged against it."""
    made = World(tmp_path / "workspace", rollout=ROLLOUT)
    put_in_place(monkeypatch, lambda: made)
    make_challenger(made)
    return made


def make_challenger(world: World) -> None:
    world.label(range(12))
    run_turn(world.app(), starts_from="first-weights")
    world.tag_version("1", "approved", by="anna")
    reconcile(world.app())
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")


def traffic(world: World, num_pictures: int, **of_the_challenger: Any) -> None:
    """Let both models answer some more pictures."""
    before = len(world.pairs.pairs)
    for number in range(before, before + num_pictures):
        world.pairs.add(seen_by_both(number, **of_the_challenger))


def seen_by_both(number: int, **of_the_challenger: Any) -> KeptPair:
    pixels, _ = draw_picture(number)
    found = ColourPredictor(0.9).predict([pixels])[0].detections
    same = {"agreement": 0.9, "champion_s": 0.01, "challenger_s": 0.01, "latency_s": 0.02}
    comparison = Comparison("cycle-2", f"r{number}", "champion", **(same | of_the_challenger))
    return KeptPair(comparison, found, found, CLASS_NAMES, 1, encode_png(pixels))


def rollout_of(world: World) -> Rollout:
    return world.state.rollouts["cycle-2"]


def position(world: World) -> tuple[str, float]:
    rollout = rollout_of(world)
    return rollout.phase, rollout.share_percent


def climb(world: World) -> None:
    """Take the challenger to its promotion."""
    world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    for _ in range(4):
        traffic(world, 90)
        world.clock.advance(minutes=6)
        advance_rollout(world.app())


# --- the way up ----------------------------------------------------------------------------------


def test_a_blessed_candidate_begins_in_the_shadow_while_its_reviewer_thinks(world: World) -> None:
    (started,) = world.of_kind(RolloutStarted)
    assert (started.version, started.champion_version) == ("2", "1")
    assert started.steps_percent == (5.0, 50.0, 100.0)
    assert position(world) == ("shadow", 0.0)
    assert world.last_cycle.phase == "judged"
    traffic(world, 100)
    world.clock.advance(hours=100)
    assert advance_rollout(world.app()) == []
    reconcile(world.app())
    assert position(world) == ("shadow", 0.0)
    assert world.last_cycle.waiting is not None
    assert world.last_cycle.waiting.waiting_for == "approval"


def test_its_limits_come_from_how_the_champion_differed_from_the_truth_when_it_was_judged(
    world: World,
) -> None:
    started = rollout_of(world).started
    own = world.state.agreements[started.champion_digest][0]
    assert own.data_tag == "data-v1"
    assert own.agreement == pytest.approx(0.9)
    assert started.required_agreement == pytest.approx(0.8)


def roll_out_after(world: World, numbers: range, *, swap_classes_of: str) -> RolloutStarted:
    """Let a champion serve, change the data, and begin the next rollout."""
    world.label(range(18))
    run_turn(world.app(), starts_from="first-weights")
    world.tag_version("1", "approved", by="anna")
    reconcile(world.app())
    world.label(numbers, swap_classes_of=swap_classes_of)
    run_turn(world.app(), starts_from="champion")
    return rollout_of(world).started


@pytest.fixture
def blind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose gates let everything through."""
    gates = "min_mean_iou = 0\nmin_class_iou = 0\nmax_false_positives_per_true_positive = 0\n"
    made = World(tmp_path / "workspace", rollout=ROLLOUT, gates=gates)
    put_in_place(monkeypatch, lambda: made)
    return made


def test_labels_that_were_mixed_up_since_excuse_no_challenger(blind: World) -> None:
    """Measured by the swapped labels, the champion would look blind, and anything could replace it."""
    started = roll_out_after(blind, range(18, 19), swap_classes_of="data-v1")
    assert started.required_agreement == pytest.approx(0.8)
    assert started.max_class_flips == pytest.approx(0.1)


def test_pictures_of_a_new_kind_loosen_the_limits_by_what_the_champion_does_not_know(blind: World) -> None:
    started = roll_out_after(blind, range(18, 48), swap_classes_of="data-v2")
    assert started.required_agreement == 0.0
    assert started.max_class_flips == 1.0


def test_an_approved_challenger_climbs_step_by_step_and_is_promoted_by_itself(world: World) -> None:
    world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    assert world.last_cycle.waiting is not None
    assert world.last_cycle.waiting.waiting_for == "rollout"
    seen = []
    for _ in range(4):
        traffic(world, 90)
        world.clock.advance(minutes=6)
        advance_rollout(world.app())
        seen.append(position(world))
    assert seen == [("progressing", 5.0), ("progressing", 50.0), ("progressing", 100.0), ("promoted", 100.0)]
    assert world.state.champion is not None
    assert world.state.champion.version == "2"
    reconcile(world.app())
    assert world.last_cycle.closed == CycleClosed(outcome="promoted", reason="the candidate serves")
    assert world.alias("champion") == "2"
    assert [move.event for move in world.of_kind(RolloutMoved)] == [
        "passed",
        "passed",
        "passed",
        "all_passed",
        "promoted",
    ]


def test_the_first_model_has_nobody_to_be_compared_with(world: World) -> None:
    assert "cycle-1" not in world.state.rollouts
    assert world.state.serving[0].change.version == "1"


def test_a_second_look_at_the_same_evidence_does_nothing(world: World) -> None:
    world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    traffic(world, 90)
    assert len(advance_rollout(world.app())) == 1
    before = world.state.last_sequence
    assert advance_rollout(world.app()) == []
    assert reconcile(world.app()).done == ("cycle-2 waits for rollout",)
    assert reconcile(world.app()).done == ()
    assert world.state.last_sequence == before + 1


def test_two_replicas_that_look_at_the_same_moment_make_one_move(world: World) -> None:
    world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    traffic(world, 90)
    one, other = world.app(), world.app()
    assert one.state() == other.state()
    advance_rollout(one)
    advance_rollout(other)
    assert len(world.of_kind(RolloutMoved)) == 1
    assert position(world) == ("progressing", 5.0)


# --- the way down --------------------------------------------------------------------------------


@pytest.mark.parametrize("approved", [False, True])
def test_a_worse_challenger_is_stopped_before_any_client_meets_it(world: World, approved: bool) -> None:
    if approved:
        world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    traffic(world, 30, agreement=0.2)
    advance_rollout(world.app())
    assert position(world) == ("rolled-back", 0.0)
    assert max(move.share_percent for move in world.of_kind(RolloutMoved)) == 0.0
    reconcile(world.app())
    assert world.last_cycle.closed is not None
    assert world.last_cycle.closed.outcome == "rejected"
    assert "mean agreement: 0.200 over 30 pictures" in world.last_cycle.closed.reason
    assert world.state.champion is not None
    assert world.state.champion.version == "1"


def test_what_was_rolled_back_needs_a_new_verdict(world: World) -> None:
    traffic(world, 30, agreement=0.2)
    advance_rollout(world.app())
    assert rollout_of(world).started.weights_digest in world.state.rolled_back


def test_a_rollback_leaves_its_pictures_for_the_next_candidate(world: World) -> None:
    traffic(world, 10)
    traffic(world, 50, agreement=0.1)
    advance_rollout(world.app())
    (kept,) = world.of_kind(SliceRecorded)
    assert kept.failed_checks == ("agreement",)
    assert kept.num_pictures == 50
    assert kept.required_agreement == pytest.approx((0.1 + 0.8) / 2)
    reconcile(world.app())
    world.label(range(24, 36))
    run_turn(world.app(), starts_from="champion")
    verdict = world.last_cycle.verdict
    assert verdict is not None
    (check,) = [check for check in verdict.checks if check.name == "slice.cycle-2"]
    assert check.outcome == "pass"
    assert check.measured == pytest.approx(1.0)


def test_who_is_only_slow_or_stopped_by_a_person_leaves_no_slice(world: World) -> None:
    """The pictures that two good models differ on most are hard, not a failure."""
    traffic(world, 60, challenger_s=0.05)
    advance_rollout(world.app())
    assert "times as long" in world.of_kind(RolloutMoved)[-1].reason
    assert world.of_kind(SliceRecorded) == []


def test_a_candidate_that_differs_on_a_slice_needs_a_person(world: World) -> None:
    traffic(world, 30, agreement=0.1)
    advance_rollout(world.app())
    reconcile(world.app())
    world.model.quality = 0.3
    world.label(range(24, 36))
    run_turn(world.app(), starts_from="first-weights")
    verdict = world.last_cycle.verdict
    assert verdict is not None
    (check,) = [check for check in verdict.checks if check.name.startswith("slice.")]
    assert check.outcome == "inconclusive"
    assert check.measured == pytest.approx(0.3 / 0.9, abs=0.01)
    assert "0 of 30 references by people" in check.reason


def test_a_slice_whose_pictures_were_changed_is_no_evidence(world: World) -> None:
    traffic(world, 30, agreement=0.1)
    advance_rollout(world.app())
    reconcile(world.app())
    directory = world.workspace.slices_dir / "cycle-2"
    next(file for file in directory.iterdir() if file.suffix != ".json").unlink()
    world.label(range(24, 36))
    run_turn(world.app(), starts_from="champion")
    verdict = world.last_cycle.verdict
    assert verdict is not None
    (check,) = [check for check in verdict.checks if check.name.startswith("slice.")]
    assert (check.outcome, check.measured) == ("inconclusive", None)


def test_a_rejection_stops_the_rollout(world: World) -> None:
    decide_by_hand(world.app(), "2", "rejected", by="anna", why="it misses bolts")
    advance_rollout(world.app())
    assert position(world) == ("rolled-back", 0.0)
    assert "it misses bolts" in world.of_kind(RolloutMoved)[-1].reason
    reconcile(world.app())
    assert world.last_cycle.closed is not None


def test_a_person_stops_it_by_hand(world: World) -> None:
    moved = stop_rollout(world.app(), by="otto", why="customers call")
    assert moved.reason == "otto stopped it: customers call"
    assert position(world) == ("rolled-back", 0.0)
    with pytest.raises(NotFoundError, match="no rollout"):
        stop_rollout(world.app(), by="otto", why="again")


def test_another_champion_ends_the_rollout(world: World) -> None:
    climb(world)
    reconcile(world.app())
    world.label(range(24, 36))
    run_turn(world.app(), starts_from="champion")
    assert world.state.rollout is not None
    roll_back_last_change(world.app(), to_version="1", by="otto", why="it misses bolts")
    advance_rollout(world.app())
    last = world.of_kind(RolloutMoved)[-1]
    assert last.phase == "rolled-back"
    assert "version 2, beside which it rolled out, does not serve" in last.reason


def test_rollback_without_a_version_undoes_what_clients_met_last(world: World) -> None:
    world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    traffic(world, 90)
    advance_rollout(world.app())
    assert position(world) == ("progressing", 5.0)
    stopped = roll_back_last_change(world.app(), to_version=None, by="otto", why="customers call")
    assert isinstance(stopped, RolloutMoved)
    assert position(world) == ("rolled-back", 0.0)
    with pytest.raises(RefusedError, match="no earlier champion"):
        roll_back_last_change(world.app(), to_version=None, by="otto", why="again")


def test_rollback_while_the_challenger_is_in_the_shadow_means_the_champion(world: World) -> None:
    climb(world)
    reconcile(world.app())
    world.label(range(24, 36))
    run_turn(world.app(), starts_from="champion")
    changed = roll_back_last_change(world.app(), to_version=None, by="otto", why="it misses bolts")
    assert isinstance(changed, ChampionChanged)
    assert changed.version == "1"


# --- waiting -------------------------------------------------------------------------------------


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
    world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    for _ in range(3):
        traffic(world, 90)
        world.clock.advance(minutes=6)
        advance_rollout(world.app())
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
    world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    for _ in range(3):
        traffic(world, 90)
        world.clock.advance(minutes=6)
        advance_rollout(world.app())

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
    source = LedgerModelSource(world.app())
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
    analysis = analyse_rollout(world.app(), "cycle-2")
    assert analysis is not None
    assert analysis.outcome == "pass"
    assert analyse_rollout(world.app(), "cycle-1") is None
    with pytest.raises(NotFoundError):
        describe_rollout(world.app(), "cycle-1")
    status = describe_status(world.app())
    assert (
        "rollout:  version 2, since 2026-03-02 09:00 UTC: the rollout of version 2 begins" in status.to_text()
    )
    assert status.to_json()["rollout"]["phase"] == "shadow"


# --- crashes -------------------------------------------------------------------------------------


def crash_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **pictures: Any) -> Iterator[World]:
    """Yield worlds in which the process died at the 1st, 2nd, … write of an advance, until none did."""
    for point in range(1, 60):
        made = World(tmp_path / f"workspace-{point}", rollout=ROLLOUT)
        put_in_place(monkeypatch, lambda made=made: made)  # type: ignore[misc]
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_points = 0
    for world in crash_points(tmp_path, monkeypatch):
        num_points += 1
        assert world.state.champion is not None
        assert world.state.champion.version in ("1", "2")
        reconcile(world.app())
        reconcile(world.app())
        assert world.state.champion.version == "2"
        assert position(world) == ("promoted", 100.0)
        assert len(world.of_kind(ChampionChanged)) == 2
    assert num_points >= 5


def test_killed_at_any_write_of_a_rollback_no_client_meets_the_challenger_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_points = 0
    for world in crash_points(tmp_path, monkeypatch, agreement=0.1):
        num_points += 1
        if rollout_of(world).phase in ("aborting", "rolled-back"):
            assert rollout_of(world).share_percent == 0.0
            assert LedgerModelSource(world.app()).wanted().challenger is None
        reconcile(world.app())
        assert position(world) == ("rolled-back", 0.0)
        assert world.state.champion is not None
        assert world.state.champion.version == "1"
        assert len(world.of_kind(SliceRecorded)) == 1
    assert num_points >= 2


# --- planning ------------------------------------------------------------------------------------


def planned(world: World) -> tuple[Any, ...]:
    return plan(world.state, Facts(now=world.clock.now()), world.app().settings)


def test_what_is_planned_follows_the_rollout(world: World) -> None:
    state = world.state
    without = replace(state, rollouts={})
    facts, settings = Facts(now=world.clock.now()), world.app().settings
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
    assert StartRollout("cycle-3") not in plan(state, Facts(now=world.clock.now()), world.app().settings)


def test_a_running_service_judges_anew_only_when_there_is_noticeably_more(world: World) -> None:
    app = world.app()
    traffic(world, 200)
    first = analyse_rollout(app, "cycle-2")
    traffic(world, 2)
    assert analyse_rollout(app, "cycle-2") is first
    traffic(world, 1)
    again = analyse_rollout(app, "cycle-2")
    assert again is not None
    assert again.num_compared == 203
