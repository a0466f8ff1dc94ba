"""The state of the loop: a fold over the ledger. Nothing else remembers anything.

A cycle's phase follows from what was recorded::

    opened ──► training ──► candidate ──► judged ──► approved ──► promoting ──► closed
                  ▲  │                       │           │          (promoted)
                  └──┘ failed, tried again   └───────────┴─► rejected, failed or
                                                             rolled back ─────► closed

A rollout, if settings ask for one, begins with the verdict; its phases are in serving/rollout/canary.py.

The state holds open cycles and the newest closed ones whole, and of all older ones a line each: see
`Candidate`. `maskloop.folding.history` reads the rest back from the ledger when somebody asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from maskloop.records.kinds import (
    AgreementMeasured,
    ApprovalDecided,
    CandidateRegistered,
    ChampionChanged,
    ChampionChanging,
    ClassesChanging,
    DriftJudged,
    LabelsPulled,
    LabelsPushed,
    LabelsRequested,
    QualityMeasured,
    RolloutMoved,
    RolloutPhase,
    RolloutStarted,
    SliceRecorded,
    TriggerRecorded,
    VerdictReached,
    VersionIngested,
)
from maskloop.state.cycle_state import Cycle
from maskloop.state.incident_state import ChannelTrouble, Incident


@dataclass(frozen=True)
class Rollout:
    """One challenger's way into traffic, as far as it has come.

    Attributes:
        cycle_id: The turn of the loop it belongs to; its id is the rollout's.
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

    cycle_id: str
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
    cycle_id: str
    change: ChampionChanged


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the state remembers of every cycle that made, or judged again, a candidate.

    Attributes:
        cycle_id: Its id.
        version: In the registry.
        weights_digest: Of the candidate.
        data_tag: The data version it was trained on.
        requested_by: Who asked for its training.
        is_judged: A verdict on it was reached in this cycle.
    """

    cycle_id: str
    version: str
    weights_digest: str
    data_tag: str
    requested_by: str
    is_judged: bool = False

    @classmethod
    def of(cls, cycle_id: str, record: CandidateRegistered) -> Candidate:
        """Shorten the record of a cycle's candidate."""
        return cls(cycle_id, record.version, record.weights_digest, record.data_tag, record.requested_by)


@dataclass(frozen=True)
class Blessing:
    """The newest verdict and decision on some weights, as they stood when a change of champion began."""

    verdict: VerdictReached | None = None
    approval: tuple[datetime, ApprovalDecided] | None = None


@dataclass(frozen=True)
class LabelRequest:
    """Pictures that were chosen to be labelled, and how far they have come.

    Attributes:
        requested_at: UTC.
        requested: The pictures and the cause.
        cycle_id: The cycle that waits for the labels; empty for none.
        pushed: The project they are in; None until all of them are tasks there.
        pulled: What the newest pull found; None until labels came back.
    """

    requested_at: datetime
    requested: LabelsRequested
    cycle_id: str = ""
    pushed: LabelsPushed | None = None
    pulled: LabelsPulled | None = None

    @property
    def num_awaited(self) -> int:
        """The pictures whose labels are not in the data yet."""
        return max(len(self.requested.chosen) - (self.pulled.num_returned if self.pulled else 0), 0)


