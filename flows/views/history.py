"""The whole history in the form that views need: one pure pass over the ledger's entries.

The state of the loop forgets old cycles (`maskloop.reducing.draft.Kept`); here a line of each stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from maskloop.ledger.port import Entry, Finder, check_entry
from maskloop.records.kinds import (
    ApprovalDecided,
    CandidateRegistered,
    ChampionChanged,
    CycleClosed,
    CycleOpened,
    DriftJudged,
    Record,
    RolloutMoved,
    RolloutStarted,
    TrainingFailed,
    TrainingStarted,
    VerdictReached,
    VersionIngested,
    read_record,
)
from registry.gates.own_figures import CLASS_IOU, MEAN_IOU

KINDS: Final = (
    ApprovalDecided,
    CandidateRegistered,
    ChampionChanged,
    CycleClosed,
    CycleOpened,
    DriftJudged,
    RolloutMoved,
    RolloutStarted,
    TrainingFailed,
    TrainingStarted,
    VerdictReached,
    VersionIngested,
)
"""The records that a view shows over time."""


@dataclass(frozen=True)
class JudgedVersion:
    """One verdict.

    Attributes:
        version: Of the registered model.
        at: UTC.
        cycle_id: The turn of the loop that reached it.
        outcome: ``pass``, ``inconclusive`` or ``fail``.
        data_tag: The data version it was judged on.
        mean_iou: 0..1, over the critical classes; None if it was not measured.
        class_iou: 0..1 by class; without those that were not measured.
        floors: The gates' floor of each class then, 0..1.
        failed: The reasons of the checks that decided a verdict other than ``pass``.
    """

    version: str
    at: datetime
    cycle_id: str
    outcome: str
    data_tag: str
    mean_iou: float | None
    class_iou: dict[str, float]
    floors: dict[str, float]
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class CycleTimes:
    """When each stage of a turn of the loop began; None for a stage that it has not reached.

    Attributes:
        id: Of the cycle.
        reason: ``manual``, ``schedule``, ``drift`` or ``labels``.
        detail: What it was opened for.
        opened_at: UTC.
        training_at: When the first attempt at training began.
        candidate_at: When a version was registered.
        judged_at: When the newest verdict was reached.
        decided_at: When the newest decision was recorded.
        closed_at: When it ended.
        outcome: How it ended; empty while it is open.
        version: Of its candidate; empty for none.
        num_failures: Attempts that failed.
    """

    id: str
    reason: str
    detail: str
    opened_at: datetime
    training_at: datetime | None = None
    candidate_at: datetime | None = None
    judged_at: datetime | None = None
    decided_at: datetime | None = None
    closed_at: datetime | None = None
    outcome: str = ""
    version: str = ""
    num_failures: int = 0


@dataclass(frozen=True)
class Attempt:
    """One attempt at training or judging that ended.

    Attributes:
        cycle_id: Of its cycle.
        ended_at: UTC.
        seconds: How long the training took; of a failed attempt from its start to its end by the clock.
        failure: Why it failed; empty if a version came of it.
    """

    cycle_id: str
    ended_at: datetime
    seconds: float
    failure: str = ""


@dataclass(frozen=True)
class DriftWindow:
    """One window of production that was judged.

    Attributes:
        at: UTC.
        version: Of the champion it was compared with; empty if its weights are unknown.
        weights_digest: Of that champion.
        judged: The record.
    """

    at: datetime
    version: str
    weights_digest: str
    judged: DriftJudged


@dataclass(frozen=True)
class Deployment:
    """One change of what answers production.

    Attributes:
        at: UTC.
        event: ``promotion``, ``rollback``, or ``rollout`` with its phase.
        version: That gets traffic, or loses it in a rollback of a rollout.
        instead: The version before; empty for none.
        share_percent: Of live traffic that ``version`` may answer from then on.
        by: Who did it.
        why: In plain words.
        cycle_id: Empty for a change outside a cycle.
    """

    at: datetime
    event: str
    version: str
    instead: str
    share_percent: float
    by: str
    why: str
    cycle_id: str


@dataclass(frozen=True)
class NewLabels:
    """One data version.

    Attributes:
        at: UTC.
        tag: Of the version.
        num_new_labelled: Pictures that were new or relabelled.
        num_pictures: In all.
    """

    at: datetime
    tag: str
    num_new_labelled: int
    num_pictures: int


@dataclass(frozen=True)
class History:
    """Everything in order, the oldest first."""

    versions: tuple[JudgedVersion, ...] = ()
    cycles: tuple[CycleTimes, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    windows: tuple[DriftWindow, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    labels: tuple[NewLabels, ...] = ()

    @property
    def newest_verdicts(self) -> tuple[JudgedVersion, ...]:
        """The newest verdict on each version, in the order of the versions' first verdicts."""
        return tuple({one.version: one for one in self.versions}.values())


def read_history(ledger: Finder) -> History:
    """Read the history from the ledger. Raises IntegrityError for an entry that was changed by hand."""
    entries = ledger.find(kinds=tuple(kind.kind for kind in KINDS))
    return fold_history(check_entry(entry) for entry in entries)


