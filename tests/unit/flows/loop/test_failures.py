"""Turns of the loop in which something fails, and what is left of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flows.deciding.decisions import decide_by_hand
from flows.loop.cycles import abandon_cycle, record_trigger
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.pages.status import describe_status
from maskloop.errors import (
    BusyError,
    ConfigurationError,
    IntegrityError,
    NotFoundError,
    RefusedError,
    TrainingError,
    UnavailableError,
)
from maskloop.ledger.port import Entry
from maskloop.records.kinds import (
    ApprovalDecided,
    CycleClosed,
    TrainingFailed,
    VersionIngested,
)
from tests.fakes.coco_batches import coco_content
from tests.fakes.ingests import ingest_result
from tests.fakes.loop_stories import first_champion, judged
from tests.fakes.loop_world import World


def test_a_failed_training_is_recorded_tried_again_and_given_up_in_the_end(world: World) -> None:
    world.trainer.error = TrainingError("the loss is not finite")
    with pytest.raises(TrainingError):
        raise_from_turn(world)
    for attempt in (1, 2, 3):
        assert [failed.attempt for failed in world.of_kind(TrainingFailed)] == list(range(1, attempt + 1))
        reconcile(world.app())
    assert world.last_cycle.closed == CycleClosed(
        outcome="failed", reason="3 attempts without progress: the loss is not finite"
    )
    assert len(world.trainer.requests) == 3
    assert reconcile(world.app()).done == ()


def test_a_reconcile_says_what_failed_in_it(world: World) -> None:
    record_trigger(world.app().journal, "schedule:1", "schedule", "every monday")
    world.trainer.error = TrainingError("the loss is not finite")
    found = reconcile(world.app())
    assert found.failed[0] == "cycle-1: attempt 1 failed: the loss is not finite"
    world.trainer.error = None
    assert reconcile(world.app()).failed == ()


def raise_from_turn(world: World) -> None:
    cycle = run_turn(world.app(), starts_from="first-weights")
    if cycle.failures:
        raise TrainingError(cycle.failures[-1])


def fail_a_retraining_for_drift(world: World) -> None:
    first_champion(world)
    record_trigger(world.app().journal, "drift:1", "drift", "the lamp changed")
    reconcile(world.app())
    world.label(range(12, 24))
    world.trainer.error = TrainingError("the loss is not finite")
    for _ in range(4):
        reconcile(world.app())
    world.trainer.error = None
    assert world.last_cycle.closed is not None
    assert world.last_cycle.closed.outcome == "failed"


def test_what_a_failed_cycle_was_opened_for_is_taken_up_by_the_next_training(world: World) -> None:
    fail_a_retraining_for_drift(world)
    assert world.state.unanswered_failure == world.last_cycle
    run_turn(world.app(), starts_from="champion")
    assert world.last_cycle.opened.takes_up == ("cycle-2",)
    assert "takes up what cycle-2 failed at" in world.last_cycle.opened.sentence()
    assert world.state.unanswered_failure is None


def test_a_later_drift_takes_a_failed_one_up_and_the_labels_that_came_for_it_count(world: World) -> None:
    fail_a_retraining_for_drift(world)
    record_trigger(world.app().journal, "drift:2", "drift", "the lamp is still another one")
    reconcile(world.app())
    assert (world.last_cycle.id, world.last_cycle.phase) == ("cycle-3", "judged"), "no second set of labels"
    assert world.last_cycle.opened.takes_up == ("cycle-2",)


def test_a_training_that_fails_once_succeeds_the_next_time(world: World) -> None:
    world.trainer.error = TrainingError("the loss is not finite")
    with pytest.raises(TrainingError):
        run_turn(world.app(), starts_from="first-weights")
    assert next(iter(world.tracker.runs.values())).status == "failed"
    world.trainer.error = None
    reconcile(world.app())
    assert world.last_cycle.phase == "judged"
    assert next(iter(world.tracker.runs.values())).status == "finished"


def test_a_training_that_always_fails_is_given_up(world: World) -> None:
    world.trainer.error = TrainingError("the loss is not finite")
    with pytest.raises(TrainingError):
        run_turn(world.app(), starts_from="first-weights")
    for _ in range(3):
        reconcile(world.app())
    assert world.last_cycle.closed is not None
    assert "3 attempts without progress: the loss is not finite" in world.last_cycle.closed.reason
    assert len(world.of_kind(TrainingFailed)) == 3
    assert reconcile(world.app()).done == ()


def test_a_turn_asked_for_again_goes_on_with_the_one_that_was_interrupted(world: World) -> None:
    world.trainer.error = TrainingError("the loss is not finite")
    with pytest.raises(TrainingError):
        run_turn(world.app(), starts_from="first-weights")
    world.trainer.error = None
    assert run_turn(world.app(), starts_from="first-weights").phase == "judged"
    assert len(world.state.cycles) == 1


def test_without_gates_nothing_is_trained_and_nothing_recorded(tmp_path: Path) -> None:
    world = World(tmp_path / "workspace")
    (world.workspace.root / "maskloop.toml").write_text('[training]\nsteps = 1\ndevice = "cpu"\n')
    world.label(range(12))
    before = world.state
    with pytest.raises(ConfigurationError, match="no gates are configured"):
        run_turn(world.app(), starts_from="first-weights")
    assert world.state == before


def test_an_approval_given_twice_is_recorded_once(world: World) -> None:
    version = judged(world)
    first = decide_by_hand(world.app(), version, "approved", by="otto", why="fine").record
    assert decide_by_hand(world.app(), version, "approved", by="anna", why="fine too").record == first
    assert len(world.of_kind(ApprovalDecided)) == 1


def test_a_turn_asked_for_while_labels_are_waited_for_says_so(world: World) -> None:
    first_champion(world)
    record_trigger(world.app().journal, "drift:1", "drift", "the lamp changed")
    reconcile(world.app())
    with pytest.raises(BusyError, match="more labelled pictures"):
        run_turn(world.app(), starts_from="champion")


def test_nothing_is_decided_or_served_from_a_ledger_that_was_changed_by_hand(world: World) -> None:
    first_champion(world)
    entries = world.ledger.entries()
    forged = replace(entries[-1], actor="somebody else")

    def forged_entries(*, after: int = 0, limit: int = 0) -> tuple[Entry, ...]:
        found = (*entries[:-1], forged)[max(after, 0) :]
        return found[:limit] if limit else found

    world.ledger.entries = forged_entries  # type: ignore[method-assign]
    for act in (reconcile, lambda app: app.copies.fetch_champion(app.state()), describe_status):
        with pytest.raises(IntegrityError, match="changed by hand"):
            act(world.app())


def test_an_abandoned_cycle_ends_and_makes_room_for_the_next(world: World) -> None:
    version = judged(world)
    cycle = world.last_cycle.id
    abandon_cycle(world.app(), cycle, by="otto", why="the camera is being replaced")
    assert world.last_cycle.closed is not None
    assert world.last_cycle.closed.outcome == "abandoned"
    with pytest.raises(RefusedError):
        abandon_cycle(world.app(), cycle, by="otto", why="again")
    world.tag_version(version, "approved")
    assert reconcile(world.app()).done == (), "an approval that comes after the end changes nothing"


def test_a_registry_that_does_not_answer_leaves_everything_as_it_was(world: World) -> None:
    version = judged(world)
    world.tag_version(version, "approved")
    before = world.state
    world.models.is_offline = True
    with pytest.raises(UnavailableError):
        reconcile(world.app())
    assert world.state == before
    world.models.is_offline = False
    reconcile(world.app())
    assert world.alias("champion") == version


def test_an_outage_after_training_costs_no_attempt_however_often_it_is_met(world: World) -> None:
    world.models.is_offline = True
    with pytest.raises(UnavailableError):
        run_turn(world.app(), starts_from="first-weights")
    for _ in range(5):
        with pytest.raises(UnavailableError):
            reconcile(world.app())
    world.models.is_offline = False
    reconcile(world.app())
    assert world.last_cycle.phase == "judged"


def test_the_champion_serves_on_without_the_registry(world: World) -> None:
    version = first_champion(world)
    world.app().copies.fetch_champion(world.state)
    world.models.is_offline = True
    assert world.app().copies.fetch_champion(world.state).version == version


def test_a_version_deleted_by_hand_does_not_stop_the_loop(world: World) -> None:
    first_champion(world)
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")
    world.models.delete_version_by_hand("2")
    world.tag_version("1", "approved")
    reconcile(world.app())
    assert reconcile(world.app()).done == ()
    assert world.alias("champion") == "1"


def test_labels_of_an_ingest_that_was_interrupted_count_when_it_is_started_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the tag and the ledger, then run again: the batch is no longer new, its labels are."""
    from flows.intake.batch_intake import ingest

    reconcile(world.app())
    version = world.label(range(12, 24))
    monkeypatch.setattr("flows.intake.batch_intake.ingest_batch", lambda *_a, **_k: ingest_result(version))
    batch = tmp_path / "batch.json"
    batch.write_text(json.dumps(coco_content(range(1, 2))))
    ingest(world.app(), batch, tmp_path)
    assert [one.num_new_labelled for one in world.of_kind(VersionIngested)] == [12, 12]


def test_a_refused_batch_is_not_a_version(world: World) -> None:
    from flows.intake.batch_intake import ingest

    reconcile(world.app())
    before = world.state
    with pytest.raises(NotFoundError, match="does not exist"):
        ingest(world.app(), Path("nowhere.json"), Path("images"))
    assert world.state == before
