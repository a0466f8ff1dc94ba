"""Who says yes and who says no: tags in MLflow, the command line, and what a crash leaves between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.command.main import main
from flows.deciding.decision_log import DecisionLog
from flows.deciding.decisions import Decided, decide_by_hand, record_decision, settle_tags
from flows.deciding.promotion import promote_cycle
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from maskloop.errors import BusyError, NotFoundError, RefusedError
from maskloop.records.kinds import ApprovalDecided
from maskloop.workspace import Workspace
from registry.champion.champion_journal import LEASE
from tests.fakes.crashing import Countdown, every_crash_point
from tests.fakes.loop_world import World
from tests.fakes.opened import opens


def log_of(world: World) -> DecisionLog:
    app = world.app()
    return DecisionLog(app.ledger, app.state, app.models, app.teller)


def judged(world: World) -> str:
    """Take a cycle to its verdict; returns the version that waits for a decision."""
    cycle = run_turn(world.app(), starts_from="first-weights")
    assert cycle.candidate is not None
    return cycle.candidate.version


def made_with(tmp_path: Path, settings: str) -> World:
    world = World(tmp_path / "workspace", settings=settings)
    world.label(range(12))
    return world


def tag_of(world: World, version: str) -> str:
    return world.models.version(version).tags["approval"]


# --- a yes that is taken back ------------------------------------------------------------------------


def test_a_reviewer_who_turns_the_tag_to_rejected_before_the_promotion_takes_the_yes_back(
    world: World,
) -> None:
    version = judged(world)
    decide_by_hand(world.app(), version, "approved", by="anna", why="looks fine")
    world.tag_version(version, "Rejected", by="bob")
    (told,) = settle_tags(log_of(world))
    assert told == f"bob rejected version {version} (mlflow): this overturns the yes by anna"
    assert world.last_cycle.phase == "rejected"
    reconcile(world.app())
    assert world.last_cycle.closed is not None
    assert world.last_cycle.closed.outcome == "rejected"
    assert world.state.champion is None
    assert [one.decision for one in world.of_kind(ApprovalDecided)] == ["approved", "rejected"]


def test_an_approval_is_not_withdrawn_in_the_name_of_the_person_who_gave_it(world: World) -> None:
    """The tag approved_by still names anna; who wrote rejected, MLflow does not tell."""
    version = judged(world)
    world.tag_version(version, "approved", by="anna")
    cycle = world.last_cycle
    assert cycle.verdict is not None
    record_decision(log_of(world), cycle, yes_of(world))
    world.tag_version(version, "rejected")
    settle_tags(log_of(world))
    assert world.of_kind(ApprovalDecided)[-1].by == "a reviewer in MLflow"


def yes_of(world: World, *, by: str = "anna") -> ApprovalDecided:
    verdict = world.last_cycle.verdict
    assert verdict is not None
    return ApprovalDecided(
        decision="approved",
        version=verdict.candidate_version,
        weights_digest=verdict.candidate_digest,
        blessing_id=verdict.blessing_id,
        by=by,
        why="",
        via="mlflow",
    )


def test_an_approval_at_the_command_line_can_be_overturned_there_and_the_record_names_who_gave_it(
    world: World,
) -> None:
    version = judged(world)
    decide_by_hand(world.app(), version, "approved", by="anna", why="fine")
    no = decide_by_hand(world.app(), version, "rejected", by="bob", why="it misses bolts").record
    assert no.why == "it misses bolts (this overturns the yes by anna)"
    assert tag_of(world, version) == "rejected"


def test_an_approval_by_the_policy_can_be_withdrawn_too(world: World) -> None:
    version = judged(world)
    yes = yes_of(world, by="maskloop").model_copy(update={"via": "policy"})
    record_decision(log_of(world), world.last_cycle, yes)
    world.tag_version(version, "rejected", by="bob")
    (told,) = settle_tags(log_of(world))
    assert told.endswith("this overturns the yes by maskloop")


def test_a_champion_can_no_longer_be_rejected(world: World) -> None:
    version = judged(world)
    world.tag_version(version, "approved")
    reconcile(world.app())
    with pytest.raises(NotFoundError, match="nothing waits"):
        decide_by_hand(world.app(), version, "rejected", by="bob", why="late")


# --- a no --------------------------------------------------------------------------------------------


def test_what_was_rejected_cannot_be_approved_and_the_command_says_so_plainly(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    version = judged(world)
    decide_by_hand(world.app(), version, "rejected", by="anna", why="it misses bolts")
    reconcile(world.app())
    with pytest.raises(SystemExit) as ended:
        main(["approve", version, "--by", "bob"], opener=opens(world))
    assert ended.value.code == 77
    said = capsys.readouterr().err
    assert f"version {version} cannot be approved: anna rejected version {version} (cli): it misses" in said


def test_a_rejection_given_twice_is_recorded_once(world: World) -> None:
    version = judged(world)
    first = decide_by_hand(world.app(), version, "rejected", by="anna", why="no")
    again = decide_by_hand(world.app(), version, "rejected", by="bob", why="me too")
    assert again == Decided(first.record, is_new=False)
    assert (
        again.sentence() == f"nothing is recorded: version {version} was rejected already by anna (cli): no"
    )
    assert len(world.of_kind(ApprovalDecided)) == 1


def test_an_unread_rejection_in_mlflow_counts_before_an_approval_at_the_command_line(
    world: World,
) -> None:
    version = judged(world)
    world.tag_version(version, "rejected", by="bob")
    with pytest.raises(RefusedError, match="bob rejected"):
        decide_by_hand(world.app(), version, "approved", by="anna", why="fine")
    assert world.last_cycle.phase == "rejected"
    assert tag_of(world, version) == "rejected"


def test_the_same_weights_as_another_version_are_rejected_with_the_first_reason(world: World) -> None:
    first = judged(world)
    decide_by_hand(world.app(), first, "rejected", by="anna", why="it misses bolts")
    reconcile(world.app())
    second = judged(world)
    assert second != first
    again = world.of_kind(ApprovalDecided)[-1]
    assert (again.version, again.by) == (second, "anna")
    assert again.why == f"these are the weights of version {first}, rejected before: it misses bolts"
    assert tag_of(world, second) == "rejected"


def test_a_decision_after_the_promotion_is_refused_with_the_way_back(world: World) -> None:
    version = judged(world)
    cycle = world.last_cycle
    decide_by_hand(world.app(), version, "approved", by="anna", why="fine")
    app = world.app()
    promote_cycle(app.journal, app.models, app.settings.approval, app.clock, world.last_cycle)
    with pytest.raises(RefusedError, match="comes too late") as refused:
        record_decision(log_of(world), cycle, yes_of(world).model_copy(update={"decision": "rejected"}))
    assert "rollback" in refused.value.hint
    assert world.last_cycle.phase == "promoting"


def test_nothing_is_decided_while_a_promotion_is_under_way(world: World) -> None:
    version = judged(world)
    assert world.ledger.take_lease(LEASE, ttl_s=60.0)
    with pytest.raises(BusyError):
        decide_by_hand(world.app(), version, "rejected", by="anna", why="stop")
    assert world.of_kind(ApprovalDecided) == []


# --- tags and the record -----------------------------------------------------------------------------


def test_wherever_a_decision_is_interrupted_the_tag_shows_what_was_recorded_in_the_end(
    tmp_path: Path,
) -> None:
    worlds: list[World] = []

    def decide_until_killed(countdown: Countdown) -> None:
        world = World(tmp_path / str(len(worlds)))
        worlds.append(world)
        world.label(range(12))
        version = judged(world)
        decide_by_hand(world.app(countdown=countdown), version, "rejected", by="anna", why="no")

    for point in every_crash_point(decide_until_killed):
        world = worlds[-1]
        settle_tags(log_of(world))
        decided = world.of_kind(ApprovalDecided)
        assert tag_of(world, "1") == (decided[0].decision if decided else "pending"), point
        assert settle_tags(log_of(world)) == []


def test_an_approval_that_was_erased_from_the_tag_is_shown_again(world: World) -> None:
    version = judged(world)
    decide_by_hand(world.app(), version, "approved", by="anna", why="fine")
    world.tag_version(version, "pending")
    assert settle_tags(log_of(world)) == [f"the tag approval of version {version} says approved again"]
    assert tag_of(world, version) == "approved"
    assert settle_tags(log_of(world)) == []


def test_a_rejection_is_final_whatever_the_tag_is_changed_to(world: World) -> None:
    version = judged(world)
    decide_by_hand(world.app(), version, "rejected", by="anna", why="no")
    world.tag_version(version, "approved", by="bob")
    settle_tags(log_of(world))
    assert tag_of(world, version) == "rejected"
    assert world.last_cycle.phase == "rejected"


def test_a_version_deleted_by_hand_can_still_be_rejected(world: World) -> None:
    version = judged(world)
    world.models.delete_version_by_hand(version)
    decide_by_hand(world.app(), version, "rejected", by="anna", why="it is gone")
    assert settle_tags(log_of(world)) == []
    assert world.last_cycle.phase == "rejected"


def test_a_decision_counts_while_the_registry_is_away_and_is_shown_when_it_is_back(world: World) -> None:
    version = judged(world)
    world.models.is_offline = True
    decide_by_hand(world.app(), version, "approved", by="anna", why="fine")
    assert world.last_cycle.phase == "approved"
    world.models.is_offline = False
    assert tag_of(world, version) == "pending"
    settle_tags(log_of(world))
    assert tag_of(world, version) == "approved"


# --- expiry and four eyes ----------------------------------------------------------------------------


def test_an_expired_approval_can_be_given_again_before_it_was_noticed(world: World) -> None:
    version = judged(world)
    decide_by_hand(world.app(), version, "approved", by="anna", why="good")
    world.clock.advance(days=15)
    again = decide_by_hand(world.app(), version, "approved", by="bob", why="still good").record
    assert again.by == "bob"
    reconcile(world.app())
    assert world.alias("champion") == version


def test_an_approval_that_still_counts_is_not_recorded_again(world: World) -> None:
    version = judged(world)
    first = decide_by_hand(world.app(), version, "approved", by="anna", why="good").record
    again = decide_by_hand(world.app(), version, "approved", by="bob", why="too")
    assert again == Decided(first, is_new=False)
    assert len(world.of_kind(ApprovalDecided)) == 1


FOUR_EYES = "[approval]\nfour_eyes = true\n"


@pytest.mark.parametrize(("by", "ends"), [("rita", "judged"), (" RITA ", "judged"), ("anna", "closed")])
def test_with_four_eyes_the_tag_approved_by_must_name_somebody_else(
    tmp_path: Path, by: str, ends: str
) -> None:
    world = made_with(tmp_path, FOUR_EYES)
    world.tag_version(judged(world), "approved", by=by)
    reconcile(world.app())
    assert world.last_cycle.phase == ends


def test_with_four_eyes_the_requester_may_still_reject_at_the_command_line(tmp_path: Path) -> None:
    world = made_with(tmp_path, FOUR_EYES)
    version = judged(world)
    with pytest.raises(RefusedError, match="cannot approve it"):
        decide_by_hand(world.app(), version, "approved", by="Rita", why="mine")
    assert decide_by_hand(world.app(), version, "rejected", by="rita", why="a mistake").record.by == "rita"


def test_four_eyes_asked_for_after_the_yes_hold_the_promotion_until_a_second_person_approves(
    world: World,
) -> None:
    version = judged(world)
    decide_by_hand(world.app(), version, "approved", by="rita", why="mine")
    settings_file = world.workspace.settings_file
    settings_file.write_text(settings_file.read_text() + FOUR_EYES)
    world.workspace = Workspace(world.workspace.root)
    reconcile(world.app())
    assert world.state.champion is None
    assert world.last_cycle.waiting is not None
    assert "cannot approve it" in world.last_cycle.waiting.reason
    decide_by_hand(world.app(), version, "approved", by="anna", why="seen")
    reconcile(world.app())
    assert world.alias("champion") == version


def test_a_tag_turned_to_rejected_takes_an_approved_challenger_out_of_the_traffic(tmp_path: Path) -> None:
    world = World(tmp_path / "workspace", rollout="min_pictures = 30\nmin_step_pictures = 20")
    world.label(range(12))
    world.tag_version(judged(world), "approved")
    reconcile(world.app())
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")
    world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    assert (world.last_cycle.phase, world.state.rollouts["cycle-2"].is_over) == ("approved", False)
    world.tag_version("2", "rejected", by="bob")
    reconcile(world.app())
    assert world.state.rollouts["cycle-2"].phase == "rolled-back"
    assert world.last_cycle.closed is not None
    assert world.last_cycle.closed.outcome == "rejected"
    assert world.of_kind(ApprovalDecided)[-1].why == "this overturns the yes by anna"
    assert world.alias("champion") == "1"
