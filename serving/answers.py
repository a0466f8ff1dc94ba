"""The values that the parts of the service exchange: pictures, answers, pairs, and what should serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from maskloop.records.kinds import RolloutPhase

if TYPE_CHECKING:
    from models.answering.prediction import Prediction
    from models.ports import Predictor
    from monitoring.drift.novelty import Novelty, NoveltyScorer
    from registry.champion.serving_copy import ServedModel

Role = Literal["champion", "challenger"]


@dataclass(frozen=True, eq=False)
class RequestPicture:
    """One decoded picture of one request.

    Attributes:
        request_id: Names the answer; the same id is the same request, sent again.
        key: What makes a client stick to one model during a rollout.
        data: The bytes as received, or what is kept of them (`dataset.raw.raw_file`).
        pixels: uint8 (H, W, 3), RGB, upright.
        orientation: The EXIF orientation the bytes were stored in, 1 (upright) to 8.
        trace_id: Of the request's OpenTelemetry trace; empty if it has none.
    """

    request_id: str
    key: str
    data: bytes
    pixels: NDArray[np.uint8]
    orientation: int = 1
    trace_id: str = ""


@dataclass(frozen=True)
class EngineUse:
    """What runs a model's networks, and why.

    Attributes:
        name: ``torch``, or another library.
        reason: A sentence.
    """

    name: str = "torch"
    reason: str = ""


IN_TORCH: Final = EngineUse()


@dataclass(frozen=True, eq=False)
class HostedModel:
    """A verified model in memory, warmed.

    Attributes:
        role: What it is at the moment.
        served: Which version, from which folder, under which blessing.
        predictor: Answers.
        novelty: Tells how far a picture lies from the model's own; None if nothing ever can.
        engine: What runs its networks.
    """

    role: Role
    served: ServedModel
    predictor: Predictor
    novelty: NoveltyScorer | None = None
    engine: EngineUse = IN_TORCH


@dataclass(frozen=True, eq=False)
class Answer:
    """One model's answer about one picture.

    Attributes:
        model: Who answered.
        prediction: Its instances, in the upright picture's px.
        novelty: How unlike the model's own pictures this one is, if that is known.
        stages_s: Seconds by stage: ``queue``, ``model``.
        batch_size: How many pictures shared the pass.
    """

    model: HostedModel
    prediction: Prediction
    novelty: Novelty | None
    stages_s: Mapping[str, float] = field(default_factory=dict)
    batch_size: int = 1


@dataclass(frozen=True, eq=False)
class Attempt:
    """One side of a pair: an answer, or why there is none.

    Attributes:
        weights_digest: Of the model that tried.
        answer: None if it failed.
        error: Empty if it did not.
        seconds: What the model took for this picture, its share of a batch.
    """

    weights_digest: str
    answer: Answer | None
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class PairedAnswer:
    """Champion and challenger on the same picture.

    Attributes:
        cycle_id: Whose challenger this is.
        answered_by: Whose answer the client got; the other one worked in the shadow.
        latency_s: From the request's arrival to its answer, as the client saw it.
    """

    cycle_id: str
    picture: RequestPicture
    answered_by: Role
    champion: Attempt
    challenger: Attempt
    latency_s: float = 0.0


@dataclass(frozen=True)
class Traffic:
    """How requests are divided while a rollout is under way.

    Attributes:
        cycle_id: Whose challenger rolls out; empty for none.
        phase: Of the rollout.
        share_percent: Largest share of requests that the challenger answers.
        mirror_percent: Share of pictures that the other model answers too, as far as there is capacity.
    """

    cycle_id: str = ""
    phase: RolloutPhase = "promoted"
    share_percent: float = 0.0
    mirror_percent: float = 0.0


@dataclass(frozen=True)
class Wanted:
    """What should serve now, all of it verified on disk."""

    champion: ServedModel
    challenger: ServedModel | None = None
    traffic: Traffic = Traffic()


class ModelSource(Protocol):
    """Returns what should serve. Polled; its methods block, so they never run on the event loop."""

    def wanted(self) -> Wanted:
        """Return it, from the ledger and the verified copies on disk.

        Raises:
            NotFoundError: if nothing was promoted yet.
            RefusedError: if the champion's blessing or approval does not hold.
            IntegrityError: if bytes are not the recorded ones.
            UnavailableError: if the ledger does not answer; what serves now serves on.
        """
        ...

    def find_engine(self, served: ServedModel) -> EngineUse | None:
        """Return what should run a model's networks; None while that is being found out."""
        ...

    def weigh(self, served: ServedModel) -> int:
        """Return the bytes of memory that a model is counted with: those of its files."""
        ...

    def load(self, served: ServedModel, role: Role) -> HostedModel:
        """Load a model into memory, verified once more, in torch while no engine is decided on.

        Raises:
            IntegrityError, ConfigurationError: from the model.
        """
        ...
