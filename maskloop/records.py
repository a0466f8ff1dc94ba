"""What the ledger can hold: one frozen class per kind of entry, each of which prints as a sentence.

A record never changes once a version of maskloop has written it: fields are only ever added, with a default,
so that entries written by any earlier version stay readable (tests/records/).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from maskloop.ledger import Entry, Ledger
from maskloop.wording import count

TriggerReason = Literal["manual", "schedule", "drift", "labels"]
Outcome = Literal["pass", "inconclusive", "fail"]
WaitingFor = Literal["labels", "training", "approval", "retry", "rollout"]
CycleOutcome = Literal["promoted", "rejected", "failed", "abandoned"]
StartsFrom = Literal["champion", "first-weights"]
RolloutPhase = Literal["shadow", "progressing", "paused", "promoting", "promoted", "aborting", "rolled-back"]


class Record(BaseModel):
    """One thing that happened."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
    kind: ClassVar[str]

    def sentence(self) -> str:
        """Say it in plain words."""
        raise NotImplementedError


class VersionIngested(Record):
    """A data version was committed, pushed, verified and tagged."""

    kind: ClassVar[str] = "data.ingested"
    tag: str
    fingerprint: str
    dvc_md5: str
    git_commit: str
    source: str
    num_pictures: int
    num_new_pictures: int
    num_new_labelled: int
    """New or relabelled pictures: what counts as fresh labels for retraining."""
    num_quarantined: int
    balance: dict[str, int] = {}
    """What came with the batch, what was kept, and what was not and why, in numbers."""

    def sentence(self) -> str:
        """Say it in plain words."""
        left_out = f", {self.num_quarantined} left out" if self.num_quarantined else ""
        num_relabelled = self.num_new_labelled - self.num_new_pictures
        relabelled = f", {num_relabelled} relabelled" if num_relabelled else ""
        return (
            f"{self.tag}: {count(self.num_new_pictures, 'new picture')} from {self.source}{relabelled}"
            f"{left_out}; {self.num_pictures} in all"
        )


class VersionRestored(Record):
    """An earlier or later data version became the current one; trainings and ingests build on it."""

    kind: ClassVar[str] = "data.restored"
    tag: str
    previous_tag: str
    """The version that was current before, as far as the ledger knows."""
    fingerprint: str
    num_pictures: int
    by: str
    why: str = ""

    def sentence(self) -> str:
        """Say it in plain words."""
        instead = f" in place of {self.previous_tag}" if self.previous_tag else ""
        why = f": {self.why}" if self.why else ""
        return f"{self.by} brought back {self.tag}{instead} ({count(self.num_pictures, 'picture')}){why}"


class ClassesChanging(Record):
    """A person decided to drop, rename or merge classes; the data version that follows has the new ones."""

    kind: ClassVar[str] = "classes.changing"
    tag: str
    """The version that is changed."""
    dropped: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    merged: tuple[tuple[str, str], ...] = ()
    """Pairs of a class and the one its instances went to."""
    num_instances_lost: int = 0
    num_pictures_losing: int = 0
    class_names: tuple[str, ...]
    """Afterwards."""
    by: str
    why: str = ""

    def sentence(self) -> str:
        """Say it in plain words."""
        lost = f" with {count(self.num_instances_lost, 'instance')}"
        done = [f"drops {', '.join(map(repr, self.dropped))}{lost}"] if self.dropped else []
        done += [f"renames {old!r} to {new!r}" for old, new in self.renamed]
        done += [f"merges {name!r} into {into!r}" for name, into in self.merged]
        why = f": {self.why}" if self.why else ""
        return f"{self.by} {', '.join(done)} in {self.tag}{why}"

    def name_now(self, name: str) -> str:
        """Return what a class is called afterwards; empty if it was dropped."""
        if name in self.dropped:
            return ""
        into = dict(self.merged).get(name, name)
        return dict(self.renamed).get(into, into)


