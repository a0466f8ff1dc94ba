"""What single kinds of records do to the state, where the order of entries decides."""

from __future__ import annotations

from typing import Any

import pytest

from maskloop.folding.fold import fold
from maskloop.folding.history import versions_between
from maskloop.records.kinds import (
    RECORDS,
    ApprovalDecided,
    ClassesChanging,
    CycleClosed,
    CycleOpened,
    RolloutMoved,
    RolloutPhase,
    RolloutStarted,
    TriggerJoined,
    TriggerReason,
    TriggerRecorded,
    VersionIngested,
    VersionRestored,
    write_record,
)
from maskloop.reducing.reducers import REDUCERS, reduces
from maskloop.state.loop_state import LoopState
from tests.fakes.ledger import FakeClock, FakeLedger


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(clock: FakeClock) -> FakeLedger:
    return FakeLedger(clock)


def folded(ledger: FakeLedger) -> LoopState:
    return fold(ledger.entries())


def open_cycle(ledger: FakeLedger, name: str, reason: TriggerReason = "drift") -> None:
    write_record(ledger, CycleOpened(trigger_key=name, reason=reason, detail="a test"), cycle_id=name)


# --- cycles --------------------------------------------------------------------------------------


def test_openings_nobody_asked_for_are_kept_for_thirty_days(ledger: FakeLedger, clock: FakeClock) -> None:
    first = clock.now()
    open_cycle(ledger, "c1")
    open_cycle(ledger, "by hand", "manual")
    second = clock.advance(days=30, microseconds=-1)
    open_cycle(ledger, "c2", "labels")
    assert folded(ledger).openings == (first, second)
    third = clock.advance(microseconds=1)
    open_cycle(ledger, "c3", "schedule")
    assert folded(ledger).openings == (second, third)
    assert folded(ledger).num_cycles == 4


def test_a_cycle_that_is_opened_twice_counts_once(ledger: FakeLedger) -> None:
    open_cycle(ledger, "c1")
    open_cycle(ledger, "c1")
    assert folded(ledger).num_cycles == 1


def test_the_end_of_the_last_cycle_never_moves_back(ledger: FakeLedger, clock: FakeClock) -> None:
    for name in ("c1", "c2"):
        open_cycle(ledger, name)
    ended = clock.advance(hours=5)
    write_record(ledger, CycleClosed(outcome="promoted", reason=""), cycle_id="c1")
    clock.advance(hours=-2)
    write_record(ledger, CycleClosed(outcome="promoted", reason=""), cycle_id="c2")
    assert folded(ledger).last_cycle_ended_at == ended


def test_the_end_of_a_cycle_nobody_opened_starts_no_cooldown(ledger: FakeLedger) -> None:
    write_record(ledger, CycleClosed(outcome="promoted", reason=""), cycle_id="unknown")
    assert folded(ledger).last_cycle_ended_at is None


def test_a_trigger_that_joins_a_cycle_is_answered_and_others_stay(ledger: FakeLedger) -> None:
    for key in ("t1", "t2"):
        trigger = TriggerRecorded(trigger_key=key, reason="drift", detail="dark")
        write_record(ledger, trigger, actor=f"asked for {key}")
    open_cycle(ledger, "c1")
    write_record(ledger, TriggerJoined(trigger_key="t1", reason="drift", detail="dark"), cycle_id="c1")
    state = folded(ledger)
    assert list(state.pending_triggers) == ["t2"]
    assert state.trigger_actors == {"t2": "asked for t2"}


# --- data versions -------------------------------------------------------------------------------


def ingest(ledger: FakeLedger, tag: str, num_labelled: int = 10) -> VersionIngested:
    record = VersionIngested(
        tag=tag,
        fingerprint=f"f {tag} {num_labelled}",
        dvc_md5="m",
        git_commit="g",
        source="line 1",
        num_pictures=100,
        num_new_pictures=num_labelled,
        num_new_labelled=num_labelled,
        num_quarantined=0,
    )
    write_record(ledger, record)
    return record


def restore(ledger: FakeLedger, tag: str) -> None:
    record = VersionRestored(tag=tag, previous_tag="", fingerprint="f", num_pictures=1, by="anna")
    write_record(ledger, record)


def test_a_version_that_is_restored_is_current_until_the_next_ingest(ledger: FakeLedger) -> None:
    first, _ = ingest(ledger, "data-v1"), ingest(ledger, "data-v2")
    restore(ledger, "data-v1")
    state = folded(ledger)
    assert (state.data_tag, state.data, state.newest_tag) == ("data-v1", first, "data-v2")
    third = ingest(ledger, "data-v3")
    assert (folded(ledger).data_tag, folded(ledger).data) == ("data-v3", third)


def test_the_newest_record_of_a_tag_is_restored_and_its_labels_add_up(ledger: FakeLedger) -> None:
    ingest(ledger, "data-v1", 10)
    again = ingest(ledger, "data-v1", 3)
    restore(ledger, "data-v1")
    assert folded(ledger).data == again
    assert folded(ledger).labels_by_tag == {"data-v1": 13}


def test_a_version_the_ledger_never_saw_is_current_without_its_record(ledger: FakeLedger) -> None:
    ingest(ledger, "data-v1")
    restore(ledger, "data-v7")
    assert (folded(ledger).data_tag, folded(ledger).data) == ("data-v7", None)


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [
        ("data-v1", "data-v3", ["data-v2", "data-v3"]),
        ("data-v2", "data-v3", ["data-v3"]),
        ("", "data-v2", ["data-v1", "data-v2"]),
        ("lost", "data-v1", ["data-v1"]),
        ("data-v3", "data-v3", []),
        ("data-v3", "data-v1", []),
        ("data-v1", "lost", []),
    ],
)
def test_versions_between_two_leave_out_the_first_and_hold_the_last(
    ledger: FakeLedger, first: str, last: str, found: list[str]
) -> None:
    for tag in ("data-v1", "data-v2", "data-v3", "data-v4"):
        ingest(ledger, tag)
    assert [one.tag for one in versions_between(ledger, folded(ledger), first, last)] == found


