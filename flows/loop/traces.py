"""Each cycle is one trace, from its trigger to its end, told to a collector as its steps end.

Trace and span ids follow from what the ledger holds, so processes and machines that work on one cycle hand
nothing on to each other, and a step that is sent again is the same span.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from flows.workspace.journal import Journal
from maskloop.digest import digest_value
from maskloop.ledger.port import Entry, Ledger
from maskloop.records.kinds import (
    ApprovalDecided,
    CandidateRegistered,
    ChampionChangeAbandoned,
    ChampionChanged,
    ChampionChanging,
    CycleClosed,
    CycleOpened,
    JudgingStarted,
    RolloutMoved,
    RolloutStarted,
    TraceSent,
    TrainingFailed,
    TrainingStarted,
    TriggerRecorded,
    VerdictReached,
    read_record,
    write_record,
)
from serving.telemetry.spans import FinishedSpan

_NUM_CYCLES: Final = 3
"""The newest cycles are looked after; what a collector did not take of older ones is only in the ledger."""
_STEPS: Final = (
    ("trigger", (TriggerRecorded,), (CycleOpened,)),
    ("train", (TrainingStarted,), (CandidateRegistered, TrainingFailed)),
    ("judge", (JudgingStarted,), (VerdictReached, TrainingFailed)),
    ("approval", (VerdictReached,), (ApprovalDecided,)),
    ("rollout", (RolloutStarted,), (RolloutMoved,)),
    ("promotion", (ChampionChanging,), (ChampionChanged, ChampionChangeAbandoned)),
)
"""Each step with the records that begin and end it."""
_ROLLOUT_ENDS: Final = ("promoted", "rolled-back")

SendSpans = Callable[[Sequence[FinishedSpan]], bool]
"""Sends spans; tells whether they were taken."""


def choose_trace_id(ledger: Ledger, cycle_id: str, trigger_key: str) -> str:
    """Return the trace id of a cycle, 32 hexadecimal digits: the same wherever it is asked for.

    It rests on the digest of the trigger's entry, so the first cycles of two workspaces are two traces.
    """
    asked = ledger.find(key=f"trigger:{trigger_key}", limit=1)
    return digest_value({"cycle": cycle_id, "trigger": asked[0].digest if asked else trigger_key})[:32]


def span_id_of(trace_id: str, name: str, sequence: int) -> str:
    """Return the id of a step's span, 16 hexadecimal digits."""
    return digest_value({"trace": trace_id, "step": name, "entry": sequence})[:16]


def trace_cycle(entries: Sequence[Entry], trace_id: str) -> tuple[tuple[int, FinishedSpan], ...]:
    """Return the spans of a cycle's steps that have ended, each with the entry that ended it. Pure.

    Args:
        entries: Of the cycle, its trigger before them, in order.
        trace_id: Of the cycle.
    """
    records = [(entry, read_record(entry)) for entry in entries]
    whole = span_id_of(trace_id, "cycle", 0)
    spans: list[tuple[int, FinishedSpan]] = []
    for name, begins, ends in _STEPS:
        begun: Entry | None = None
        for entry, record in records:
            is_end = isinstance(record, ends)
            if isinstance(record, RolloutMoved) and record.phase not in _ROLLOUT_ENDS:
                is_end = False
            if begun is not None and is_end:
                spans.append((entry.sequence, _step(name, begun, entry, trace_id, whole)))
                begun = None
            elif begun is None and isinstance(record, begins):
                begun = entry
    closed = [entry for entry, record in records if isinstance(record, CycleClosed)]
    if closed:
        root = _step("cycle", entries[0], closed[-1], trace_id, "")
        spans.append((closed[-1].sequence, _as_whole(root, whole)))
    return tuple(sorted(spans, key=lambda one: one[0]))


def send_traces(journal: Journal, send: SendSpans) -> None:
    """Send the steps that have ended since the last time; a collector that is away is said once.

    Whether the collector took them or not, a second call without news does nothing. What it did not take is
    sent again together with the next step.
    """
    cycles = list(islice(reversed(journal.state().cycles.values()), _NUM_CYCLES))
    for cycle in reversed(cycles):
        own = cycle.opened
        trace_id = own.trace_id or choose_trace_id(journal.ledger, cycle.id, own.trigger_key)
        sent = list(_read_sent(journal.ledger, cycle.id))
        tried = max((one.up_to for one in sent), default=0)
        taken = max((one.up_to for one in sent if not one.trouble), default=0)
        spans = trace_cycle(read_cycle(journal.ledger, cycle.id, own.trigger_key), trace_id)
        news = [span for sequence, span in spans if sequence > taken]
        newest = max((sequence for sequence, _ in spans), default=0)
        if not news or newest <= tried:
            continue
        trouble = "" if send(news) else "the collector did not take it"
        record = TraceSent(trace_id=trace_id, num_spans=len(news), up_to=newest, trouble=trouble)
        if trouble and not _is_in_trouble(journal.ledger):
            journal.teller.say(f"the trace of {cycle.id} could not be sent: {trouble}; the loop goes on")
        write_record(journal.ledger, record, cycle_id=cycle.id, key=f"trace:{cycle.id}:{newest}")


def read_cycle(ledger: Ledger, cycle_id: str, trigger_key: str) -> Sequence[Entry]:
    """Return the entries of a cycle, after those that asked for it."""
    asked = ledger.find(key=f"trigger:{trigger_key}", limit=1)
    return (*asked, *ledger.find(cycle_id=cycle_id))


def _read_sent(ledger: Ledger, cycle_id: str) -> Iterator[TraceSent]:
    for entry in ledger.find(kinds=(TraceSent.kind,), cycle_id=cycle_id):
        record = read_record(entry)
        if isinstance(record, TraceSent):
            yield record


def _is_in_trouble(ledger: Ledger) -> bool:
    """Tell whether the collector did not take what was sent last, which was said then."""
    newest = ledger.find(kinds=(TraceSent.kind,), newest_first=True, limit=1)
    record = read_record(newest[0]) if newest else None
    return isinstance(record, TraceSent) and bool(record.trouble)


def _step(name: str, begun: Entry, ended: Entry, trace_id: str, parent: str) -> FinishedSpan:
    record = read_record(ended)
    facts = {"maskloop.cycle": ended.cycle_id, "maskloop.actor": ended.actor}
    facts["maskloop.entry"] = str(ended.sequence)
    if record is not None:
        facts["maskloop.said"] = record.sentence()
    error = record.reason if isinstance(record, TrainingFailed) else ""
    span_id = span_id_of(trace_id, name, begun.sequence)
    return FinishedSpan(trace_id, span_id, parent, name, begun.at, ended.at, facts, error)


def _as_whole(span: FinishedSpan, span_id: str) -> FinishedSpan:
    return replace(span, span_id=span_id)
