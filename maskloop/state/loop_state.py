"""The state of the loop: a fold over the ledger. Nothing else remembers anything.

A cycle's phase follows from what was recorded::

    opened ──► training ──► candidate ──► judged ──► approved ──► promoting ──► closed
                  ▲  │                       │           │          (promoted)
                  └──┘ failed, tried again   └───────────┴─► rejected, failed or
                                                             rolled back ─────► closed

A rollout, if settings ask for one, begins with the verdict; its phases are in serving/rollout/canary.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock

from maskloop.ledger.port import Entry, Ledger, check_chain
from maskloop.records.kinds import (
    AgreementMeasured,
    ApprovalDecided,
    ChampionChangeAbandoned,
    ChampionChanged,
    ChampionChanging,
    ClassesChanging,
    CycleClosed,
    CycleOpened,
    DriftJudged,
    Record,
    RolloutMoved,
    RolloutPhase,
    RolloutStarted,
    SliceRecorded,
    TriggerJoined,
    TriggerRecorded,
    TriggerSuppressed,
    VerdictReached,
    VersionIngested,
    VersionRestored,
    read_record,
)
from maskloop.state.cycle_state import Cycle, apply_to_cycle


@dataclass(frozen=True)
class Rollout:
    """One challenger's way into traffic, as far as it has come.

    Attributes:
        cycle: The turn of the loop it belongs to; its id is the rollout's.
        started: What rolls out, beside which champion, in which steps.
        started_at: UTC.
        phase: Where in the table of `serving.rollout.canary` it stands.
        share_percent: Of live traffic the challenger may answer now.
        since: When the present phase and share began.
        moved: The latest move; None in the first shadow phase.
        num_moves: How many there were.
        resumes_phase: Where a paused rollout goes on.
        resumes_at_percent: And with which share.
    """

    cycle: str
    started: RolloutStarted
    started_at: datetime
    since: datetime
    phase: RolloutPhase = "shadow"
    share_percent: float = 0.0
    moved: RolloutMoved | None = None
    num_moves: int = 0
    resumes_phase: RolloutPhase = "shadow"
    resumes_at_percent: float = 0.0

    @property
    def is_over(self) -> bool:
        """It reached all traffic, or none."""
        return self.phase in ("promoted", "rolled-back")


@dataclass(frozen=True)
class Serving:
    """Which version served from when on, and who moved it there."""

    since: datetime
    actor: str
    cycle: str
    change: ChampionChanged


@dataclass(frozen=True)
class LoopState:
    """Everything the ledger says, in the form decisions need."""

    cycles: dict[str, Cycle] = field(default_factory=dict)
    versions: tuple[VersionIngested, ...] = ()
    data_tag: str = ""
    """The current data version: the newest, or the one that was brought back since."""
    class_changes: tuple[ClassesChanging, ...] = ()
    pending_triggers: dict[str, TriggerRecorded] = field(default_factory=dict)
    trigger_actors: dict[str, str] = field(default_factory=dict)
    serving: tuple[Serving, ...] = ()
    changing: ChampionChanging | None = None
    changing_cycle: str = ""
    abandoned_epoch: int = 0
    """The newest epoch whose change of champion came to nothing."""
    rolled_back: frozenset[str] = frozenset()
    """Weights digests that were rolled back from, and not judged again since."""
    drift: tuple[tuple[datetime, DriftJudged], ...] = ()
    unanswered_drift: tuple[tuple[datetime, DriftJudged], ...] = ()
    """The verdicts since a cycle last ended: an ended cycle has answered those before it."""
    verdicts: dict[str, VerdictReached] = field(default_factory=dict)
    """By the candidate's weights digest; the newest verdict on them."""
    approvals: dict[str, tuple[datetime, ApprovalDecided]] = field(default_factory=dict)
    """By weights digest; the newest decision on them, where a person's no is final."""
    rollouts: dict[str, Rollout] = field(default_factory=dict)
    """By cycle."""
    slices: tuple[SliceRecorded, ...] = ()
    agreements: dict[str, tuple[AgreementMeasured, ...]] = field(default_factory=dict)
    """By weights digest: on the pictures they were judged on, and on those that came since."""
    last_sequence: int = 0

    @property
    def rollout(self) -> Rollout | None:
        """The rollout under way, if there is one."""
        return next((one for one in reversed(self.rollouts.values()) if not one.is_over), None)

    @property
    def data(self) -> VersionIngested | None:
        """The current data version: trainings and ingests build on it."""
        return next((one for one in reversed(self.versions) if one.tag == self.data_tag), None)

    @property
    def champion(self) -> ChampionChanged | None:
        """The change that made the present champion, if there is one."""
        return self.serving[-1].change if self.serving else None

    @property
    def unanswered_failure(self) -> Cycle | None:
        """The newest cycle, if it failed: the next one to train takes up what it was opened for."""
        newest = next(reversed(self.cycles.values()), None)
        return newest if newest and newest.closed and newest.closed.outcome == "failed" else None

    @property
    def newest_rejection(self) -> Cycle | None:
        """The newest cycle, if its candidate was rejected: nothing says so any more once another begins."""
        newest = next(reversed(self.cycles.values()), None)
        return newest if newest and newest.closed and newest.closed.outcome == "rejected" else None

    @property
    def epoch(self) -> int:
        """The highest epoch any change of champion has used."""
        used = [serving.change.epoch for serving in self.serving]
        return max([*used, self.changing.epoch if self.changing else 0, self.abandoned_epoch])

    @property
    def open_cycles(self) -> tuple[Cycle, ...]:
        """Cycles that have not ended, oldest first."""
        return tuple(cycle for cycle in self.cycles.values() if cycle.phase != "closed")

    def data_of(self, weights_digest: str) -> str:
        """Return the tag of the data that weights were trained on; empty if they are unknown."""
        candidates = (cycle.candidate for cycle in self.cycles.values() if cycle.candidate)
        return next((one.data_tag for one in candidates if one.weights_digest == weights_digest), "")

    def class_between(self, name: str, old_tag: str, new_tag: str) -> str:
        """Return what a class of one data version is called in a later one; empty if it was dropped."""
        tags = [version.tag for version in self.versions]
        if old_tag in tags and new_tag in tags:
            on_the_way = tags[tags.index(old_tag) : tags.index(new_tag)]
            for change in self.class_changes:
                if change.tag in on_the_way:
                    name = change.name_now(name)
        return name

    def serving_at(self, time: datetime) -> Serving | None:
        """Return what served at ``time``; None before the first promotion."""
        return next((serving for serving in reversed(self.serving) if serving.since <= time), None)


