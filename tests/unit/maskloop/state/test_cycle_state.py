"""One cycle, entry by entry: its phase, and how attempts and progress are counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskloop.ledger.port import Entry, make_entry
from maskloop.records.kinds import (
    AliasTampered,
    ApprovalDecided,
    CandidateRegistered,
    ChampionChangeAbandoned,
    ChampionChanging,
    CycleClosed,
    CycleOpened,
    CycleWaiting,
    JudgingStarted,
    Record,
    TrainingAdvanced,
    TrainingFailed,
    TrainingStarted,
    TriggerJoined,
    VerdictReached,
)
from maskloop.state.cycle_state import Cycle, apply_to_cycle
from tests.fakes.records import with_only

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
OPENED = CycleOpened(trigger_key="t1", reason="drift", detail="it is dark")
CYCLE = Cycle("c1", OPENED, NOON, "rita")
LATER = NOON + timedelta(hours=1)
CANDIDATE = with_only(CandidateRegistered, version="4", weights_digest="w4", requested_by="otto")
APPROVED = with_only(ApprovalDecided, decision="approved", version="4", by="anna")
REJECTED = with_only(ApprovalDecided, decision="rejected", version="4", by="otto")
CHANGING = with_only(ChampionChanging, version="4", weights_digest="w4")
RETRY = CycleWaiting(waiting_for="retry", reason="MLflow is away", way_out="it is tried again")


def entry_at(at: datetime) -> Entry:
    return make_entry(1, "any", at, "anna", "c1", {}, "", 1, "0" * 64)


def after(*records: Record, cycle: Cycle = CYCLE) -> Cycle:
    for record in records:
        cycle = apply_to_cycle(cycle, entry_at(LATER), record)
    return cycle


def started(attempt: int, **of_training: str) -> TrainingStarted:
    same = {"data_fingerprint": "f", "settings_digest": "s", "parent_digest": "p", "teacher_digest": ""}
    return with_only(TrainingStarted, attempt=attempt, **same | of_training)


def advanced(attempt: int, step: int) -> TrainingAdvanced:
    return TrainingAdvanced(attempt=attempt, step=step, steps=1000)


def failed(attempt: int) -> TrainingFailed:
    return TrainingFailed(attempt=attempt, reason=f"attempt {attempt} ran out of memory")


@pytest.mark.parametrize(
    ("records", "phase"),
    [
        ([CANDIDATE], "candidate"),
        ([CANDIDATE, JudgingStarted(attempt=1, version="4")], "candidate"),
        ([CANDIDATE, failed(1)], "candidate"),
        ([CANDIDATE, with_only(VerdictReached)], "judged"),
        ([APPROVED], "approved"),
        ([REJECTED], "rejected"),
        ([REJECTED, APPROVED], "rejected"),
        ([APPROVED, REJECTED], "rejected"),
        ([APPROVED, CHANGING], "promoting"),
        ([CHANGING, ChampionChangeAbandoned(epoch=1, version="4", reason="gone")], "approved"),
        ([CHANGING, CycleClosed(outcome="promoted", reason="it serves")], "closed"),
    ],
)
def test_a_phase_follows_from_the_last_step(records: list[Record], phase: str) -> None:
    assert after(*records).phase == phase


def test_what_was_decided_is_kept_with_its_time() -> None:
    verdict = with_only(VerdictReached, outcome="pass")
    closed = CycleClosed(outcome="promoted", reason="it serves")
    cycle = after(CANDIDATE, verdict, APPROVED, CHANGING, closed)
    assert (cycle.candidate, cycle.changing) == (CANDIDATE, CHANGING)
    assert (cycle.verdict, cycle.verdict_at) == (verdict, LATER)
    assert (cycle.approval, cycle.approval_at) == (APPROVED, LATER)
    assert (cycle.closed, cycle.closed_at) == (closed, LATER)


def test_an_abandoned_change_is_no_longer_under_way() -> None:
    abandoned = ChampionChangeAbandoned(epoch=1, version="4", reason="its files are gone")
    assert after(APPROVED, CHANGING, abandoned).changing is None


WAITING = CycleWaiting(waiting_for="approval", reason="nobody decided", way_out="decide")
STEPS = [started(1), JudgingStarted(attempt=1, version="4"), failed(1), CANDIDATE, with_only(VerdictReached)]
STEPS_AFTER_A_VERDICT = [APPROVED, CHANGING, CycleClosed(outcome="abandoned", reason="nobody came")]


@pytest.mark.parametrize("step", [*STEPS, *STEPS_AFTER_A_VERDICT], ids=lambda step: step.kind)
def test_every_step_ends_waiting(step: Record) -> None:
    waiting = after(WAITING)
    assert (waiting.waiting, waiting.waiting_since) == (WAITING, LATER)
    going_on = after(step, cycle=waiting)
    assert (going_on.waiting, going_on.waiting_since) == (None, None)


@pytest.mark.parametrize(
    "record",
    [
        TriggerJoined(trigger_key="t2", reason="labels", detail="20 are new"),
        advanced(1, 50),
        AliasTampered(alias="champion", found_version="2", expected_version="1"),
    ],
    ids=lambda record: record.kind,
)
def test_what_is_no_step_leaves_it_waiting(record: Record) -> None:
    assert after(WAITING, record).waiting == WAITING


def test_each_trigger_that_joins_is_one_more_cause() -> None:
    joined = [
        TriggerJoined(trigger_key="t2", reason="labels", detail="20 are new"),
        TriggerJoined(trigger_key="t3", reason="manual", detail="anna asked"),
    ]
    assert after(*joined).causes == ("it is dark", "20 are new", "anna asked")


def test_a_candidate_names_who_asked_for_it_and_a_cycle_without_one_who_opened_it() -> None:
    assert CYCLE.requested_by == "rita"
    assert after(CANDIDATE).requested_by == "otto"


# --- attempts ------------------------------------------------------------------------------------


def test_a_cycle_begins_without_attempts_and_progress() -> None:
    assert (CYCLE.num_attempts, CYCLE.last_attempt_with_progress, CYCLE.furthest_step) == (0, 0, 0)


def test_attempts_without_progress_in_a_row_are_fruitless() -> None:
    cycle = after(started(1), advanced(1, 50), failed(1), started(2), failed(2), started(3))
    assert (cycle.num_attempts, cycle.last_attempt_with_progress) == (3, 1)
    assert cycle.num_fruitless_attempts == 2
    assert cycle.failures == ("attempt 1 ran out of memory", "attempt 2 ran out of memory")
    assert after(advanced(3, 100), cycle=cycle).num_fruitless_attempts == 0


def test_an_outage_costs_no_attempt() -> None:
    waiting = after(started(1), failed(1), started(2), RETRY)
    assert waiting.num_attempts == 1
    assert after(started(2), cycle=waiting).num_attempts == 2
    for_labels = CycleWaiting(waiting_for="labels", reason="7 of 20", way_out="label 13 more")
    assert after(started(1), started(2), for_labels).num_attempts == 2


def test_an_outage_takes_the_progress_of_its_attempt_along_and_never_goes_below_none() -> None:
    cycle = after(started(1), advanced(1, 50), started(2), advanced(2, 90), RETRY)
    assert (cycle.num_attempts, cycle.last_attempt_with_progress, cycle.num_fruitless_attempts) == (1, 1, 0)
    assert cycle.furthest_step == 90
    assert after(RETRY, RETRY).num_attempts == 0


def test_a_candidate_starts_the_count_again_for_its_judging() -> None:
    cycle = after(started(1), failed(1), started(2), advanced(2, 90), CANDIDATE)
    assert (cycle.num_attempts, cycle.last_attempt_with_progress, cycle.failures) == (0, 0, ())
    judging = after(JudgingStarted(attempt=1, version="4"), failed(1), cycle=cycle)
    assert (judging.num_attempts, judging.failures) == (1, ("attempt 1 ran out of memory",))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_an_older_attempt_told_late_takes_nothing_back(attempts: list[int]) -> None:
    told = after(*(started(attempt) for attempt in attempts), *(advanced(one, 10 * one) for one in attempts))
    assert told.num_attempts == told.last_attempt_with_progress == max(attempts)
    assert told.furthest_step == 10 * max(attempts)


@pytest.mark.parametrize(
    "shaping", ["data_fingerprint", "settings_digest", "parent_digest", "teacher_digest"]
)
def test_another_training_begins_at_its_first_step(shaping: str) -> None:
    cycle = after(started(1), advanced(1, 300))
    assert after(started(2), cycle=cycle).furthest_step == 300
    assert after(started(2, **{shaping: "another"}), cycle=cycle).furthest_step == 0


def test_another_machine_or_run_is_the_same_training() -> None:
    cycle = after(started(1), advanced(1, 300))
    assert after(started(2, device="cuda", run_id="r2"), cycle=cycle).furthest_step == 300


def test_progress_before_any_training_was_told_is_not_kept_for_the_first() -> None:
    assert after(started(1), cycle=replace(CYCLE, furthest_step=70)).furthest_step == 0
