"""A challenger's way into traffic, over fakes: the record after every move, and after every crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.deciding.decisions import decide_by_hand
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.rollouts.rollout import (
    advance_rollout,
    describe_rollout,
    roll_back_last_change,
    stop_rollout,
)
from maskloop.errors import NotFoundError, RefusedError
from maskloop.records.kinds import (
    ChampionChanged,
    CycleClosed,
    RolloutMoved,
    RolloutStarted,
    SliceRecorded,
)
from tests.fakes.loop_world import World
from tests.fakes.rollout_world import (
    ROLLOUT,
    climb,
    make_world,
    position,
    rollout_of,
    traffic,
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


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


def test_the_limits_of_a_rollout_come_from_how_the_champion_differed_from_the_truth_when_it_was_judged(
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
def blind(tmp_path: Path) -> World:
    """A world whose gates let everything through."""
    gates = "min_mean_iou = 0\nmin_class_iou = 0\nmax_false_positives_per_true_positive = 0\n"
    return World(tmp_path / "workspace", rollout=ROLLOUT, gates=gates)


def test_labels_made_wrong_after_the_champions_training_loosen_no_limits(blind: World) -> None:
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


def test_the_first_model_is_compared_with_no_champion(world: World) -> None:
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


def test_a_challenger_that_is_only_slow_or_was_stopped_by_a_person_leaves_no_slice(world: World) -> None:
    """The pictures that two good models differ on most are hard, not a failure."""
    traffic(world, 60, challenger_s=0.05)
    advance_rollout(world.app())
    assert "times as long" in world.of_kind(RolloutMoved)[-1].reason
    assert world.of_kind(SliceRecorded) == []


def test_a_candidate_that_differs_on_a_slice_needs_a_person(world: World) -> None:
    traffic(world, 30, agreement=0.1)
    advance_rollout(world.app())
    reconcile(world.app())
    world.trainer.quality = 0.3
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


def test_looking_for_a_rollout_says_that_rollouts_are_switched_off(tmp_path: Path) -> None:
    off, on = World(tmp_path / "off"), World(tmp_path / "on", rollout=ROLLOUT)
    with pytest.raises(NotFoundError, match="takes over at once") as said:
        describe_rollout(off.app())
    assert "rollout.enabled = false" in str(said.value)
    with pytest.raises(NotFoundError, match="there was no rollout yet"):
        describe_rollout(on.app())
    with pytest.raises(NotFoundError, match="cycle-9 had no rollout"):
        describe_rollout(on.app(), "cycle-9")
