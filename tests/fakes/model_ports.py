"""Models without torch: they find red bolts and green nuts by colour, and train in no time.

A model of quality 0.9 covers nine of an instance's ten rows, so its mask IoU is 0.9 for both classes,
whatever the picture. Its "weights" are that number and what it saw.
"""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dataset.labelled_pictures import LabelledInstance, LabelledPicture
from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from evaluation.instances import Detections, GroundTruth, ScoreThreshold
from maskloop.digest import canonical_json, digest_file
from maskloop.errors import ConfigurationError, IntegrityError, NotFoundError, StoppedError, TrainingError
from maskloop.files import directory_written_atomically
from maskloop.masks import encode_masks
from maskloop.settings.backbones import BACKBONES
from maskloop.settings.model_settings import ModelSettings
from models.answering.prediction import Prediction
from models.artifacts.manifest import ArtifactFacts, ArtifactManifest, label_schema_digest
from models.exports.manifest import EXPORT_FILE, ExportFormat, ExportManifest
from models.loading.request import OnEvaluation, OnStep, TrainingRequest
from models.training.anchor_fit import AnchorShapes
from tests.fakes.crashing import Countdown, Killed

CLASS_NAMES = ("bolt", "nut")
SIDE_PX, ROWS = 16, 10
_WEIGHTS = "weights"
_CONVERSION = "conversion.json"


