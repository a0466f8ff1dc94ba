"""What the ledger holds about triggers, and about a cycle up to its candidate."""

from __future__ import annotations

from typing import ClassVar

from maskloop.records.record import CycleOutcome, Record, StartsFrom, TriggerReason, WaitingFor
from maskloop.wording import count

__all__ = [
    "CandidateRegistered",
    "CycleClosed",
    "CycleOpened",
    "CycleWaiting",
    "JudgingStarted",
    "TraceSent",
    "TrainingAdvanced",
    "TrainingFailed",
    "TrainingStarted",
    "TriggerJoined",
    "TriggerRecorded",
    "TriggerSuppressed",
]


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
    """The cycle whose candidate is to be judged again, under the present gates; empty to train."""

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
    trace_id: str = ""
    """Of its OpenTelemetry trace, 32 hexadecimal digits; empty where it was not written down."""

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
    workers: int = 1
    """Processes that train together."""

    def sentence(self) -> str:
        """Say it in plain words."""
        start = f"from the weights {self.parent_digest[:12]}" if self.parent_digest else "from first weights"
        if self.teacher_digest:
            start = f"{start}, taught by the weights {self.teacher_digest[:12]}"
        together = f", {self.workers} workers" if self.workers > 1 else ""
        attempt = f"attempt {self.attempt}, run {self.run_id[:8]}{together}"
        return f"training on {self.data_tag}, {start} ({attempt})"


class TrainingAdvanced(Record):
    """An attempt at training saved a checkpoint further on than any attempt before it; once per attempt."""

    kind: ClassVar[str] = "training.advanced"
    attempt: int
    step: int
    steps: int

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"training reached step {self.step} of {self.steps} (attempt {self.attempt})"


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


class CycleClosed(Record):
    """A turn of the loop ended."""

    kind: ClassVar[str] = "cycle.closed"
    outcome: CycleOutcome
    reason: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"the cycle ended, {self.outcome}: {self.reason}"


class TraceSent(Record):
    """Steps of a cycle that have ended were sent to a trace collector, or could not be."""

    kind: ClassVar[str] = "trace.sent"
    trace_id: str
    num_spans: int
    up_to: int
    """The entry that ended the last of these steps."""
    trouble: str = ""
    """Why the collector does not have them; they are sent again with the next step."""

    def sentence(self) -> str:
        """Say it in plain words."""
        spans = count(self.num_spans, "step")
        if self.trouble:
            return f"{spans} could not be sent to the trace collector: {self.trouble}"
        return f"{spans} sent to the trace collector, in trace {self.trace_id}"