class TriggerRecorded(Record):
    """Something asked for a turn of the loop."""

    kind: ClassVar[str] = "trigger.recorded"
    trigger_key: str
    reason: TriggerReason
    detail: str
    baseline_tag: str = ""
    """The data version current at that moment: what came after it counts as new labels."""
    starts_from: StartsFrom = "champion"
    is_taught: bool = False
    """The champion teaches the network in training, which starts from first weights."""
    rejudges: str = ""
    """The cycle whose candidate is to be judged again, under the gates of now; empty to train."""

    def sentence(self) -> str:
        """Say it in plain words."""
        wanted = "another verdict" if self.rejudges else "a training"
        return f"{wanted} was asked for ({self.reason}): {self.detail}"


class TriggerSuppressed(Record):
    """A trigger was answered without opening a cycle."""

    kind: ClassVar[str] = "trigger.suppressed"
    trigger_key: str
    reason: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"the request {self.trigger_key} was set aside: {self.reason}"


class TriggerJoined(Record):
    """A trigger was answered with the cycle that was open already; it is one more reason for that cycle."""

    kind: ClassVar[str] = "trigger.joined"
    trigger_key: str
    reason: TriggerReason
    detail: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"one more reason for the cycle that is open ({self.reason}): {self.detail}"


class CycleOpened(Record):
    """A turn of the loop began."""

    kind: ClassVar[str] = "cycle.opened"
    trigger_key: str
    reason: TriggerReason
    detail: str
    baseline_tag: str = ""
    starts_from: StartsFrom = "champion"
    is_taught: bool = False
    rejudges: str = ""
    """The cycle whose candidate is judged again instead of training one; empty to train."""
    takes_up: tuple[str, ...] = ()
    """Failed cycles before it, whose triggers it answers too."""

    def sentence(self) -> str:
        """Say it in plain words."""
        also = f"; it takes up what {' and '.join(self.takes_up)} failed at" if self.takes_up else ""
        opened = "judging again" if self.rejudges else "training" if self.reason == "manual" else "retraining"
        return f"{opened} opened: {self.detail}{also}"


class CycleWaiting(Record):
    """A cycle cannot go on by itself just now."""

    kind: ClassVar[str] = "cycle.waiting"
    waiting_for: WaitingFor
    reason: str
    way_out: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"waiting for {self.waiting_for}: {self.reason}; {self.way_out}"


class TrainingStarted(Record):
    """An attempt at training began."""

    kind: ClassVar[str] = "training.started"
    attempt: int
    data_tag: str
    data_fingerprint: str
    settings_digest: str
    code_revision: str
    parent_digest: str
    """Weights the training starts from; empty for none."""
    run_id: str
    device: str
    teacher_digest: str = ""
    """Weights it learns from beside the labels; empty for none."""

    def sentence(self) -> str:
        """Say it in plain words."""
        start = f"from the weights {self.parent_digest[:12]}" if self.parent_digest else "from first weights"
        if self.teacher_digest:
            start = f"{start}, taught by the weights {self.teacher_digest[:12]}"
        attempt = f"attempt {self.attempt}, run {self.run_id[:8]}"
        return f"training on {self.data_tag}, {start} ({attempt})"


class TrainingAdvanced(Record):
    """An attempt at training saved a checkpoint further on than any attempt before it; once per attempt."""

    kind: ClassVar[str] = "training.advanced"
    attempt: int
    step: int
    steps: int

    def sentence(self) -> str:
        """Say it in plain words."""
        saved = f"step {self.step} of {self.steps} is saved"
        return f"attempt {self.attempt} got further than those before: {saved}"


class JudgingStarted(Record):
    """The evaluation of a candidate began."""

    kind: ClassVar[str] = "judging.started"
    attempt: int
    version: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"judging of version {self.version} began (attempt {self.attempt})"


class TrainingFailed(Record):
    """An attempt at training or judging ended without a result."""

    kind: ClassVar[str] = "training.failed"
    attempt: int
    reason: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"attempt {self.attempt} failed: {self.reason}"