def fold(entries: Sequence[Entry], onto: LoopState | None = None) -> LoopState:
    """Read the ledger's entries, in order, into the state they make of an earlier one (default: of none)."""
    state = onto or LoopState()
    for entry in entries:
        record = read_record(entry)
        if record is not None:
            state = _apply(state, entry, record)
        state = replace(state, last_sequence=entry.sequence)
    return state


class StateReader:
    """Folds a ledger again and again, each time reading only what is new. May be shared between threads."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._lock = ledger, Lock()
        self._state = LoopState()
        self._last: Entry | None = None

    def read(self) -> LoopState:
        """Return the present state. Raises IntegrityError if the ledger was changed by hand."""
        with self._lock:
            entries = self._ledger.entries(after=self._state.last_sequence)
            if entries:
                check_chain(entries, after=self._last)
                self._state, self._last = fold(entries, self._state), entries[-1]
            return self._state


def _apply(state: LoopState, entry: Entry, record: Record) -> LoopState:
    state = _apply_to_loop(state, entry, record)
    if isinstance(record, CycleOpened):
        return _with_cycle(state, _opened(state, entry, record))
    cycle = state.cycles.get(entry.cycle)
    return _with_cycle(state, apply_to_cycle(cycle, entry, record)) if cycle else state


def _opened(state: LoopState, entry: Entry, record: CycleOpened) -> Cycle:
    opened = Cycle(entry.cycle, record, entry.at, entry.actor)
    judged = state.cycles.get(record.rejudges)
    if judged is None or judged.candidate is None:
        return opened
    return replace(opened, phase="candidate", training=judged.training, candidate=judged.candidate)


def _with_cycle(state: LoopState, cycle: Cycle) -> LoopState:
    return replace(state, cycles={**state.cycles, cycle.id: cycle})


def _apply_to_loop(state: LoopState, entry: Entry, record: Record) -> LoopState:
    match record:
        case VersionIngested():
            return replace(state, versions=(*state.versions, record), data_tag=record.tag)
        case VersionRestored():
            return replace(state, data_tag=record.tag)
        case ClassesChanging():
            return replace(state, class_changes=(*state.class_changes, record))
        case TriggerRecorded():
            return replace(
                state,
                pending_triggers={**state.pending_triggers, record.trigger_key: record},
                trigger_actors={**state.trigger_actors, record.trigger_key: entry.actor},
            )
        case TriggerSuppressed() | TriggerJoined() | CycleOpened():
            left = {key: t for key, t in state.pending_triggers.items() if key != record.trigger_key}
            return replace(state, pending_triggers=left)
        case VerdictReached():
            return replace(
                state,
                verdicts={**state.verdicts, record.candidate_digest: record},
                rolled_back=state.rolled_back - {record.candidate_digest},
            )
        case ApprovalDecided():
            return _with_approval(state, entry.at, record)
        case ChampionChanging():
            return replace(state, changing=record, changing_cycle=entry.cycle)
        case ChampionChanged():
            return _with_champion(state, Serving(entry.at, entry.actor, entry.cycle, record))
        case ChampionChangeAbandoned():
            return replace(state, changing=None, changing_cycle="", abandoned_epoch=record.epoch)
        case AgreementMeasured():
            measured = (*state.agreements.get(record.weights_digest, ()), record)
            return replace(state, agreements={**state.agreements, record.weights_digest: measured})
        case RolloutStarted():
            return _with_rollout(state, Rollout(entry.cycle, record, entry.at, since=entry.at))
        case RolloutMoved():
            return _with_move(state, entry, record)
        case SliceRecorded():
            return replace(state, slices=(*state.slices, record))
        case DriftJudged():
            judged = (entry.at, record)
            unanswered = (*state.unanswered_drift, judged)
            return replace(state, drift=(*state.drift, judged), unanswered_drift=unanswered)
        case CycleClosed():
            return replace(state, unanswered_drift=())
        case _:
            return state


def _with_approval(state: LoopState, at: datetime, decision: ApprovalDecided) -> LoopState:
    earlier = state.approvals.get(decision.weights_digest)
    if earlier and earlier[1].decision == "rejected" and earlier[1].via != "policy":
        return state
    return replace(state, approvals={**state.approvals, decision.weights_digest: (at, decision)})


def _with_champion(state: LoopState, serving: Serving) -> LoopState:
    left = {serving.change.previous_digest} if serving.change.cause == "rollback" else set()
    return replace(
        state,
        serving=(*state.serving, serving),
        changing=None,
        changing_cycle="",
        rolled_back=(state.rolled_back | left) - {serving.change.weights_digest},
    )


def _with_rollout(state: LoopState, rollout: Rollout) -> LoopState:
    return replace(state, rollouts={**state.rollouts, rollout.cycle: rollout})


def _with_move(state: LoopState, entry: Entry, move: RolloutMoved) -> LoopState:
    rollout = state.rollouts.get(entry.cycle)
    if rollout is None or rollout.is_over:
        return state  # a late move of a rollout that has ended
    if move.phase == "paused" and rollout.phase != "paused":
        rollout = replace(rollout, resumes_phase=rollout.phase, resumes_at_percent=rollout.share_percent)
    moved = replace(
        rollout,
        phase=move.phase,
        share_percent=move.share_percent,
        since=entry.at,
        moved=move,
        num_moves=rollout.num_moves + 1,
    )
    state = _with_rollout(state, moved)
    if move.phase in ("aborting", "rolled-back"):
        state = replace(state, rolled_back=state.rolled_back | {rollout.started.weights_digest})
    return state