def fold_history(entries: Iterable[Entry]) -> History:
    """Fold entries, in order, into the history. Pure."""
    draft = _Draft()
    for entry in entries:
        record = read_record(entry)
        if record is not None:
            draft.add(entry, record)
    return History(
        versions=tuple(draft.versions),
        cycles=tuple(draft.cycles.values()),
        attempts=tuple(draft.attempts),
        windows=tuple(draft.windows),
        deployments=tuple(draft.deployments),
        labels=tuple(draft.labels),
    )


@dataclass
class _Draft:
    """The history while it is being folded."""

    versions: list[JudgedVersion] = field(default_factory=list)
    cycles: dict[str, CycleTimes] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    windows: list[DriftWindow] = field(default_factory=list)
    deployments: list[Deployment] = field(default_factory=list)
    labels: list[NewLabels] = field(default_factory=list)
    version_by_weights: dict[str, str] = field(default_factory=dict)
    began_at: dict[str, datetime] = field(default_factory=dict)
    """When the attempt under way began, by cycle."""
    rollouts: dict[str, RolloutStarted] = field(default_factory=dict)

    def add(self, entry: Entry, record: Record) -> None:
        """Fold one more entry."""
        match record:
            case VersionIngested():
                labels = NewLabels(entry.at, record.tag, record.num_new_labelled, record.num_pictures)
                self.labels.append(labels)
            case DriftJudged():
                weights = record.weights_digest
                version = self.version_by_weights.get(weights, "")
                self.windows.append(DriftWindow(entry.at, version, weights, record))
            case ChampionChanged() | RolloutStarted() | RolloutMoved():
                self._add_deployment(entry, record)
            case CycleOpened():
                self.cycles[entry.cycle_id] = CycleTimes(
                    entry.cycle_id, record.reason, record.detail, entry.at
                )
            case _:
                self._add_to_cycle(entry, record)

    def _add_to_cycle(self, entry: Entry, record: Record) -> None:
        cycle = self.cycles.get(entry.cycle_id)
        if isinstance(record, VerdictReached):
            self.versions.append(_describe_verdict(entry, record))
        if cycle is None:
            return
        match record:
            case TrainingStarted():
                self.began_at[cycle.id] = entry.at
                cycle = replace(cycle, training_at=cycle.training_at or entry.at)
            case TrainingFailed():
                self._end_attempt(entry, None, record.reason)
                cycle = replace(cycle, num_failures=cycle.num_failures + 1)
            case CandidateRegistered():
                self.version_by_weights[record.weights_digest] = record.version
                self._end_attempt(entry, record.seconds, "")
                cycle = replace(cycle, candidate_at=entry.at, version=record.version)
            case VerdictReached():
                cycle = replace(cycle, judged_at=entry.at, version=record.candidate_version)
            case ApprovalDecided():
                cycle = replace(cycle, decided_at=entry.at)
            case CycleClosed():
                cycle = replace(cycle, closed_at=entry.at, outcome=record.outcome)
        self.cycles[cycle.id] = cycle

    def _end_attempt(self, entry: Entry, seconds: float | None, failure: str) -> None:
        began_at = self.began_at.pop(entry.cycle_id, None)
        if seconds is None:  # a failure of judging follows no start of a training
            seconds = max((entry.at - began_at).total_seconds(), 0.0) if began_at else 0.0
        self.attempts.append(Attempt(entry.cycle_id, entry.at, seconds, failure))

    def _add_deployment(self, entry: Entry, record: ChampionChanged | RolloutStarted | RolloutMoved) -> None:
        if isinstance(record, RolloutStarted):
            self.rollouts[entry.cycle_id] = record
            version, before = record.version, record.champion_version
            event, share, why = "rollout: shadow", 0.0, record.sentence()
        elif isinstance(record, RolloutMoved):
            started = self.rollouts.get(entry.cycle_id)
            version, before = (started.version, started.champion_version) if started else ("", "")
            event, share, why = f"rollout: {record.phase}", record.share_percent, record.reason
        else:
            version, before = record.version, record.previous_version
            event, share, why = record.cause, 100.0, record.why
        self.deployments.append(
            Deployment(entry.at, event, version, before, share, entry.actor, why, entry.cycle_id)
        )


def _describe_verdict(entry: Entry, verdict: VerdictReached) -> JudgedVersion:
    by_class = [one for one in verdict.checks if one.gate == CLASS_IOU.name and one.subject]
    means = [one.measured for one in verdict.checks if one.gate == MEAN_IOU.name]
    decisive = [one.reason for one in verdict.checks if one.outcome == verdict.outcome]
    return JudgedVersion(
        version=verdict.candidate_version,
        at=entry.at,
        cycle_id=entry.cycle_id,
        outcome=verdict.outcome,
        data_tag=verdict.data_tag,
        mean_iou=next(iter(means), None),
        class_iou={one.subject: one.measured for one in by_class if one.measured is not None},
        floors={one.subject: one.required for one in by_class if one.required is not None},
        failed=() if verdict.outcome == "pass" else tuple(decisive),
    )
