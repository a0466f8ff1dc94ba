"""The whole loop in memory: every port a fake, and a model that finds red bolts and green nuts by colour.

Each picture shows one bolt and one nut, ten rows high. A model of quality 0.9 covers nine of the ten rows, so
its mask IoU is 0.9 for both classes, whatever the picture. Its "weights" are that number and what it saw.
"""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dataset.pictures.decoding import encode_png
from dataset.samples import DatasetVersion, Instance, Picture, Split
from dataset.versions.catalog import Catalog, write_catalog
from evaluation.instances import Detections
from flows.evidence.evaluate import ModelOnPictures, evaluate_model
from flows.workspace.wiring import App
from maskloop.digest import canonical_json, digest_bytes, digest_file
from maskloop.errors import IntegrityError, StoppedError
from maskloop.files import directory_written_atomically
from maskloop.ledger.ledger import Entry
from maskloop.masks import encode_masks
from maskloop.records.kinds import Record, read_record
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState, fold
from maskloop.workspace import Workspace
from models.answering.predict import Prediction
from tests.fakes.correction_log import FakeCorrectionLog
from tests.fakes.crashing import Countdown, Killed, crashing
from tests.fakes.dataset_store import FakeDatasetStore
from tests.fakes.ledger import FakeClock, FakeLedger
from tests.fakes.model_store import FakeModelStore
from tests.fakes.pair_log import FakePairLog
from tests.fakes.run_tracker import FakeRunTracker
from tests.fakes.sample_log import FakeSampleLog

CLASS_NAMES = ("bolt", "nut")
SIDE_PX, ROWS = 16, 10
SETTINGS = """
[training]
steps = 2
retrain_steps = 2
device = "cpu"

[gates]
min_instances = 2
min_pictures = 2
resamples = 200

[retraining]
min_new_labelled_samples = 3
cooldown_hours = 0
max_cycles_per_week = 100
"""


