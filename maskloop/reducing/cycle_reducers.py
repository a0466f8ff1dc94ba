"""What records about triggers and cycles do to the state; a cycle's own steps are in `cycle_state`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from maskloop.ledger.port import Entry
from maskloop.records.kinds import (
    CandidateRegistered,
    CycleClosed,
    CycleOpened,
    TriggerJoined,
    TriggerRecorded,
    TriggerSuppressed,
)
from maskloop.reducing.draft import Draft, Past
from maskloop.reducing.reducers import reduces
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import Candidate

_OPENINGS_KEPT: Final = timedelta(days=30)
"""The budget counts seven days; the rest allows for clocks that differ."""
_TRAININGS_KEPT: Final = timedelta(days=45)
"""The budget counts thirty days."""


@reduces(TriggerRecorded)
def record_trigger(draft: Draft, entry: Entry, record: TriggerRecorded, _past: Past) -> None:
    """Note that a turn is wanted."""
    draft.pending_triggers[record.trigger_key] = record
    draft.trigger_actors[record.trigger_key] = entry.actor


@reduces(TriggerSuppressed, TriggerJoined)
def answer_trigger(
    draft: Draft, _entry: Entry, record: TriggerSuppressed | TriggerJoined | CycleOpened, _past: Past
) -> None:
    """Take a trigger off the list."""
    draft.pending_triggers.pop(record.trigger_key, None)
    draft.trigger_actors.pop(record.trigger_key, None)


@reduces(CycleOpened)
def open_cycle(draft: Draft, entry: Entry, record: CycleOpened, past: Past) -> None:
    """Begin a cycle: with nothing, or with the candidate that it judges again."""
    answer_trigger(draft, entry, record, past)
    draft.num_cycles += entry.cycle_id not in draft.cycles
    if record.reason != "manual":
        oldest = entry.at - _OPENINGS_KEPT
        draft.openings = [at for at in draft.openings if at > oldest] + [entry.at]
    opened = Cycle(entry.cycle_id, record, entry.at, entry.actor)
    if judged := _find_judged(draft, record, past):
        assert judged.candidate is not None  # noqa: S101 - it was found by its candidate
        draft.recall(judged.candidate.weights_digest, past)
        draft.note_candidate(Candidate.of(entry.cycle_id, judged.candidate))
        opened = replace(opened, phase="candidate", training=judged.training, candidate=judged.candidate)
    draft.cycles[entry.cycle_id] = opened


def _find_judged(draft: Draft, record: CycleOpened, past: Past) -> Cycle | None:
    """Return the cycle whose candidate is judged again, which may be an old one; None for a training."""
    if record.rejudges not in draft.candidates:
        return None
    kept = draft.cycles.get(record.rejudges)
    if kept is None:
        weights_digest = draft.candidates[record.rejudges].weights_digest
        kept = past.fold_cycles(draft.cycles_by_weights[weights_digest]).cycles.get(record.rejudges)
    return kept if kept and kept.candidate else None


@reduces(CandidateRegistered)
def register_candidate(draft: Draft, entry: Entry, record: CandidateRegistered, past: Past) -> None:
    """Remember whose these weights are. The same training again makes the same weights."""
    if entry.cycle_id in draft.cycles:
        draft.recall(record.weights_digest, past)
        draft.note_candidate(Candidate.of(entry.cycle_id, record))
    oldest = entry.at - _TRAININGS_KEPT
    draft.trainings = [one for one in draft.trainings if one[0] > oldest] + [(entry.at, record.seconds)]


@reduces(CycleClosed)
def close_cycle(draft: Draft, entry: Entry, _record: CycleClosed, _past: Past) -> None:
    """Note that the drift up to here has had its answer."""
    draft.unanswered_drift.clear()
    if entry.cycle_id in draft.cycles:
        draft.last_cycle_ended_at = max(entry.at, draft.last_cycle_ended_at or entry.at)