class CandidateRegistered(Record):
    """A trained model became a version in the registry."""

    kind: ClassVar[str] = "candidate.registered"
    version: str
    weights_digest: str
    run_id: str
    data_tag: str
    data_fingerprint: str
    seconds: float
    requested_by: str
    threshold_sources: tuple[str, ...] = ()
    """The sources of pictures that classes' own thresholds were fitted on; none without such thresholds."""

    def sentence(self) -> str:
        """Say it in plain words."""
        return (
            f"version {self.version} ({self.weights_digest[:12]}) was trained on {self.data_tag} "
            f"in {self.seconds:.0f} s and registered"
        )


class Check(Record):
    """One line of a verdict."""

    kind: ClassVar[str] = ""
    name: str
    outcome: Outcome
    measured: float | None
    required: float | None
    reason: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"{self.name}: {self.outcome} ({self.reason})"


class VerdictReached(Record):
    """The gates judged a candidate. With outcome ``pass`` or ``inconclusive`` it can become a blessing."""

    kind: ClassVar[str] = "verdict.reached"
    blessing_id: str
    """Digest of everything that was judged: candidate, champion, pictures, policy and checks."""
    outcome: Outcome
    checks: tuple[Check, ...]
    candidate_version: str
    candidate_digest: str
    champion_digest: str
    data_tag: str
    data_fingerprint: str
    policy_digest: str
    evaluated_pictures_digest: str

    def sentence(self) -> str:
        """Say it in plain words."""
        version, gates = f"version {self.candidate_version}", count(len(self.checks), "gate")
        if self.outcome == "pass":
            return f"{version} passes {'the only gate' if len(self.checks) == 1 else f'all {gates}'}"
        worst = [check.reason for check in self.checks if check.outcome == self.outcome]
        why = "; ".join([*worst[:3], *([f"and {len(worst) - 3} more"] if len(worst) > 3 else [])])
        if self.outcome == "fail":
            return f"{version} fails {len(worst)} of {gates}: {why}"
        return f"{version} needs a person's judgement, {len(worst)} of {gates} cannot tell: {why}"


class ApprovalDecided(Record):
    """A person, or the policy, said yes or no to one set of weights."""

    kind: ClassVar[str] = "approval.decided"
    decision: Literal["approved", "rejected"]
    version: str
    weights_digest: str
    blessing_id: str
    by: str
    why: str
    via: Literal["mlflow", "cli", "policy"]
    policy_digest: str = ""
    """Of the gates a no of the policy was said under: it holds as long as these are the gates."""

    def sentence(self) -> str:
        """Say it in plain words."""
        why = f": {self.why}" if self.why else ""
        return f"{self.by} {self.decision} version {self.version} ({self.via}){why}"


class AgreementMeasured(Record):
    """How a champion differs from the truth, measured as a rollout measures how two models differ."""

    kind: ClassVar[str] = "agreement.measured"
    weights_digest: str
    agreement: float
    """0..1: `evaluation.agreement.PerfectChallenger` explains the four figures."""
    lowest_count_shift: float = 0.0
    highest_count_shift: float = 0.0
    class_flips: float = 0.0
    num_pictures: int
    data_tag: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return (
            f"model {self.weights_digest[:12]}: agreement with the labels {self.agreement:.2f} "
            f"({count(self.num_pictures, 'picture')} of {self.data_tag}), for the limits of a rollout"
        )


class RolloutStarted(Record):
    """A blessed challenger begins to answer beside the champion, in the shadow."""

    kind: ClassVar[str] = "rollout.started"
    version: str
    weights_digest: str
    blessing_id: str
    champion_version: str
    champion_digest: str
    steps_percent: tuple[float, ...]
    required_agreement: float
    lowest_count_shift: float = -1.0
    highest_count_shift: float = 1.0
    max_class_flips: float = 1.0
    settings_digest: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return (
            f"the rollout of version {self.version} begins, in the shadow of version {self.champion_version}"
        )


class RolloutMoved(Record):
    """A rollout changed its phase or its share of traffic. From here on that share holds everywhere."""

    kind: ClassVar[str] = "rollout.moved"
    event: str
    """What in the transition table (serving/canary.py) led here."""
    phase: RolloutPhase
    share_percent: float
    reason: str
    num_compared: int = 0
    checks: tuple[Check, ...] = ()

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"rollout {self.phase} at {self.share_percent:g} %: {self.reason}"


