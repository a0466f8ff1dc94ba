"""Models that answer at once or when told to, and a source that says what a test wants served."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from evaluation.instances import Detections, ScoreThreshold
from maskloop.errors import MaskloopError
from maskloop.masks import encode_masks
from maskloop.records.record import RolloutPhase
from models.answering.prediction import Prediction
from registry.champion.serving_copy import ServedModel
from serving.answers import IN_TORCH, Answer, EngineUse, HostedModel, RequestPicture, Role, Traffic, Wanted
from serving.observing import SilentObserver

CLASS_NAMES = ("bolt", "nut")


def detect(pixels: np.ndarray, *, class_index: int = 0, score: float = 0.9) -> Detections:
    """Find the bright part of a picture, as one instance."""
    height, width = pixels.shape[:2]
    mask = pixels.max(axis=2) > 128
    if not mask.any():
        empty = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
        return Detections(height, width, *empty, ())
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = [[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]]
    scores = np.array([score], np.float32)
    return Detections(
        height, width, np.array(box, np.float32), scores, np.array([class_index]), encode_masks(mask[None])
    )


@dataclass
class FakePredictor:
    """Finds what is bright. ``before`` runs in the model's thread before each pass."""

    class_index: int = 0
    score: float = 0.9
    before: Callable[[Sequence[np.ndarray]], None] = lambda _pictures: None
    class_names: tuple[str, ...] = CLASS_NAMES
    score_threshold: ScoreThreshold = 0.5
    weights_digest: str = ""
    conversion: PictureConversion = DEFAULT_CONVERSION
    passes: list[int] = field(default_factory=list)

    def predict(self, pictures: Sequence[np.ndarray], *, min_score: float | None = None) -> list[Prediction]:
        self.passes.append(len(pictures))
        self.before(pictures)
        return [
            Prediction(
                detect(pixels, class_index=self.class_index, score=self.score),
                np.full(4, pixels.mean() / 255.0, np.float32),
                0.001,
            )
            for pixels in pictures
        ]


class Gate:
    """Holds the model's thread until it is opened, and tells when it has arrived."""

    def __init__(self) -> None:
        self.arrived, self.opened = threading.Event(), threading.Event()

    def __call__(self, _pictures: Sequence[np.ndarray]) -> None:
        self.arrived.set()
        assert self.opened.wait(20), "nobody opened the gate"


def make_served(version: str = "1") -> ServedModel:
    return ServedModel(Path("models") / version, version, version * 64, "b" * 64)


def make_model(version: str = "1", role: Role = "champion", **options: Any) -> HostedModel:
    served = make_served(version)
    return HostedModel(role, served, FakePredictor(weights_digest=served.weights_digest, **options))


def passes_of(model: HostedModel) -> list[int]:
    """Return how many pictures each pass of a model of `make_model` had."""
    assert isinstance(model.predictor, FakePredictor)
    return model.predictor.passes


def make_picture(
    request_id: str = "r1", *, key: str = "", side_px: int = 16, value: int = 255
) -> RequestPicture:
    """A black picture with a bright square of 4 px."""
    pixels = np.zeros((side_px, side_px, 3), np.uint8)
    pixels[2:6, 2:6] = value
    return RequestPicture(request_id, key or request_id, b"bytes of " + request_id.encode(), pixels)


def make_answer(version: str = "1", role: Role = "champion", **options: Any) -> Answer:
    model, picture = make_model(version, role, **options), make_picture()
    return Answer(model, model.predictor.predict([picture.pixels])[0], None, {"queue": 0.0, "model": 0.01})


@dataclass
class FakeSource:
    """Says what a test wants served; ``trouble`` is raised instead while it is set."""

    champion: str = "1"
    challenger: str = ""
    traffic: Traffic = field(default_factory=Traffic)
    trouble: MaskloopError | None = None
    load_trouble: MaskloopError | None = None
    loaded: list[str] = field(default_factory=list)
    novelty: Any = None
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of each version's predictor."""
    num_bytes: int = 1
    """What each version weighs."""
    engines: dict[str, EngineUse | None] = field(default_factory=dict)
    """What should run each version; torch where nothing is said, None while that is being found out."""

    def find_engine(self, served: ServedModel) -> EngineUse | None:
        return self.engines.get(served.version, IN_TORCH)

    def wanted(self) -> Wanted:
        if self.trouble:
            raise self.trouble
        challenger = make_served(self.challenger) if self.challenger else None
        return Wanted(make_served(self.champion), challenger, self.traffic)

    def weigh(self, served: ServedModel) -> int:
        return self.num_bytes

    def load(self, served: ServedModel, role: Role) -> HostedModel:
        if self.load_trouble:
            raise self.load_trouble
        self.loaded.append(served.version)
        made = make_model(served.version, role, **self.options.get(served.version, {}))
        engine = self.find_engine(served) or IN_TORCH
        return replace(made, novelty=self.novelty, engine=engine)

    def roll_out(self, version: str, *, share_percent: float, mirror_percent: float = 0.0) -> None:
        phase: RolloutPhase = "progressing" if share_percent else "shadow"
        self.challenger = version
        self.traffic = Traffic(f"cycle-{version}", phase, share_percent, mirror_percent)


class RememberingObserver(SilentObserver):
    """Remembers what it was told, as (event, facts) pairs."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def batch_ended(self, **facts: Any) -> None:
        self.told.append(("batch", facts))

    def mirrored(self, outcome: str) -> None:
        self.told.append(("mirrored", {"outcome": outcome}))

    def stage_ended(self, stage: str, **facts: Any) -> None:
        self.told.append(("stage", {"stage": stage, **facts}))

    def requests_in_flight(self, number: int) -> None:
        self.told.append(("in flight", {"number": number}))

    def request_ended(self, **facts: Any) -> None:
        self.told.append(("request", facts))

    def sampled(self, outcome: str) -> None:
        self.told.append(("sampled", {"outcome": outcome}))

    def sample_log_lagged(self, **facts: Any) -> None:
        self.told.append(("lag", facts))

    def feedback_given(self, verdict: str, *, version: str) -> None:
        self.told.append(("feedback", {"verdict": verdict, "version": version}))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [facts for name, facts in self.told if name == event]