@dataclass(frozen=True)
class LoopState:
    """Everything the ledger says, in the form decisions need."""

    num_cycles: int = 0
    """That were ever opened."""
    cycles: dict[str, Cycle] = field(default_factory=dict)
    """Whole, oldest first: the open ones and the newest closed ones (see `draft.Kept`)."""
    candidates: dict[str, Candidate] = field(default_factory=dict)
    """Of all cycles that have one, by cycle, oldest first."""
    last_cycle_ended_at: datetime | None = None
    openings: tuple[datetime, ...] = ()
    """When the cycles of the last weeks opened that nobody asked for by hand."""
    trainings: tuple[tuple[datetime, float], ...] = ()
    """When candidates of the last weeks were registered, and how many seconds their trainings took."""
    versions: tuple[VersionIngested, ...] = ()
    """The newest data versions, oldest first."""
    labels_by_tag: dict[str, int] = field(default_factory=dict)
    """The number of newly labelled pictures of every data version, oldest first."""
    data_tag: str = ""
    """The current data version: the newest, or the one that was brought back since."""
    data: VersionIngested | None = None
    """Its record: trainings and ingests build on it."""
    class_changes: tuple[ClassesChanging, ...] = ()
    pending_triggers: dict[str, TriggerRecorded] = field(default_factory=dict)
    trigger_actors: dict[str, str] = field(default_factory=dict)
    """Who recorded the pending triggers."""
    serving: tuple[Serving, ...] = ()
    """The newest changes of champion, oldest first."""
    served: frozenset[str] = frozenset()
    """Digests of all weights that were ever champion."""
    champions: tuple[tuple[str, str], ...] = ()
    """Version and weights digest of the champions not rolled back from, oldest first; the last one serves."""
    champion_blessing: Blessing = field(default_factory=Blessing)
    """What allowed the champion to serve."""
    changing: ChampionChanging | None = None
    changing_cycle: str = ""
    changing_actor: str = ""
    changing_blessing: Blessing = field(default_factory=Blessing)
    """What allows the change under way."""
    epoch: int = 0
    """The highest epoch any change of champion has used."""
    rolled_back: frozenset[str] = frozenset()
    """Weights digests that were rolled back from, and not judged again since."""
    named_in: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """By weights digest: the numbers of the entries about champions and slices that name them."""
    last_drift: tuple[datetime, DriftJudged] | None = None
    """The newest verdict on a window of production."""
    unanswered_drift: tuple[tuple[datetime, DriftJudged], ...] = ()
    """The verdicts since a cycle last ended: an ended cycle has answered those before it."""
    verdicts: dict[str, VerdictReached] = field(default_factory=dict)
    """By the candidate's weights digest; the newest verdict on them, for the cycles kept and the champion."""
    approvals: dict[str, tuple[datetime, ApprovalDecided]] = field(default_factory=dict)
    """Likewise; the newest decision on them, where a person's no is final."""
    rollouts: dict[str, Rollout] = field(default_factory=dict)
    """By cycle, for the cycles kept."""
    slices: tuple[SliceRecorded, ...] = ()
    """The newest ones, oldest first."""
    agreements: dict[str, tuple[AgreementMeasured, ...]] = field(default_factory=dict)
    """By weights digest, for the cycles kept and the champion: on the pictures they were judged on, and on
    those that came since."""
    quality: tuple[tuple[datetime, QualityMeasured], ...] = ()
    """The newest measurements of champions on labels from production, oldest first."""
    label_requests: dict[str, LabelRequest] = field(default_factory=dict)
    """The newest ones by id, oldest first."""
    num_incidents: int = 0
    """That there ever were."""
    incidents: dict[str, Incident] = field(default_factory=dict)
    """By id, oldest first: the open ones and the newest of those that are over."""
    channel_troubles: dict[str, ChannelTrouble] = field(default_factory=dict)
    """By name: the channels that do not take messages."""
    last_sequence: int = 0

    @property
    def rollout(self) -> Rollout | None:
        """The rollout under way, if there is one."""
        return next((one for one in reversed(self.rollouts.values()) if not one.is_over), None)

    @property
    def newest_tag(self) -> str:
        """The tag of the data version that came last; empty for none."""
        return next(reversed(self.labels_by_tag), "")

    @property
    def champion(self) -> ChampionChanged | None:
        """The change that made the present champion, if there is one."""
        return self.serving[-1].change if self.serving else None

    @property
    def newest_cycle(self) -> Cycle | None:
        """The cycle that was opened last."""
        return next(reversed(self.cycles.values()), None)

    @property
    def unanswered_failure(self) -> Cycle | None:
        """The newest cycle, if it failed: the next one to train takes up what it was opened for."""
        newest = self.newest_cycle
        return newest if newest and newest.closed and newest.closed.outcome == "failed" else None

    @property
    def newest_rejection(self) -> Cycle | None:
        """The newest cycle, if its candidate was rejected: nothing says so any more once another begins."""
        newest = self.newest_cycle
        return newest if newest and newest.closed and newest.closed.outcome == "rejected" else None

    @property
    def open_cycles(self) -> tuple[Cycle, ...]:
        """Cycles that have not ended, oldest first."""
        return tuple(cycle for cycle in self.cycles.values() if cycle.phase != "closed")

    @property
    def open_requests(self) -> tuple[LabelRequest, ...]:
        """The requests that labels are still to come for, oldest first."""
        return tuple(one for one in self.label_requests.values() if one.num_awaited)

    @property
    def open_incidents(self) -> tuple[Incident, ...]:
        """The incidents whose condition goes on, oldest first."""
        return tuple(one for one in self.incidents.values() if one.is_open)

    def owner_of(self, weights_digest: str) -> Candidate | None:
        """Return the candidate that has these weights, None if they are unknown.

        The same training again makes the same weights, and a candidate can be judged again: of several
        cycles the newest owns them.
        """
        owners = self.owners_of(weights_digest)
        return owners[-1] if owners else None

    def owners_of(self, weights_digest: str) -> tuple[Candidate, ...]:
        """Return the candidates of all cycles that made or judged these weights, oldest first."""
        return tuple(self._by_weights.get(weights_digest, ()))

    def candidate_of(self, version: str) -> Candidate | None:
        """Return the candidate that is this version in the registry, as its newest cycle has it."""
        return self._by_version.get(version)

    def version_of(self, weights_digest: str) -> str:
        """Return the version that has these weights; empty if they are unknown."""
        owner = self.owner_of(weights_digest)
        return owner.version if owner else ""

    def data_of(self, weights_digest: str) -> str:
        """Return the tag of the data that weights were trained on; empty if they are unknown."""
        owner = self.owner_of(weights_digest)
        return owner.data_tag if owner else ""

    def requester_of(self, weights_digest: str) -> str:
        """Return who asked for the training of these weights; empty if they are unknown."""
        owner = self.owner_of(weights_digest)
        return owner.requested_by if owner else ""

    def was_promoted(self, version: str) -> bool:
        """Tell whether a version ever became champion, or is about to."""
        candidate = self.candidate_of(version)
        has_served = candidate is not None and candidate.weights_digest in self.served
        return has_served or (self.changing is not None and self.changing.version == version)

    def count_new_labels(self, since_tag: str) -> int:
        """Count the pictures labelled or relabelled after ``since_tag`` (all of them, if it is unknown).

        Those of versions later than the current one do not count: a restore has taken them out of the data.
        """
        tags = list(self.labels_by_tag)
        first = tags.index(since_tag) + 1 if since_tag in self.labels_by_tag else 0
        end = tags.index(self.data_tag) + 1 if self.data_tag in self.labels_by_tag else len(tags)
        return sum(self.labels_by_tag[tag] for tag in tags[first:end])

    def class_between(self, name: str, old_tag: str, new_tag: str) -> str:
        """Return what a class of one data version is called in a later one; empty if it was dropped."""
        tags = list(self.labels_by_tag)
        if self.class_changes and old_tag in self.labels_by_tag and new_tag in self.labels_by_tag:
            on_the_way = tags[tags.index(old_tag) : tags.index(new_tag)]
            for change in self.class_changes:
                if change.tag in on_the_way:
                    name = change.name_now(name)
        return name

    @cached_property
    def _by_weights(self) -> dict[str, list[Candidate]]:
        found: dict[str, list[Candidate]] = {}
        for one in self.candidates.values():
            found.setdefault(one.weights_digest, []).append(one)
        return found

    @cached_property
    def _by_version(self) -> dict[str, Candidate]:
        return {one.version: one for one in self.candidates.values()}
