"""Events that the service reports while it works; `serving.telemetry` turns them into metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from evaluation.instances import ScoreThreshold
from serving.answers import Answer, HostedModel, Role, Wanted

Stage = Literal["decode", "queue", "model", "encode", "total"]
Judgement = Literal["right", "wrong"]
EngineTrouble = Literal["trial", "load", "answer", "crash"]
MirrorOutcome = Literal["compared", "challenger_failed", "champion_failed", "dropped"]


class Observer(Protocol):
    """Told from the event loop and from threads; never blocks, never raises."""

    def requests_in_flight(self, number: int) -> None:
        """So many requests are being received, answered or sent by this process."""
        ...

    def request_ended(self, *, status: int, cause: str, version: str, seconds: float) -> None:
        """A request was answered; ``cause`` is empty, or a short name such as ``overloaded``."""
        ...

    def stage_ended(self, stage: Stage, *, version: str, seconds: float) -> None:
        """One stage of one request is over; ``version`` is empty where no model is involved yet."""
        ...

    def answered(self, answer: Answer, *, score_threshold: ScoreThreshold) -> None:
        """A model answered a client: count detections and scores per class."""
        ...

    def batch_ended(self, *, role: Role, version: str, size: int, seconds: float) -> None:
        """A pass of the model is over."""
        ...

    def queue_changed(self, *, length: int, waiting_s: float) -> None:
        """Pictures wait; a new one would wait about ``waiting_s``."""
        ...

    def mirrored(self, outcome: MirrorOutcome) -> None:
        """The other model was (or was not) asked about a picture too."""
        ...

    def serving_changed(self, wanted: Wanted) -> None:
        """Another champion, challenger or share is in force."""
        ...

    def engines_changed(self, models: Sequence[HostedModel]) -> None:
        """Of the models that are in force now, which all are given, one has another engine."""
        ...

    def engine_failed(self, engine: str, trouble: EngineTrouble) -> None:
        """An engine may not, or cannot, run a model in torch's place; ``torch`` if none could be tried."""
        ...

    def loaded(self, *, seconds: float) -> None:
        """A model was loaded and warmed, which took so long."""
        ...

    def unloaded(self) -> None:
        """The model left memory to others until it is asked for."""
        ...

    def memory_changed(self, num_bytes: int) -> None:
        """What serves takes so many bytes of the memory for models; 0: it is not loaded."""
        ...

    def sampled(self, outcome: str) -> None:
        """A sample was ``kept``, or left out or ``dropped`` for a named reason."""
        ...

    def sample_log_lagged(self, *, waiting: int, oldest_s: float) -> None:
        """Report how many samples wait to be written, and how long the oldest has waited."""
        ...

    def feedback_given(self, verdict: Judgement, *, version: str) -> None:
        """A person judged an answer of this version."""
        ...


class SilentObserver:
    """Discards everything it observes."""

    def requests_in_flight(self, number: int) -> None:
        """Do nothing."""

    def request_ended(self, *, status: int, cause: str, version: str, seconds: float) -> None:
        """Do nothing."""

    def stage_ended(self, stage: Stage, *, version: str, seconds: float) -> None:
        """Do nothing."""

    def answered(self, answer: Answer, *, score_threshold: ScoreThreshold) -> None:
        """Do nothing."""

    def batch_ended(self, *, role: Role, version: str, size: int, seconds: float) -> None:
        """Do nothing."""

    def queue_changed(self, *, length: int, waiting_s: float) -> None:
        """Do nothing."""

    def mirrored(self, outcome: MirrorOutcome) -> None:
        """Do nothing."""

    def serving_changed(self, wanted: Wanted) -> None:
        """Do nothing."""

    def engines_changed(self, models: Sequence[HostedModel]) -> None:
        """Do nothing."""

    def engine_failed(self, engine: str, trouble: EngineTrouble) -> None:
        """Do nothing."""

    def loaded(self, *, seconds: float) -> None:
        """Do nothing."""

    def unloaded(self) -> None:
        """Do nothing."""

    def memory_changed(self, num_bytes: int) -> None:
        """Do nothing."""

    def sampled(self, outcome: str) -> None:
        """Do nothing."""

    def sample_log_lagged(self, *, waiting: int, oldest_s: float) -> None:
        """Do nothing."""

    def feedback_given(self, verdict: Judgement, *, version: str) -> None:
        """Do nothing."""