def test_of_two_records_of_one_version_between_two_the_newer_is_found(ledger: FakeLedger) -> None:
    ingest(ledger, "data-v1", 1)
    newer = ingest(ledger, "data-v1", 2)
    assert versions_between(ledger, folded(ledger), "", "data-v1") == (newer,)


def test_changes_of_classes_are_kept_in_order(ledger: FakeLedger) -> None:
    changes = [
        ClassesChanging(tag=tag, renamed=(pair,), class_names=(pair[1],), by="anna")
        for tag, pair in (("data-v1", ("rod", "bar")), ("data-v2", ("bar", "rod")))
    ]
    for one in changes:
        write_record(ledger, one)
    assert folded(ledger).class_changes == tuple(changes)


# --- decisions -----------------------------------------------------------------------------------


def decide(ledger: FakeLedger, decision: str, by: str, via: str) -> None:
    fields: dict[str, Any] = {"decision": decision, "by": by, "via": via, "version": "4", "why": ""}
    record = ApprovalDecided.model_validate(fields | {"weights_digest": "w", "blessing_id": "b"})
    write_record(ledger, record)


@pytest.mark.parametrize(
    ("decision", "via", "counts"),
    [
        ("rejected", "cli", "otto"),
        ("rejected", "mlflow", "otto"),
        ("rejected", "policy", "anna"),
        ("approved", "cli", "anna"),
    ],
)
def test_only_a_persons_no_outlives_a_later_decision(
    ledger: FakeLedger, decision: str, via: str, counts: str
) -> None:
    decide(ledger, decision, "otto", via)
    decide(ledger, "approved", "anna", "cli")
    assert folded(ledger).approvals["w"][1].by == counts


# --- rollouts ------------------------------------------------------------------------------------


def start_rollout(ledger: FakeLedger) -> None:
    record = RolloutStarted(
        version="4",
        weights_digest="w4",
        blessing_id="b",
        champion_version="3",
        champion_digest="w3",
        steps_percent=(5.0, 100.0),
        required_agreement=0.7,
        settings_digest="s",
    )
    write_record(ledger, record, cycle_id="c1")


def move(ledger: FakeLedger, phase: RolloutPhase, share_percent: float) -> None:
    record = RolloutMoved(event="e", phase=phase, share_percent=share_percent, reason="a test")
    write_record(ledger, record, cycle_id="c1")


def test_a_rollout_begins_in_the_shadow_and_counts_its_moves(ledger: FakeLedger, clock: FakeClock) -> None:
    began = clock.now()
    start_rollout(ledger)
    rollout = folded(ledger).rollouts["c1"]
    assert (rollout.phase, rollout.share_percent, rollout.num_moves, rollout.moved) == (
        "shadow",
        0.0,
        0,
        None,
    )
    moved = clock.advance(hours=1)
    move(ledger, "progressing", 5.0)
    rollout = folded(ledger).rollouts["c1"]
    assert (rollout.phase, rollout.share_percent, rollout.num_moves) == ("progressing", 5.0, 1)
    assert (rollout.started_at, rollout.since) == (began, moved)


def test_a_paused_rollout_remembers_where_it_goes_on_however_often_it_is_paused(ledger: FakeLedger) -> None:
    start_rollout(ledger)
    move(ledger, "progressing", 5.0)
    for _ in range(2):
        move(ledger, "paused", 0.0)
    rollout = folded(ledger).rollouts["c1"]
    assert (rollout.phase, rollout.share_percent) == ("paused", 0.0)
    assert (rollout.resumes_phase, rollout.resumes_at_percent) == ("progressing", 5.0)


@pytest.mark.parametrize("end", ["promoted", "rolled-back"])
def test_a_rollout_that_is_over_moves_no_more(ledger: FakeLedger, end: RolloutPhase) -> None:
    start_rollout(ledger)
    move(ledger, end, 0.0)
    move(ledger, "progressing", 50.0)
    rollout = folded(ledger).rollouts["c1"]
    assert (rollout.phase, rollout.num_moves) == (end, 1)


@pytest.mark.parametrize(
    ("phase", "rolled_back"),
    [
        ("progressing", set()),
        ("paused", set()),
        ("promoted", set()),
        ("aborting", {"w4"}),
        ("rolled-back", {"w4"}),
    ],
)
def test_weights_whose_rollout_is_aborted_count_as_rolled_back(
    ledger: FakeLedger, phase: RolloutPhase, rolled_back: set[str]
) -> None:
    start_rollout(ledger)
    move(ledger, phase, 0.0)
    assert folded(ledger).rolled_back == rolled_back


def test_a_move_of_a_rollout_nobody_started_changes_nothing(ledger: FakeLedger) -> None:
    move(ledger, "aborting", 0.0)
    state = folded(ledger)
    assert (state.rollouts, state.rolled_back) == ({}, frozenset())


# --- the table -----------------------------------------------------------------------------------


def test_a_kind_has_one_reducer_and_a_second_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cycle\.closed has a reducer already"):
        reduces(CycleClosed)(REDUCERS[CycleClosed])


def test_reducers_are_registered_for_kinds_of_records_alone() -> None:
    assert set(REDUCERS) <= set(RECORDS.values())
    assert len({id(one) for one in REDUCERS.values()}) == len(REDUCERS) - 1, "two kinds answer a trigger"
