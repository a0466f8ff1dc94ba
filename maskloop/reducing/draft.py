"""The state while it is being folded: the fields of `LoopState`, in containers that change in place.

Also what is forgotten, and when. Open cycles, the newest closed ones and the champion are kept whole; of the
others a line each stays (`Candidate`). An entry that is about something forgotten brings it back first: the
entries are still in the ledger, and `Draft.recall` folds them again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, Final, Protocol

from maskloop.records.kinds import (
    AgreementMeasured,
    ApprovalDecided,
    ChampionChanging,
    ClassesChanging,
    DriftJudged,
    QualityMeasured,
    SliceRecorded,
    TriggerRecorded,
    VerdictReached,
    VersionIngested,
)
from maskloop.state.cycle_state import Cycle
from maskloop.state.incident_state import ChannelTrouble, Incident
from maskloop.state.loop_state import Blessing, Candidate, LabelRequest, LoopState, Rollout, Serving


@dataclass(frozen=True)
class Kept:
    """How much of the past a state keeps whole.

    Attributes:
        closed_cycles: The newest ones; with the decisions on their candidates, and their rollouts.
        versions: Data versions.
        serving: Changes of champion.
        slices: Pictures that rollouts failed on.
        quality: Measurements of champions on labels from production.
        label_requests: Pictures that were chosen to be labelled.
        incidents: Those that are over.
    """

    closed_cycles: int = 50
    versions: int = 50
    serving: int = 50
    slices: int = 20
    quality: int = 500
    label_requests: int = 10
    incidents: int = 50


KEPT: Final = Kept()


@dataclass
class Draft:
    """See `LoopState`, whose fields these are."""

    num_cycles: int = 0
    cycles: dict[str, Cycle] = field(default_factory=dict)
    candidates: dict[str, Candidate] = field(default_factory=dict)
    last_cycle_ended_at: datetime | None = None
    openings: list[datetime] = field(default_factory=list)
    trainings: list[tuple[datetime, float]] = field(default_factory=list)
    versions: list[VersionIngested] = field(default_factory=list)
    labels_by_tag: dict[str, int] = field(default_factory=dict)
    data_tag: str = ""
    data: VersionIngested | None = None
    class_changes: list[ClassesChanging] = field(default_factory=list)
    pending_triggers: dict[str, TriggerRecorded] = field(default_factory=dict)
    trigger_actors: dict[str, str] = field(default_factory=dict)
    serving: list[Serving] = field(default_factory=list)
    served: set[str] = field(default_factory=set)
    champions: list[tuple[str, str]] = field(default_factory=list)
    champion_blessing: Blessing = field(default_factory=Blessing)
    changing: ChampionChanging | None = None
    changing_cycle: str = ""
    changing_actor: str = ""
    changing_blessing: Blessing = field(default_factory=Blessing)
    epoch: int = 0
    rolled_back: set[str] = field(default_factory=set)
    named_in: dict[str, tuple[int, ...]] = field(default_factory=dict)
    last_drift: tuple[datetime, DriftJudged] | None = None
    unanswered_drift: list[tuple[datetime, DriftJudged]] = field(default_factory=list)
    verdicts: dict[str, VerdictReached] = field(default_factory=dict)
    approvals: dict[str, tuple[datetime, ApprovalDecided]] = field(default_factory=dict)
    rollouts: dict[str, Rollout] = field(default_factory=dict)
    slices: list[SliceRecorded] = field(default_factory=list)
    agreements: dict[str, tuple[AgreementMeasured, ...]] = field(default_factory=dict)
    quality: list[tuple[datetime, QualityMeasured]] = field(default_factory=list)
    label_requests: dict[str, LabelRequest] = field(default_factory=dict)
    num_incidents: int = 0
    incidents: dict[str, Incident] = field(default_factory=dict)
    channel_troubles: dict[str, ChannelTrouble] = field(default_factory=dict)
    last_sequence: int = 0

    kept: ClassVar[Kept] = KEPT

    def __post_init__(self) -> None:
        self.cycles_by_weights: dict[str, list[str]] = {}
        for one in self.candidates.values():
            self.cycles_by_weights.setdefault(one.weights_digest, []).append(one.cycle_id)
        self.num_restored = sum(not incident.is_open for incident in self.incidents.values())
        self.num_closed = sum(cycle.phase == "closed" for cycle in self.cycles.values())

    @classmethod
    def of(cls, state: LoopState) -> Draft:
        """Begin with a state, which stays as it is."""
        empty = cls()
        return cls(
            **{one.name: _thawed(getattr(state, one.name), getattr(empty, one.name)) for one in fields(cls)}
        )

    def freeze(self) -> LoopState:
        """Return the state as of now, which later changes of the draft leave alone."""
        return LoopState(**{one.name: _frozen(getattr(self, one.name)) for one in fields(self)})

    # --- what is kept ----------------------------------------------------------------------------

    def note_candidate(self, candidate: Candidate) -> None:
        """Remember whose a candidate is, for ever."""
        if candidate.cycle_id not in self.candidates:
            self.cycles_by_weights.setdefault(candidate.weights_digest, []).append(candidate.cycle_id)
        self.candidates[candidate.cycle_id] = candidate

    def note_name(self, weights_digest: str, sequence: int) -> None:
        """Remember that an entry of another cycle, or of none, may name these weights."""
        self.named_in[weights_digest] = (*self.named_in.get(weights_digest, ()), sequence)

    def is_kept_whole(self, weights_digest: str) -> bool:
        """Tell whether everything about these weights is at hand."""
        if self.champions and self.champions[-1][1] == weights_digest:
            return True
        if self.changing is not None and self.changing.weights_digest == weights_digest:
            return True
        return any(cycle in self.cycles for cycle in self.cycles_by_weights.get(weights_digest, ()))

    def forget_old(self) -> None:
        """Shorten what was closed long ago to its line."""
        while self.num_closed > self.kept.closed_cycles:
            oldest = next(cycle for cycle in self.cycles.values() if cycle.phase == "closed")
            self.num_closed -= 1
            del self.cycles[oldest.id]
            self.rollouts.pop(oldest.id, None)
            if oldest.candidate:
                self.forget_weights(oldest.candidate.weights_digest)
        del self.versions[: -self.kept.versions]
        del self.serving[: -self.kept.serving]
        del self.slices[: -self.kept.slices]
        del self.quality[: -self.kept.quality]
        while len(self.label_requests) > self.kept.label_requests:
            del self.label_requests[next(iter(self.label_requests))]
        while self.num_restored > self.kept.incidents:
            del self.incidents[next(one.id for one in self.incidents.values() if not one.is_open)]
            self.num_restored -= 1

    def forget_weights(self, weights_digest: str) -> None:
        """Drop what was decided about weights, if nothing kept whole needs it."""
        if weights_digest in self.cycles_by_weights and not self.is_kept_whole(weights_digest):
            for about in (self.verdicts, self.approvals, self.agreements):
                about.pop(weights_digest, None)

    def recall(self, weights_digest: str, past: Past) -> None:
        """Bring back what was decided about weights that were forgotten; they are about to be kept again."""
        cycles = self.cycles_by_weights.get(weights_digest)
        if not cycles or self.is_kept_whole(weights_digest):
            return
        found = past.fold_cycles(cycles)
        if weights_digest in found.verdicts:
            self.verdicts[weights_digest] = found.verdicts[weights_digest]
        if weights_digest in found.approvals:
            self.approvals[weights_digest] = found.approvals[weights_digest]
        if weights_digest in found.agreements:
            self.agreements[weights_digest] = found.agreements[weights_digest]

    def blessing_of(self, weights_digest: str) -> Blessing:
        """Return what was decided about some weights up to now."""
        return Blessing(self.verdicts.get(weights_digest), self.approvals.get(weights_digest))


class Past(Protocol):
    """What the ledger says from before the entry that is being folded."""

    def fold_cycles(self, cycles: Iterable[str]) -> Draft:
        """Fold the entries of some cycles alone."""
        ...

    def find_version(self, tag: str) -> VersionIngested | None:
        """Return the newest record of a data version."""
        ...


def _thawed(value: Any, empty: Any) -> Any:
    return type(empty)(value) if isinstance(empty, list | dict | set) else value


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        return dict(value)
    return frozenset(value) if isinstance(value, set) else value
