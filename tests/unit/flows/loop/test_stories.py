"""Whole turns of the loop over fakes: what a user sees happen, step by step."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation import overlays
from flows.deciding.decisions import Decided, decide_by_hand
from flows.loop.cycles import record_trigger
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.pages.status import describe_serving_at, describe_status, tell_history
from flows.rollouts.rollout import roll_back_last_change
from maskloop.errors import (
    BusyError,
    NotFoundError,
    RefusedError,
)
from maskloop.records.kinds import (
    AliasTampered,
    ApprovalDecided,
    CandidateRegistered,
    ChampionChanged,
    CycleClosed,
    TrainingStarted,
    VersionIngested,
)
from registry.champion.lineage import lineage
from tests.fakes.loop_stories import first_champion, judged
from tests.fakes.loop_world import World

# --- from data to a champion ---------------------------------------------------------------------


def test_a_turn_goes_from_data_to_a_champion_once_a_person_approves(world: World) -> None:
    cycle = run_turn(world.app(), starts_from="first-weights")
    assert (cycle.phase, cycle.waiting and cycle.waiting.waiting_for) == ("judged", "approval")
    assert cycle.verdict is not None
    assert cycle.verdict.outcome == "pass"
    assert world.state.champion is None

    world.tag_version("1", "approved", by="anna")
    reconcile(world.app())
    assert world.last_cycle.phase == "closed"
    assert world.last_cycle.closed == CycleClosed(outcome="promoted", reason="the candidate serves")
    assert world.alias("champion") == "1"
    assert world.app().copies.fetch_champion(world.state).version == "1"
    assert world.of_kind(ApprovalDecided)[0].by == "anna"


def test_the_record_of_a_turn_names_everything_that_made_it(world: World) -> None:
    first_champion(world)
    (version,) = world.of_kind(VersionIngested)
    (started,) = world.of_kind(TrainingStarted)
    (candidate,) = world.of_kind(CandidateRegistered)
    assert started.data_fingerprint == candidate.data_fingerprint == version.fingerprint
    assert (started.parent_digest, candidate.requested_by) == ("", "rita")
    run = world.tracker.runs[candidate.run_id]
    assert run.status == "finished"
    assert run.params["settings_digest"] == started.settings_digest
    assert {data["context"] for data in run.datasets} == {"train", "val", "test"}
    assert {"approval/evidence.html", "verdict/evidence.json", "verdict/verdict.json"} <= set(run.files)
    assert {"evaluation/error_types.csv", "evaluation/confusion.csv", "evaluation/report.json"} <= set(
        run.files
    )
    assert run.metrics["test/iou/mean"] == [(0, pytest.approx(0.9))]
    assert run.metrics["test/ap50_lost_to/class"] == [(0, pytest.approx(0.0))]
    assert 0.0 <= run.metrics["test/calibration_error"][0][1] <= 1.0
    assert "pass" in world.models.descriptions["1"]


def test_retraining_starts_from_the_champion_and_mixes_old_pictures_with_new(world: World) -> None:
    first_champion(world)
    champion = world.state.champion
    assert champion is not None
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")
    request = world.trainer.requests[-1]
    assert request.parent_digest == champion.weights_digest
    version = world.data.current()
    assert version is not None
    train = version.by_split["train"]
    assert set(request.new_digests) == {p.digest for p in train if p.added_in == "data-v2"}
    assert set(request.replay_digests) == {p.digest for p in train if p.added_in == "data-v1"}


def test_a_network_that_the_champion_teaches_starts_from_first_weights_and_says_who_taught_it(
    world: World,
) -> None:
    first_champion(world)
    champion = world.state.champion
    assert champion is not None
    cycle = run_turn(world.app(), starts_from="first-weights", is_taught=True)
    request = world.trainer.requests[-1]
    assert (request.parent_artifact, request.teacher_digest) == (None, champion.weights_digest)
    assert request.teacher_artifact == world.app().copies.fetch_champion(world.state).directory
    assert cycle.training is not None
    assert cycle.candidate is not None
    assert cycle.verdict is not None
    assert cycle.verdict.champion_digest == champion.weights_digest
    assert f"taught by the weights {champion.weights_digest[:12]}" in cycle.training.sentence()
    assert world.tracker.runs[cycle.training.run_id].params["teacher_digest"] == champion.weights_digest
    page = world.tracker.runs[cycle.training.run_id].files["approval/evidence.html"].decode()
    assert "version 1, beside the labels" in page
    (teacher,) = [f for f in lineage(world.state, cycle.candidate.version) if f.what == "teacher"]
    assert teacher.detail == {"version": "1", "weights_digest": champion.weights_digest}


def test_the_new_champion_replaces_the_old_one_and_the_history_tells_who_served_when(world: World) -> None:
    first_champion(world)
    between = world.clock.advance(hours=1)
    world.clock.advance(hours=1)
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")
    world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    assert world.alias("champion") == "2"
    assert describe_serving_at(world.ledger, between)["version"] == "1"
    now = describe_serving_at(world.ledger, world.clock.now())
    assert (now["version"], now["moved_by"]) == ("2", "anna")
    assert all(line["sentence"] for line in tell_history(world.ledger))
    assert "version 2" in describe_status(world.app()).to_text()


def test_a_reviewers_pictures_are_drawn_and_kept(tmp_path: Path) -> None:
    world = World(tmp_path / "workspace")
    world.artist = overlays
    world.label(range(12))
    cycle = run_turn(world.app(), starts_from="first-weights")
    assert cycle.candidate is not None
    assert "evaluation/example_1.png" in world.tracker.runs[cycle.candidate.run_id].pictures
    kept = world.workspace.reports_dir / "verdicts" / "version-1"
    assert b"data:image/jpeg;base64," in (kept / "evidence.html").read_bytes()


# --- no --------------------------------------------------------------------------------------------


def test_a_reviewers_rejection_ends_the_cycle_and_nothing_serves(world: World) -> None:
    version = judged(world)
    world.tag_version(version, "rejected", by="anna")
    reconcile(world.app())
    assert world.last_cycle.closed is not None
    assert world.last_cycle.closed.outcome == "rejected"
    assert world.state.champion is None
    assert world.alias("champion") == ""


def test_a_rejection_at_the_command_line_keeps_its_reason(world: World) -> None:
    version = judged(world)
    decide_by_hand(world.app(), version, "rejected", by="anna", why="it misses bolts")
    reconcile(world.app())
    assert world.last_cycle.closed == CycleClosed(outcome="rejected", reason="it misses bolts")
    assert world.models.version(version).tags["approval"] == "rejected"


def test_what_the_gates_fail_is_closed_without_asking_anybody(world: World) -> None:
    world.trainer.quality = 0.3
    cycle = run_turn(world.app(), starts_from="first-weights")
    assert (cycle.phase, cycle.closed and cycle.closed.outcome) == ("closed", "rejected")
    assert cycle.approval is not None
    assert (cycle.approval.by, cycle.approval.via) == ("maskloop", "policy")
    assert world.models.version("1").tags["verdict"] == "fail"
    with pytest.raises(RefusedError, match="cannot be approved: the gates failed it"):
        decide_by_hand(world.app(), "1", "approved", by="anna", why="I like it")
    decided = decide_by_hand(world.app(), "1", "rejected", by="anna", why="indeed")
    assert decided == Decided(cycle.approval, is_new=False)
    assert "version 1 was rejected already by the policy: " in decided.sentence()


def test_a_candidate_much_worse_than_the_champion_fails_and_the_champion_serves_on(world: World) -> None:
    first_champion(world)
    world.trainer.quality = 0.7
    world.label(range(12, 24))
    cycle = run_turn(world.app(), starts_from="champion")
    assert cycle.verdict is not None
    assert cycle.verdict.outcome == "fail"
    assert world.alias("champion") == "1"


def test_a_policy_of_auto_promotes_what_passes_without_a_person(tmp_path: Path) -> None:
    world = made_with(tmp_path, '[approval]\npolicy = "auto"\n')
    cycle = run_turn(world.app(), starts_from="first-weights")
    assert (cycle.phase, world.alias("champion")) == ("closed", "1")


# --- four eyes, expiry, other champions --------------------------------------------------------------


def made_with(tmp_path: Path, settings: str) -> World:
    world = World(tmp_path / "workspace", settings=settings)
    world.label(range(12))
    return world


def test_with_four_eyes_the_requester_cannot_approve(tmp_path: Path) -> None:
    world = made_with(tmp_path, "[approval]\nfour_eyes = true\n")
    version = judged(world)
    world.tag_version(version, "approved", by="Rita")
    reconcile(world.app())
    assert world.last_cycle.phase == "judged"
    assert world.last_cycle.waiting is not None
    assert "cannot approve it" in world.last_cycle.waiting.reason
    with pytest.raises(RefusedError, match="cannot approve it"):
        decide_by_hand(world.app(), version, "approved", by="rita", why="mine")
    world.tag_version(version, "approved", by="anna")
    reconcile(world.app())
    assert world.alias("champion") == version


def test_with_four_eyes_an_approval_without_a_name_does_not_count(tmp_path: Path) -> None:
    world = made_with(tmp_path, "[approval]\nfour_eyes = true\n")
    world.tag_version(judged(world), "approved")
    reconcile(world.app())
    assert world.last_cycle.phase == "judged"
    assert world.state.champion is None


def test_an_approval_that_expired_before_its_promotion_moves_nothing_until_it_is_given_again(
    world: World,
) -> None:
    version = judged(world)
    decide_by_hand(world.app(), version, "approved", by="anna", why="good")
    world.clock.advance(days=15)
    reconcile(world.app())
    assert world.state.champion is None
    assert world.last_cycle.waiting is not None
    assert "has expired" in world.last_cycle.waiting.reason
    assert reconcile(world.app()).done == ()
    decide_by_hand(world.app(), version, "approved", by="anna", why="still good")
    reconcile(world.app())
    assert world.alias("champion") == version


def test_a_candidate_judged_against_another_champion_waits_and_can_be_rejected(world: World) -> None:
    first_champion(world)
    for version, numbers in (("2", range(12, 24)), ("3", range(24, 36))):
        world.label(numbers)
        run_turn(world.app(), starts_from="champion")
        if version == "2":
            world.tag_version(version, "approved")
            reconcile(world.app())
    roll_back_last_change(world.app(), to_version=None, by="otto", why="it is slow")
    world.tag_version("3", "approved")
    reconcile(world.app())
    assert world.alias("champion") == "1"
    assert world.last_cycle.waiting is not None
    assert "judged against another champion" in world.last_cycle.waiting.reason
    assert reconcile(world.app()).done == ()
    decide_by_hand(world.app(), "3", "rejected", by="anna", why="out of date")
    reconcile(world.app())
    assert world.state.open_cycles == ()


def test_training_again_on_the_same_data_makes_the_same_weights_and_still_ends(world: World) -> None:
    """Training is deterministic: asked twice, the second candidate is the champion itself."""
    first_champion(world)
    run_turn(world.app(), starts_from="first-weights")
    world.tag_version("2", "approved")
    reconcile(world.app())
    assert world.last_cycle.phase == "closed"
    assert reconcile(world.app()).done == ()
    assert len(world.of_kind(ChampionChanged)) == 1


def test_weights_that_were_rejected_before_are_rejected_again(world: World) -> None:
    world.tag_version(judged(world), "rejected", by="anna")
    reconcile(world.app())
    cycle = run_turn(world.app(), starts_from="first-weights")
    assert (cycle.phase, cycle.closed and cycle.closed.outcome) == ("closed", "rejected")
    assert reconcile(world.app()).done == ()


# --- triggers ----------------------------------------------------------------------------------------


def test_a_trigger_that_comes_while_a_cycle_is_open_joins_it(world: World) -> None:
    judged(world)
    record_trigger(world.app().journal, "schedule:monday", "schedule", "every monday")
    assert reconcile(world.app()).done == ("cycle-1 has one more reason: every monday",)
    assert world.last_cycle.causes == ("rita asked for it", "every monday")
    assert len(world.state.cycles) == 1
    assert reconcile(world.app()).done == ()


def test_the_same_trigger_twice_is_one_cycle(world: World) -> None:
    for _ in range(2):
        record_trigger(world.app().journal, "schedule:monday", "schedule", "every monday")
        reconcile(world.app())
    assert len(world.state.cycles) == 1
    assert len(world.trainer.requests) == 1


def test_asking_by_hand_while_a_cycle_is_open_is_refused_with_what_to_do(world: World) -> None:
    judged(world)
    with pytest.raises(BusyError, match="cycle-1 is still open"):
        run_turn(world.app(), starts_from="first-weights")


def test_asking_by_hand_while_a_recorded_trigger_waits_answers_with_the_cycle_it_joined(world: World) -> None:
    """`maskloop monitor` records a trigger and leaves it to the next reconcile; `train` may come first."""
    record_trigger(world.app().journal, "schedule:monday", "schedule", "every monday")
    cycle = run_turn(world.app(), starts_from="first-weights")
    assert cycle.id == "cycle-1"
    assert len(world.state.cycles) == 1


def test_drift_waits_for_labels_and_trains_when_they_have_come(world: World) -> None:
    first_champion(world)
    record_trigger(world.app().journal, "drift:1", "drift", "a new camera")
    reconcile(world.app())
    assert world.last_cycle.waiting is not None
    assert world.last_cycle.waiting.waiting_for == "labels"
    assert reconcile(world.app()).done == ()
    world.label(range(12, 24))
    reconcile(world.app())
    assert world.last_cycle.phase == "judged"
    assert world.trainer.requests[-1].parent_digest


def test_drift_without_labels_is_given_up_at_its_deadline(world: World) -> None:
    first_champion(world)
    record_trigger(world.app().journal, "drift:1", "drift", "a new camera")
    reconcile(world.app())
    world.clock.advance(days=14, minutes=1)
    reconcile(world.app())
    assert world.last_cycle.closed is not None
    assert world.last_cycle.closed.outcome == "abandoned"
    assert world.alias("champion") == "1"


# --- hands in the registry ---------------------------------------------------------------------------


def test_a_champion_moved_by_hand_is_put_back_recorded_and_never_served(world: World) -> None:
    first_champion(world)
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")
    world.models.set_alias("champion", "2")
    assert world.app().copies.fetch_champion(world.state).version == "1"
    done = reconcile(world.app()).done
    assert any("the alias champion was at version 2 but belongs to version 1" in line for line in done)
    assert world.alias("champion") == "1"
    assert [one.alias for one in world.of_kind(AliasTampered)] == ["champion"]
    assert reconcile(world.app()).done == ()


def test_a_champion_named_by_hand_before_any_promotion_is_reported_and_removed(world: World) -> None:
    version = judged(world)
    world.models.set_alias("champion", version)
    reconcile(world.app())
    assert [one.found_version for one in world.of_kind(AliasTampered)] == [version]
    assert world.alias("champion") == ""
    with pytest.raises(NotFoundError):
        world.app().copies.fetch_champion(world.state)


def test_a_rollback_serves_at_once_and_is_told(world: World) -> None:
    first_champion(world)
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")
    world.tag_version("2", "approved")
    reconcile(world.app())
    changed = roll_back_last_change(world.app(), to_version=None, by="otto", why="it is slow")
    assert isinstance(changed, ChampionChanged)
    assert (changed.version, changed.cause) == ("1", "rollback")
    assert world.app().copies.fetch_champion(world.state).version == "1"
    assert reconcile(world.app()).done == ()
