"""One turn of the loop, as its entries in the ledger tell it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from maskloop.ledger.port import Entry
from maskloop.records.kinds import (
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

Phase = Literal["opened", "training", "candidate", "judged", "approved", "rejected", "promoting", "closed"]


@dataclass(frozen=True)
class Cycle:
    """One turn of the loop, as far as it has come."""

    id: str
    opened: CycleOpened
    opened_at: datetime
    actor: str
    phase: Phase = "opened"
    joined: tuple[TriggerJoined, ...] = ()
    """Triggers that came while it was open."""
    waiting: CycleWaiting | None = None
    waiting_since: datetime | None = None
    num_attempts: int = 0
    """At the present step, training or judging."""
    last_attempt_with_progress: int = 0
    """The newest attempt that saved a checkpoint further on than those before it; 0 for none."""
    furthest_step: int = 0
    """The step up to which progress was recorded for the present settings and data."""
    training: TrainingStarted | None = None
    candidate: CandidateRegistered | None = None
    verdict: VerdictReached | None = None
    verdict_at: datetime | None = None
    approval: ApprovalDecided | None = None
    approval_at: datetime | None = None
    changing: ChampionChanging | None = None
    closed: CycleClosed | None = None
    closed_at: datetime | None = None
    failures: tuple[str, ...] = ()
    """Of the present step."""
    failing_since: datetime | None = None
    """When the first of those failures was recorded."""

    @property
    def num_fruitless_attempts(self) -> int:
        """Attempts in a row, up to the newest one, that got no further than those before them."""
        return self.num_attempts - self.last_attempt_with_progress

    @property
    def causes(self) -> tuple[str, ...]:
        """Why there is this cycle: what it was opened for, and each trigger that joined it since."""
        return (self.opened.detail, *(one.detail for one in self.joined))

    @property
    def requested_by(self) -> str:
        """Who asked for the training of its candidate, which may be older than the cycle."""
        return self.candidate.requested_by if self.candidate else self.actor


def apply_to_cycle(cycle: Cycle, entry: Entry, record: Record) -> Cycle:
    """Return the cycle after one more of its entries."""
    going_on = replace(cycle, waiting=None, waiting_since=None)
    match record:
        case TriggerJoined():
            return replace(cycle, joined=(*cycle.joined, record))
        case CycleWaiting():
            waiting = replace(cycle, waiting=record, waiting_since=entry.at)
            if record.waiting_for != "retry":
                return waiting
            return _without_last_attempt(waiting)
        case TrainingStarted():
            return _with_training(going_on, record)
        case TrainingAdvanced():
            attempt = max(cycle.last_attempt_with_progress, record.attempt)
            furthest = max(cycle.furthest_step, record.step)
            return replace(cycle, last_attempt_with_progress=attempt, furthest_step=furthest)
        case JudgingStarted():
            return replace(going_on, num_attempts=max(cycle.num_attempts, record.attempt))
        case TrainingFailed():
            phase: Phase = "candidate" if cycle.candidate else "opened"
            attempts = max(cycle.num_attempts, record.attempt)
            failures = (*cycle.failures, record.reason)
            failing_since = cycle.failing_since or entry.at
            failed = replace(going_on, num_attempts=attempts, failures=failures, failing_since=failing_since)
            return replace(failed, phase=phase)
        case CandidateRegistered():
            fresh = replace(going_on, num_attempts=0, last_attempt_with_progress=0, failures=())
            return replace(fresh, phase="candidate", candidate=record, failing_since=None)
        case VerdictReached():
            return replace(going_on, phase="judged", verdict=record, verdict_at=entry.at)
        case ApprovalDecided() if cycle.approval and cycle.approval.decision == "rejected":
            return cycle  # a no is final
        case ApprovalDecided():
            phase = "approved" if record.decision == "approved" else "rejected"
            return replace(going_on, phase=phase, approval=record, approval_at=entry.at)
        case ChampionChanging():
            return replace(going_on, phase="promoting", changing=record)
        case ChampionChangeAbandoned():
            return replace(going_on, phase="approved", changing=None)
        case CycleClosed():
            return replace(going_on, phase="closed", closed=record, closed_at=entry.at)
        case _:
            return cycle


def _without_last_attempt(cycle: Cycle) -> Cycle:
    """An outage, or being asked to stop, costs no attempt."""
    left = max(cycle.num_attempts - 1, 0)
    progress = min(cycle.last_attempt_with_progress, left)
    return replace(cycle, num_attempts=left, last_attempt_with_progress=progress)


def _with_training(cycle: Cycle, started: TrainingStarted) -> Cycle:
    """Begin an attempt. With other settings, data or start it is another training, from its first step."""
    is_same = cycle.training is not None and _is_same_training(cycle.training, started)
    return replace(
        cycle,
        phase="training",
        training=started,
        num_attempts=max(cycle.num_attempts, started.attempt),
        furthest_step=cycle.furthest_step if is_same else 0,
    )


def _is_same_training(one: TrainingStarted, other: TrainingStarted) -> bool:
    shaping = ("data_fingerprint", "settings_digest", "parent_digest", "teacher_digest")
    return all(getattr(one, name) == getattr(other, name) for name in shaping)
