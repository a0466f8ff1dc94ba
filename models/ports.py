"""What the rest of the project asks of models: ports in plain words that import no torch.

The parts behind them are built in `flows.workspace.wiring` alone; tests hand in fakes. One contract suite,
`tests/contracts/test_model_ports.py`, holds for both; searchers, which need Ray, have `tests/cluster`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dataset.labelled_pictures import LabelledPicture
from dataset.raw.conversion import PictureConversion
from evaluation.instances import GroundTruth, ScoreThreshold
from maskloop.settings.model_settings import ModelSettings
from models.answering.prediction import Prediction
from models.artifacts.manifest import ArtifactFacts, ArtifactManifest
from models.engines.choice import EngineKey, EngineName, Trial, TrialRequest, WantedEngine
from models.exports.manifest import ExportFormat, ExportManifest
from models.loading.request import OnEvaluation, OnStep, TrainingRequest
from models.search.trials import SearchPlan, SearchTrial
from models.training.anchor_fit import AnchorShapes


class Predictor(Protocol):
    """A verified model, ready to answer. Safe to use from several threads."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """What a class index counts into."""
        ...

    @property
    def weights_digest(self) -> str:
        """The model's identity."""
        ...

    @property
    def score_threshold(self) -> ScoreThreshold:
        """Detections at or above this score were judged: one number, or one for each class."""
        ...

    @property
    def conversion(self) -> PictureConversion:
        """How values that are no 8-bit RGB become it, as in the data it was trained on."""
        ...

    def predict(
        self, pictures: Sequence[NDArray[np.uint8]], *, min_score: float | None = None
    ) -> list[Prediction]:
        """Return one prediction for each picture, uint8 (H, W, 3) RGB, in order.

        Detections with a score below ``min_score`` are left out.

        Raises:
            PictureError: if a picture is not uint8 (H, W, 3).
            IntegrityError: if the model computes something that is not finite.
        """
        ...


class Predictors(Protocol):
    """Models that lie on disk as artifacts."""

    def load(self, directory: Path, *, expected_digest: str | None = None, device: str = "auto") -> Predictor:
        """Verify an artifact and make it ready to answer.

        Args:
            directory: Where it lies.
            expected_digest: Its weights digest as recorded elsewhere; None if only its manifest vouches.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

        Raises:
            NotFoundError: if there is no artifact.
            IntegrityError: if a digest, a name, a shape or a number is not what it must be.
            ConfigurationError: if the device does not exist.
        """
        ...

    def verify(self, directory: Path, *, expected_digest: str | None = None) -> ArtifactManifest:
        """Check an artifact without making it ready. Raises NotFoundError, IntegrityError."""
        ...


class TrainedModel(Protocol):
    """What came out of a training."""

    @property
    def steps_done(self) -> int:
        """Fewer than asked for if it stopped early."""
        ...

    @property
    def seconds(self) -> float:
        """Seconds of training steps and of waiting for evaluations, over all attempts."""
        ...

    def calibrate(
        self,
        pictures: Sequence[LabelledPicture],
        pixels_of: Callable[[LabelledPicture], NDArray[np.uint8]],
        *,
        class_names: tuple[str, ...],
        min_instances: int,
        device: str,
    ) -> Mapping[str, float]:
        """Return the score threshold, 0..1, of each class with enough instances in the pictures.

        Args:
            pictures: Annotated ones.
            pixels_of: Returns a picture's pixels, uint8 (H, W, 3), RGB.
            class_names: In the order of class indices.
            min_instances: What is enough.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        """
        ...

    def save(self, directory: Path, facts: ArtifactFacts) -> ArtifactManifest:
        """Write it as an artifact, complete or not at all. Raises IntegrityError, StorageError."""
        ...


class Trainer(Protocol):
    """Makes models from labelled pictures."""

    def train(
        self,
        request: TrainingRequest,
        *,
        on_step: OnStep,
        on_evaluation: OnEvaluation,
        progress: Callable[[int, int], None],
        on_checkpoint: Callable[[int], None],
        should_stop: Callable[[], bool],
    ) -> TrainedModel:
        """Train, or go on where a killed training with the same request stood.

        Args:
            request: What to train.
            on_step: Called after each step.
            on_evaluation: Called when the result of an evaluation takes effect.
            progress: Called with steps done and steps in all.
            on_checkpoint: Called with the steps done once their checkpoint is safely on disk.
            should_stop: Asked after each step; when true, a checkpoint is written and StoppedError raised.

        Raises:
            TrainingError: if it diverged, naming the step and its pictures, or has nothing to train on.
            StoppedError: if it was asked to stop; the same request goes on from there.
            ConfigurationError, IntegrityError, NotFoundError: from the settings and the parent.
        """
        ...

    def preview(
        self, request: TrainingRequest, load_picture: Callable[[Path], NDArray[np.uint8]]
    ) -> Iterator[tuple[NDArray[np.uint8], GroundTruth]]:
        """Yield the pictures of the request's steps, uint8 (H, W, 3), as the training would see them.

        Raises:
            TrainingError: if there is nothing to train on.
            ConfigurationError: if the settings name classes that the data do not have.
        """
        ...

    def present_anchors(self, settings: ModelSettings) -> tuple[AnchorShapes, tuple[int, ...]]:
        """Return the anchors that the settings mean, and each level's stride in px, finest first.

        Raises:
            ConfigurationError: if the settings contradict each other.
        """
        ...


