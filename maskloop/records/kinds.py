"""What the ledger can hold: one frozen class per kind of entry, each of which prints as a sentence.

A record never changes once a version of maskloop has written it: fields are only ever added, with a default,
so that entries written by any earlier version stay readable (tests/records/).
"""

from __future__ import annotations

from typing import Any

from maskloop.ledger.port import Entry, Ledger
from maskloop.records.cycle_records import (
    CandidateRegistered,
    CycleClosed,
    CycleOpened,
    CycleWaiting,
    JudgingStarted,
    TrainingAdvanced,
    TrainingFailed,
    TrainingStarted,
    TriggerJoined,
    TriggerRecorded,
    TriggerSuppressed,
)
from maskloop.records.data_records import ClassesChanging, VersionIngested, VersionRestored
from maskloop.records.decision_records import (
    AliasTampered,
    ApprovalDecided,
    ChampionChangeAbandoned,
    ChampionChanged,
    ChampionChanging,
    VerdictReached,
)
from maskloop.records.production_records import (
    AgreementMeasured,
    DriftJudged,
    RolloutMoved,
    RolloutStarted,
    SliceRecorded,
)
from maskloop.records.record import (
    Check,
    CycleOutcome,
    Outcome,
    Record,
    RolloutPhase,
    StartsFrom,
    TriggerReason,
    WaitingFor,
)

__all__ = [
    "RECORDS",
    "AgreementMeasured",
    "AliasTampered",
    "ApprovalDecided",
    "CandidateRegistered",
    "ChampionChangeAbandoned",
    "ChampionChanged",
    "ChampionChanging",
    "Check",
    "ClassesChanging",
    "CycleClosed",
    "CycleOpened",
    "CycleOutcome",
    "CycleWaiting",
    "DriftJudged",
    "JudgingStarted",
    "Outcome",
    "Record",
    "RolloutMoved",
    "RolloutPhase",
    "RolloutStarted",
    "SliceRecorded",
    "StartsFrom",
    "TrainingAdvanced",
    "TrainingFailed",
    "TrainingStarted",
    "TriggerJoined",
    "TriggerReason",
    "TriggerRecorded",
    "TriggerSuppressed",
    "VerdictReached",
    "VersionIngested",
    "VersionRestored",
    "WaitingFor",
    "read_record",
    "write_record",
]

RECORDS: dict[str, type[Record]] = {
    record.kind: record
    for record in (
        VersionIngested,
        VersionRestored,
        ClassesChanging,
        TriggerRecorded,
        TriggerSuppressed,
        TriggerJoined,
        CycleOpened,
        CycleWaiting,
        TrainingStarted,
        TrainingAdvanced,
        JudgingStarted,
        TrainingFailed,
        CandidateRegistered,
        VerdictReached,
        ApprovalDecided,
        AgreementMeasured,
        RolloutStarted,
        RolloutMoved,
        SliceRecorded,
        ChampionChanging,
        ChampionChanged,
        ChampionChangeAbandoned,
        AliasTampered,
        DriftJudged,
        CycleClosed,
    )
}


def write_record(
    ledger: Ledger, record: Record, *, actor: str = "maskloop", cycle: str = "", key: str = ""
) -> Entry:
    """Append a record to the ledger; an idempotency ``key`` used before gives the older entry back."""
    payload: dict[str, Any] = record.model_dump(mode="json")
    return ledger.append(record.kind, payload, actor=actor, cycle=cycle, key=key)


def read_record(entry: Entry) -> Record | None:
    """Turn an entry into its record; None for a kind this version does not know."""
    kind = RECORDS.get(entry.kind)
    return kind.model_validate(dict(entry.payload)) if kind else None