class SliceRecorded(Record):
    """The pictures a rollout failed on were kept; the next candidate is asked about them."""

    kind: ClassVar[str] = "slice.recorded"
    slice_id: str
    weights_digest: str
    """Of the challenger that failed on them."""
    reference_digest: str
    """Of the champion whose answers are the reference until people have corrected them."""
    num_pictures: int
    pictures_digest: str
    failed_checks: tuple[str, ...]
    required_agreement: float = 0.5
    """With the reference, over these pictures."""

    def sentence(self) -> str:
        """Say it in plain words."""
        why = ", ".join(self.failed_checks)
        pictures = count(self.num_pictures, "picture")
        was = "was" if self.num_pictures == 1 else "were"
        return f"{pictures} {was} kept as slice {self.slice_id}: {why}"


class ChampionChanging(Record):
    """The intent to move ``champion``; a crash after it is completed by the next reconcile."""

    kind: ClassVar[str] = "champion.changing"
    epoch: int
    version: str
    weights_digest: str
    previous_version: str
    previous_digest: str
    cause: Literal["promotion", "rollback"]
    why: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"{self.cause} of version {self.version} begins"


class ChampionChanged(Record):
    """``champion`` moved. From here on these weights serve, whatever the registry's alias says."""

    kind: ClassVar[str] = "champion.changed"
    epoch: int
    version: str
    weights_digest: str
    previous_version: str
    previous_digest: str
    cause: Literal["promotion", "rollback"]
    why: str
    alias_moved: bool = True
    """False for a rollback while the registry was away: the next reconcile moves its alias."""

    def sentence(self) -> str:
        """Say it in plain words."""
        instead = f" instead of version {self.previous_version}" if self.previous_version else ""
        return (
            f"version {self.version} ({self.weights_digest[:12]}) serves{instead} ({self.cause}): {self.why}"
        )


class ChampionChangeAbandoned(Record):
    """A change of ``champion`` could not be completed; what served before serves on."""

    kind: ClassVar[str] = "champion.abandoned"
    epoch: int
    version: str
    reason: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"the change to version {self.version} was abandoned: {self.reason}"


class AliasTampered(Record):
    """Somebody moved or removed an alias by hand; it was put back."""

    kind: ClassVar[str] = "alias.tampered"
    alias: str
    found_version: str
    expected_version: str

    def sentence(self) -> str:
        """Say it in plain words."""
        found = f"at version {self.found_version}" if self.found_version else "gone"
        due = f"belongs to version {self.expected_version}" if self.expected_version else "belongs nowhere"
        return f"the alias {self.alias} was {found} but {due}; what serves did not change"


class DriftJudged(Record):
    """One window of production was compared with the champion's baseline."""

    kind: ClassVar[str] = "drift.judged"
    outcome: Literal["drift", "quiet", "inconclusive"]
    reason: str
    window_id: str
    num_samples: int
    missing_percent: float
    baseline_digest: str
    weights_digest: str
    threshold_digest: str
    drifted_features: tuple[str, ...]
    report: str
    """Path of the HTML report relative to the workspace."""
    sources: tuple[str, ...] = ()
    """Where the window's pictures came from, in alphabetical order; empty in old records."""

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"{self.headline()}: {self.reason}"

    def headline(self) -> str:
        """Say the outcome alone."""
        of_sources = f" of {', '.join(self.sources)}" if self.sources else ""
        samples = f"{count(self.num_samples, 'sample')}{of_sources}"
        if self.outcome == "inconclusive":
            return f"{samples} cannot tell whether production has drifted"
        return f"production has {'' if self.outcome == 'drift' else 'not '}drifted ({samples})"


class CycleClosed(Record):
    """A turn of the loop ended."""

    kind: ClassVar[str] = "cycle.closed"
    outcome: CycleOutcome
    reason: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"the cycle ended, {self.outcome}: {self.reason}"


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