class Searcher(Protocol):
    """Runs trials of a search over training settings, one or several at a time."""

    def search(
        self,
        plan: SearchPlan,
        *,
        on_trial: Callable[[SearchTrial], None],
        may_start: Callable[[], bool],
        should_stop: Callable[[], bool],
    ) -> None:
        """Run trials until none may start any more and those under way have ended.

        A trial that diverges, or fails for a reason of its own settings, ends with that outcome.

        Args:
            plan: What to search. Trials that wait begin first.
            on_trial: Called with a trial as it stands when it begins, is evaluated, and has ended.
            may_start: Asked before a trial begins.
            should_stop: Asked several times a second; when true, everything ends now. Trials under way have
                the outcome ``running`` then, and go on from their checkpoints as those that wait in a plan.

        Raises:
            ConfigurationError: if hosts lack programs, files or room for the trials.
            TrainingError: if three trials in a row failed.
            UnavailableError: if the cluster does not answer, or is lost.
            MaskloopError: what a callback raised, once everything has ended.
        """
        ...


class Exporter(Protocol):
    """Writes models in other formats, and runs them."""

    def check_format(self, wanted: ExportFormat) -> None:
        """Raise ConfigurationError unless everything needed to write this format is installed."""
        ...

    def write(
        self,
        directory: Path,
        artifact: Path,
        wanted: ExportFormat,
        *,
        expected_digest: str,
        calibration: Sequence[tuple[str, NDArray[np.uint8]]],
        progress: Callable[[int, int], None],
    ) -> ExportManifest:
        """Export a model, completely or not at all.

        Args:
            directory: Must not exist yet, or be empty.
            artifact: The model.
            wanted: The format.
            expected_digest: Of the model's weights.
            calibration: For 8-bit integers: sha256 and pixels, uint8 (H, W, 3), of pictures; else unused.
            progress: Called with calibration pictures done and in all.

        Raises:
            ConfigurationError: if a package is missing.
            ExportError: if there is nothing to calibrate with, or the exporter cannot do it.
            IntegrityError, NotFoundError: from the model.
            StorageError: if it cannot be written.
        """
        ...

    def verify(self, directory: Path, *, expected_digest: str | None = None) -> ExportManifest:
        """Check an export's manifest and every file it names. Raises NotFoundError, IntegrityError."""
        ...

    def load(self, directory: Path, *, expected_digest: str | None = None) -> Predictor:
        """Verify an export and make it ready to answer, on a CPU.

        Raises:
            NotFoundError, IntegrityError: as `verify` does.
            ConfigurationError: if a package that runs it is not installed.
        """
        ...


class Engines(Protocol):
    """Libraries that could run a model's networks in torch's place, on a CPU."""

    def installed(self) -> tuple[EngineName, ...]:
        """Return those that are installed, torch aside."""
        ...

    def key(self, weights_digest: str, wanted: WantedEngine, min_parity: float, threads: int) -> EngineKey:
        """Return what a decision made here and now holds for."""
        ...

    def try_out(self, request: TrialRequest, *, timeout_s: float, should_stop: Callable[[], bool]) -> Trial:
        """Hold an engine against torch in a process of its own; whatever fails there is in the outcome.

        Args:
            request: What to try.
            timeout_s: After so much time the process is ended.
            should_stop: Asked ten times a second; once true, the process is ended.
        """
        ...

    def load(self, directory: Path, *, expected_digest: str, thread_counts: Collection[int]) -> Predictor:
        """Verify an export and make it ready to answer.

        Args:
            directory: Where it lies.
            expected_digest: sha256 of its manifest.
            thread_counts: See `models.exports.formats.load_export`.

        Raises:
            NotFoundError, IntegrityError, ConfigurationError: as `Exporter` does.
        """
        ...


class Machine(Protocol):
    """What models compute with here."""

    def device(self, name: str) -> str:
        """Return the device that ``auto``, ``cpu``, ``cuda`` or ``mps`` means here.

        Raises:
            ConfigurationError: if the device was asked for by name and this machine does not have it.
        """
        ...

    def uses_bf16(self, precision: str, device: str) -> bool:
        """Tell whether a training of this precision (``auto``, ``bf16``, ``fp32``) computes in bfloat16."""
        ...

    def environment(self) -> dict[str, str]:
        """Return versions and hardware as text, among them ``gpu``, ``cpu`` and ``threads``."""
        ...

    def count_cores(self, device: str) -> int:
        """Return how many cores models on the device compute with; an accelerator needs one."""
        ...

    def use_cores(self, count: int) -> None:
        """Set the number of cores for the computations of the calling thread."""
        ...