def draw_picture(number: int) -> tuple[np.ndarray, tuple[Instance, ...]]:
    """Draw picture ``number``: the blue background makes it unlike every other."""
    pixels = np.zeros((SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    pixels[..., 2] = np.random.default_rng(number).integers(0, 256, (SIDE_PX, SIDE_PX))
    instances = []
    for class_index, column in enumerate((1, 9)):
        pixels[3 : 3 + ROWS, column : column + 5, class_index] = 255
        (mask,) = encode_masks(pixels[None, ..., class_index] > 128)
        instances.append(Instance(class_index, mask))
    return pixels, tuple(instances)


@dataclass
class TinyModel:
    """Stands in for training and saving of models, and remembers what it was asked to train."""

    quality: float = 0.9
    wait_percent: float = 0.0
    error: BaseException | None = None
    countdown: Countdown | None = None
    dies_after_steps: int = 0
    ask_to_stop_at: int = 0
    stop_signal: int = signal.SIGINT
    checkpoint_every_steps: int = 1_000_000
    steps_saved: dict[Path, int] = field(default_factory=dict)
    resumed_at: list[int] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    saved: list[dict[str, Any]] = field(default_factory=list)

    def train(
        self,
        request: Any,
        *,
        on_step: Any,
        on_evaluation: Any,
        progress: Any,
        on_checkpoint: Any,
        should_stop: Any,
    ) -> Any:
        self._step()
        self.requests.append(request)
        done = self.steps_saved.get(request.checkpoint_dir, 0)
        self.resumed_at.append(done)
        for step in range(done + 1, request.steps + 1):
            on_step(step, {"mask": 1.0 / step}, request.learning_rate, 10.0, self.wait_percent)
            progress(step, request.steps)
            if step == self.ask_to_stop_at:
                signal.raise_signal(self.stop_signal)
            if step % self.checkpoint_every_steps == 0 or should_stop():
                self.steps_saved[request.checkpoint_dir] = step
                on_checkpoint(step)
            if should_stop():
                raise StoppedError(f"the training was stopped after step {step} of {request.steps}")
            if step - done == self.dies_after_steps:
                raise Killed
        if self.error:
            raise self.error
        on_evaluation(request.steps, {"mean_iou": self.quality, "loss/total": 0.25})
        return SimpleNamespace(model=self._weights(request), seconds=1.0, steps_done=request.steps)

    def save_artifact(self, directory: Path, model: bytes, **facts: Any) -> Any:
        self._step()
        self.saved.append(facts)
        with directory_written_atomically(directory) as beside:
            (beside / "weights").write_bytes(model)
        return self.verify_artifact(directory)

    @staticmethod
    def verify_artifact(directory: Path, *, expected_digest: str | None = None) -> Any:
        digest = digest_file(directory / "weights")
        if expected_digest not in (None, digest):
            raise IntegrityError("these are other weights", where=str(directory))
        return SimpleNamespace(weights_digest=digest)

    def _weights(self, request: Any) -> bytes:
        origins = [request.dataset.fingerprint, request.parent_digest, request.teacher_digest]
        seen = [*origins, request.steps, request.learning_rate]
        return canonical_json({"quality": self.quality, "seen": seen}).encode()

    def _step(self) -> None:
        if self.countdown:
            self.countdown.step(lambda: None)


class ColourPredictor:
    """Finds what is red and what is green, and covers the top ``quality`` of its rows."""

    score_threshold = 0.5
    class_names = CLASS_NAMES

    def __init__(self, quality: float) -> None:
        self.quality = quality

    @classmethod
    def load(cls, directory: Path, *, expected_digest: str | None = None, device: str = "auto") -> Any:
        TinyModel.verify_artifact(directory, expected_digest=expected_digest)
        return cls(json.loads((directory / "weights").read_bytes())["quality"])

    def predict(self, pictures: Sequence[np.ndarray]) -> list[Any]:
        return [
            Prediction(self._detect(p), embedding=np.zeros(4, np.float32), seconds=0.01) for p in pictures
        ]

    def _detect(self, pixels: np.ndarray) -> Detections:
        masks = np.stack([pixels[..., channel] > 128 for channel in (0, 1)])
        masks[:, 3 + math.floor(ROWS * self.quality + 1e-9) :] = False
        boxes = [[column, 3, column + 5, 3 + ROWS] for column in (1, 9)]
        return Detections(
            *pixels.shape[:2],
            np.array(boxes, dtype=np.float32),
            np.array([0.9, 0.8], dtype=np.float32),
            np.array([0, 1]),
            encode_masks(masks),
        )


class CrashingWrites:
    """Counts the calls that change something: to die before a look is to die after the change before it."""

    looks = frozenset(
        {"entries", "version", "versions", "with_alias", "current", "open", "url", "version_url"}
        | {"refuse_to_lose", "waiting", "num_waiting", "labels", "newest", "newest_sequence", "picture_bytes"}
        | {"counts", "judged", "metric_history"}
    )

    def __init__(self, part: Any, countdown: Countdown) -> None:
        self._part, self._counting = part, crashing(part, countdown)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part if name in self.looks else self._counting, name)


@dataclass(frozen=True)
class FakeApp(App):
    """An App whose parts are the world's fakes; each call that changes something is a place to crash."""

    world: World | None = None
    countdown: Countdown | None = None

    @cached_property
    def ledger(self) -> Any:
        return self._part("ledger")

    @cached_property
    def data(self) -> Any:
        return self._part("data")

    @cached_property
    def models(self) -> Any:
        return self._part("models")

    @cached_property
    def tracker(self) -> Any:
        return self._part("tracker")

    @cached_property
    def samples(self) -> Any:
        return self._part("samples")

    @cached_property
    def pairs(self) -> Any:
        return self._part("pairs")

    @cached_property
    def corrections(self) -> Any:
        return self._part("corrections")

    def _part(self, name: str) -> Any:
        part = getattr(self.world, name)
        return CrashingWrites(part, self.countdown) if self.countdown else part


class World:
    """One workspace, its fakes, and the people around it."""

    def __init__(
        self, root: Path, *, settings: str = "", rollout: str = "enabled = false", gates: str = ""
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        own = SETTINGS.replace("[gates]\n", f"[gates]\n{gates}")
        (root / "maskloop.toml").write_text(f"{own}\n[rollout]\n{rollout}\n\n{settings}")
        self.workspace = Workspace(root)
        self.clock = FakeClock()
        self.ledger = FakeLedger(self.clock)
        self.models = FakeModelStore()
        self.tracker = FakeRunTracker()
        self.data = FakeDatasetStore(root / "versions")
        self.samples = FakeSampleLog()
        self.corrections = FakeCorrectionLog()
        self.pairs = FakePairLog()
        self.model = TinyModel()

    def app(self, *, actor: str = "rita", countdown: Countdown | None = None) -> App:
        self.model.countdown = countdown
        return FakeApp(self.workspace, clock=self.clock, actor=actor, world=self, countdown=countdown)

    # What is there:

    @property
    def state(self) -> LoopState:
        return fold(self.ledger.entries())

    @property
    def last_cycle(self) -> Cycle:
        return list(self.state.cycles.values())[-1]

    @property
    def records(self) -> list[Record]:
        return [record for entry in self.ledger.entries() if (record := read_record(entry))]

    def of_kind(self, kind: type[Record]) -> list[Any]:
        return [record for record in self.records if isinstance(record, kind)]

    def entries_of(self, cycle: str) -> list[Entry]:
        return [entry for entry in self.ledger.entries() if entry.cycle == cycle]

    def alias(self, alias: str) -> str:
        found = self.models.with_alias(alias)
        return found.version if found else ""

    # What people do:

    def label(self, numbers: range, *, swap_classes_of: str = "") -> DatasetVersion:
        """Put labelled pictures into the data, as an ingest does before it tells the ledger.

        In the pictures added in the version ``swap_classes_of``, bolts and nuts are mixed up.
        """
        before = self.data.current()
        pictures = list(before.pictures) if before else []
        tag = f"data-v{len(self.data.versions()) + 1}"
        with self.data.staging() as folder:
            for picture in pictures:
                assert before is not None
                (folder / picture.file).parent.mkdir(parents=True, exist_ok=True)
                (folder / picture.file).write_bytes(before.path(picture).read_bytes())
            pictures += [_store(folder, number, tag) for number in numbers]
            pictures = [_swapped(one) if one.added_in == swap_classes_of else one for one in pictures]
            hashes = {picture.digest: number for number, picture in enumerate(pictures)}
            write_catalog(folder, Catalog(CLASS_NAMES, tuple(pictures), hashes))
            return self.data.commit(folder, f"pictures {numbers}")

    def tag_version(self, version: str, decision: str, *, by: str = "") -> None:
        """Edit the tags in the MLflow UI."""
        if by:
            self.models.set_tag(version, "approved_by", by)
        self.models.set_tag(version, "approval", decision)


def _swapped(picture: Picture) -> Picture:
    swapped = tuple(replace(one, class_index=1 - one.class_index) for one in picture.instances)
    return replace(picture, instances=swapped)


@cache
def _drawn(number: int) -> tuple[bytes, tuple[Instance, ...]]:
    pixels, instances = draw_picture(number)
    return encode_png(pixels), instances


def _store(folder: Path, number: int, tag: str) -> Picture:
    """Write one picture; of six, two are for the test, one for validation."""
    data, instances = _drawn(number)
    digest = digest_bytes(data)
    splits: tuple[Split, ...] = ("train", "train", "train", "val", "test", "test")
    file = f"images/{digest}.png"
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(data)
    name = f"{number:03d}.png"
    where = (SIDE_PX, SIDE_PX, "belt", digest, splits[number % 6])
    return Picture(digest, file, name, *where, tag, "human", instances)


def put_in_place(monkeypatch: pytest.MonkeyPatch, world: Callable[[], World]) -> None:
    """Replace what needs torch; whichever world is current when it is called trains.

    Nothing is waited for until it is on the disk: here processes die, but nobody cuts the power.
    """
    monkeypatch.setattr("os.fsync", lambda _file: None)
    monkeypatch.setattr("models.training.train.train", lambda *a, **k: world().model.train(*a, **k))
    monkeypatch.setattr(
        "models.artifacts.artifact.save_artifact", lambda *a, **k: world().model.save_artifact(*a, **k)
    )
    monkeypatch.setattr("models.artifacts.artifact.verify_artifact", TinyModel.verify_artifact)
    monkeypatch.setattr("models.answering.predict.Predictor", ColourPredictor)
    monkeypatch.setattr("flows.learning.train.describe_code", lambda: "0" * 40)
    monkeypatch.setattr("flows.learning.judge.draw_examples", lambda *_args, **_more: [])
    monkeypatch.setattr("flows.learning.judge.evaluate_model", _evaluate_once)
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)


_evaluations: dict[tuple[str, str], ModelOnPictures] = {}


def _evaluate_once(directory: Path, digest: str, version: DatasetVersion, *args: Any, **more: Any) -> Any:
    """Measure the same weights on the same pictures once a session: the figures are the same."""
    TinyModel.verify_artifact(directory, expected_digest=digest)
    key = (digest, version.fingerprint)
    if key not in _evaluations:
        _evaluations[key] = evaluate_model(directory, digest, version, *args, **more)
    more["progress"](1, 1)
    return _evaluations[key]