def draw_picture(number: int) -> tuple[np.ndarray, tuple[LabelledInstance, ...]]:
    """Draw picture ``number``: the blue background makes it unlike every other."""
    pixels = np.zeros((SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    pixels[..., 2] = np.random.default_rng(number).integers(0, 256, (SIDE_PX, SIDE_PX))
    instances = []
    for class_index, column in enumerate((1, 9)):
        pixels[3 : 3 + ROWS, column : column + 5, class_index] = 255
        (mask,) = encode_masks(pixels[None, ..., class_index] > 128)
        instances.append(LabelledInstance(class_index, mask))
    return pixels, tuple(instances)


class ColourPredictor:
    """Finds what is red and what is green, and covers the top ``quality`` of its rows."""

    def __init__(
        self,
        quality: float,
        *,
        score_threshold: ScoreThreshold = 0.5,
        weights_digest: str = "",
        before: Callable[[], None] | None = None,
        conversion: PictureConversion = DEFAULT_CONVERSION,
    ) -> None:
        self.before = before
        self.quality, self.score_threshold, self.weights_digest = quality, score_threshold, weights_digest
        self.class_names, self.conversion = CLASS_NAMES, conversion

    def predict(self, pictures: Sequence[np.ndarray], *, min_score: float | None = None) -> list[Prediction]:
        if self.before:
            self.before()
        predictions = []
        for pixels in pictures:
            found = self._detect(pixels)
            kept = found.select(found.scores >= (min_score or 0.0))
            predictions.append(Prediction(kept, embedding=np.zeros(4, np.float32), seconds=0.01))
        return predictions

    def _detect(self, pixels: np.ndarray) -> Detections:
        masks = np.stack([pixels[..., channel] > 128 for channel in (0, 1)])
        masks[:, 3 + math.floor(ROWS * self.quality + 1e-9) :] = False
        boxes = [[column, 3, column + 5, 3 + ROWS] for column in (1, 9)]
        height_px, width_px = pixels.shape[:2]
        return Detections(
            height_px,
            width_px,
            np.array(boxes, dtype=np.float32),
            np.array([0.9, 0.8], dtype=np.float32),
            np.array([0, 1]),
            encode_masks(masks),
        )


@dataclass
class FakePredictors:
    """Loads what a `FakeTrainer` saved. What it loads calls ``before`` before each pass."""

    before: Callable[[], None] | None = None

    def load(
        self, directory: Path, *, expected_digest: str | None = None, device: str = "auto"
    ) -> ColourPredictor:
        digest = self.verify(directory, expected_digest=expected_digest).weights_digest
        quality = json.loads((directory / _WEIGHTS).read_bytes())["quality"]
        conversion = DEFAULT_CONVERSION
        if (directory / _CONVERSION).exists():
            conversion = PictureConversion.from_json(json.loads((directory / _CONVERSION).read_bytes()))
        return ColourPredictor(quality, weights_digest=digest, before=self.before, conversion=conversion)

    def verify(self, directory: Path, *, expected_digest: str | None = None) -> ArtifactManifest:
        if not (directory / _WEIGHTS).exists():
            raise NotFoundError("there is no model here", where=str(directory))
        digest = digest_file(directory / _WEIGHTS)
        if expected_digest not in (None, digest):
            raise IntegrityError("these are other weights", where=str(directory))
        return _manifest(digest)


def _manifest(weights_digest: str, facts: ArtifactFacts | None = None) -> ArtifactManifest:
    facts = facts or ArtifactFacts(CLASS_NAMES, ModelSettings(), 0.5)
    return ArtifactManifest(
        class_names=facts.class_names,
        label_schema_digest=label_schema_digest(facts.class_names),
        model=facts.settings,
        score_threshold=facts.score_threshold,
        class_score_thresholds=dict(facts.class_score_thresholds),
        weights_digest=weights_digest,
        files={_WEIGHTS: weights_digest},
        parent_digest=facts.parent_digest,
        teacher_digest=facts.teacher_digest,
        dataset_tag=facts.dataset_tag,
        dataset_fingerprint=facts.dataset_fingerprint,
        conversion=facts.conversion,
        settings_digest=facts.settings_digest,
        code_revision=facts.code_revision,
        environment={},
        created_at="2026-01-01T00:00:00+00:00",
    )


@dataclass(frozen=True)
class FakeTrainedModel:
    """What a `FakeTrainer` made; saving it is a place to crash."""

    trainer: FakeTrainer
    weights: bytes
    steps_done: int
    seconds: float = 1.0

    def calibrate(
        self,
        pictures: Sequence[LabelledPicture],
        pixels_of: Callable[[LabelledPicture], np.ndarray],
        *,
        class_names: tuple[str, ...],
        min_instances: int,
        device: str,
    ) -> Mapping[str, float]:
        for picture in pictures:
            assert pixels_of(picture).shape[:2] == (picture.height_px, picture.width_px)
        self.trainer.calibrated_on.append((tuple(pictures), min_instances))
        return self.trainer.thresholds

    def save(self, directory: Path, facts: ArtifactFacts) -> ArtifactManifest:
        self.trainer.step()
        self.trainer.saved.append(facts)
        with directory_written_atomically(directory) as beside:
            (beside / _WEIGHTS).write_bytes(self.weights)
            (beside / _CONVERSION).write_text(json.dumps(facts.conversion.to_json()))
        return _manifest(digest_file(directory / _WEIGHTS), facts)


@dataclass
class FakeTrainer:
    """Trains as told, and remembers what it was asked to train."""

    quality: float = 0.9
    wait_percent: float = 0.0
    error: BaseException | None = None
    countdown: Countdown | None = None
    dies_after_steps: int = 0
    ask_to_stop_at: int = 0
    stop_signal: int = signal.SIGINT
    checkpoint_every_steps: int = 1_000_000
    thresholds: dict[str, float] = field(default_factory=dict)
    steps_saved: dict[Path, int] = field(default_factory=dict)
    resumed_at: list[int] = field(default_factory=list)
    requests: list[TrainingRequest] = field(default_factory=list)
    saved: list[ArtifactFacts] = field(default_factory=list)
    calibrated_on: list[tuple[tuple[LabelledPicture, ...], int]] = field(default_factory=list)

    def train(
        self,
        request: TrainingRequest,
        *,
        on_step: OnStep,
        on_evaluation: OnEvaluation,
        progress: Callable[[int, int], None],
        on_checkpoint: Callable[[int], None],
        should_stop: Callable[[], bool],
    ) -> FakeTrainedModel:
        self.step()
        if not request.dataset.by_split["train"]:
            raise TrainingError("there is nothing to train on")
        self.requests.append(request)
        done = self.steps_saved.get(request.checkpoint_dir, 0)
        self.resumed_at.append(done)
        for step in range(done + 1, request.steps + 1):
            losses = {"loss/total": 1.0 / step, "loss/mask": 1.0 / step}
            on_step(step, losses, request.learning_rate, 10.0, self.wait_percent)
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
        return FakeTrainedModel(self, self._weights(request), request.steps)

    def preview(
        self, request: TrainingRequest, load_picture: Callable[[Path], np.ndarray]
    ) -> Iterator[tuple[np.ndarray, GroundTruth]]:
        from models.training.trainer import TorchTrainer

        return TorchTrainer().preview(request, load_picture)  # what the eye is shown is never a fake's

    def present_anchors(self, settings: ModelSettings) -> tuple[AnchorShapes, tuple[int, ...]]:
        spec = BACKBONES[settings.backbone]
        sizes = settings.anchor_sizes_px or spec.anchor_sizes_px
        return AnchorShapes(sizes, settings.anchor_aspect_ratios), spec.strides_px

    def step(self) -> None:
        """Be a place to crash."""
        if self.countdown:
            self.countdown.step(lambda: None)

    def _weights(self, request: TrainingRequest) -> bytes:
        origins = [request.dataset.fingerprint, request.parent_digest, request.teacher_digest]
        seen = [*origins, request.steps, request.learning_rate]
        return canonical_json({"quality": self.quality, "seen": seen}).encode()


class BlankArtist:
    """Draws nothing, at once: what is drawn matters only to the tests that hand in the real one."""

    def draw_overlay(self, *_seen: Any, long_side_px: int | None = None) -> np.ndarray:
        return np.zeros((1, 1, 3), np.uint8)

    def draw_truth(self, *_seen: Any, long_side_px: int | None = None) -> np.ndarray:
        return np.zeros((1, 1, 3), np.uint8)

    def montage(self, *_seen: Any, columns: int) -> np.ndarray:
        return np.zeros((1, 1, 3), np.uint8)


@dataclass
class FakeMachine:
    """A CPU with one core that computes in float32."""

    cores_used: list[int] = field(default_factory=list)

    def device(self, name: str) -> str:
        if name not in ("auto", "cpu"):
            raise ConfigurationError(f"the device {name!r} was asked for, and this machine has only cpu")
        return "cpu"

    def uses_bf16(self, precision: str, device: str) -> bool:
        return precision == "bf16"

    def environment(self) -> dict[str, str]:
        return {"cpu": "AVX2", "gpu": "none", "threads": "1", "torch": "0"}

    def count_cores(self, device: str) -> int:
        return 1

    def use_cores(self, count: int) -> None:
        self.cores_used.append(count)


@dataclass
class FakeExporter:
    """An export is a file that holds the quality of its answers, by default the model's."""

    quality: float | None = None
    calibrated_with: list[str] = field(default_factory=list)
    error: Exception | None = None
    is_missing: bool = False
    countdown: Countdown | None = None

    def check_format(self, wanted: ExportFormat) -> None:
        if self.is_missing:
            raise ConfigurationError(f"{wanted} needs a package", hint="install maskloop[export]")

    def write(
        self,
        directory: Path,
        artifact: Path,
        wanted: ExportFormat,
        *,
        expected_digest: str,
        calibration: Sequence[tuple[str, np.ndarray]],
        progress: Callable[[int, int], None],
    ) -> ExportManifest:
        self.check_format(wanted)
        if self.error:
            raise self.error
        model = FakePredictors().load(artifact, expected_digest=expected_digest)
        self.calibrated_with = [digest for digest, _ in calibration]
        quality = model.quality if self.quality is None else self.quality
        with directory_written_atomically(directory) as beside:
            (beside / "scan.xml").write_text("graph")
            manifest = ExportManifest(
                format=wanted,
                model=_manifest(expected_digest),
                levels=(),
                files={"scan.xml": digest_file(beside / "scan.xml")},
                calibration_digests=tuple(self.calibrated_with),
                environment={"quality": str(quality)},
                created_at="2026-01-01T00:00:00+00:00",
            )
            (beside / EXPORT_FILE).write_text(manifest.model_dump_json())
        return manifest

    def verify(self, directory: Path, *, expected_digest: str | None = None) -> ExportManifest:
        file = directory / EXPORT_FILE
        if not file.exists():
            raise NotFoundError("there is no export here", where=str(directory))
        if expected_digest not in (None, digest_file(file)):
            raise IntegrityError("this is not the export that was recorded")
        try:
            manifest = ExportManifest.model_validate_json(file.read_bytes())
        except ValueError as error:
            raise IntegrityError("this is not an export's manifest") from error
        if any(digest_file(directory / name) != digest for name, digest in manifest.files.items()):
            raise IntegrityError("a file's bytes do not match its digest", where=str(directory))
        return manifest

    def load(self, directory: Path, *, expected_digest: str | None = None) -> ColourPredictor:
        manifest = self.verify(directory, expected_digest=expected_digest)
        if self.is_missing:
            raise ConfigurationError("the package that runs it is not installed")
        return ColourPredictor(
            float(manifest.environment["quality"]), weights_digest=manifest.model.weights_digest
        )
