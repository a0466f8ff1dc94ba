"""Training: from first weights, or again from a champion's, in steps that can be killed and resumed.

Everything random at a step (which pictures, how they are augmented, which regions are sampled) follows from
the seed and the step's number. A run that is killed and started again with the same request therefore ends,
on a CPU with the same number of threads, with bitwise the weights of the uninterrupted run. The small network
always has one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from torchvision.models.detection import MaskRCNN

from dataset.labelled_pictures import LabelledPicture
from dataset.pictures.decoding import decode_picture
from dataset.versions.catalog import read_picture_file
from maskloop.errors import StoppedError
from models.artifacts.manifest import ArtifactFacts, ArtifactManifest
from models.artifacts.model_folder import save_artifact
from models.devices import choose_device, peak_memory_bytes
from models.loading.batches import LoadPicture
from models.loading.request import OnEvaluation, OnStep, TrainingRequest
from models.ranks.group import ALONE, Ranks
from models.training.determinism import deterministic, threads_for
from models.training.run import Run
from models.validation.class_iou import PixelsOf, calibrate_model


@dataclass(frozen=True)
class TrainingResult:
    """What came out.

    Attributes:
        model: On the CPU, in evaluation mode, with the weights of ``best_step``.
        best_step: The step with the best mean IoU on the validation pictures; the last step without any.
        steps_done: Fewer than asked for if it stopped early.
        history: For each evaluation ``step``, ``training_loss`` (mean since the one before),
            ``learning_rate``, and of the validation pictures ``loss/total``, ``loss/<part>``, ``mean_iou``
            and ``iou/<class>``; a class without validation instances has no entry.
        peak_memory_bytes: Of the accelerator, or of this process on a CPU.
        seconds: Of steps, and of waiting for evaluations, over all attempts.
    """

    model: MaskRCNN
    best_step: int
    steps_done: int
    history: tuple[Mapping[str, float], ...]
    peak_memory_bytes: int
    seconds: float

    def calibrate(
        self,
        pictures: Sequence[LabelledPicture],
        pixels_of: PixelsOf,
        *,
        class_names: tuple[str, ...],
        min_instances: int,
        device: str,
    ) -> dict[str, float]:
        """Return the score thresholds of single classes; see `models.validation.class_iou.calibrate_model`.

        Raises:
            IntegrityError: if the model computes numbers that are not finite.
        """
        return calibrate_model(
            self.model,
            pictures,
            pixels_of,
            class_names=class_names,
            min_instances=min_instances,
            device=choose_device(device),
        )

    def save(self, directory: Path, facts: ArtifactFacts) -> ArtifactManifest:
        """Write the model, complete or not at all; see `models.artifacts.model_folder.save_artifact`."""
        return save_artifact(directory, self.model, facts)


def train(
    request: TrainingRequest,
    *,
    on_step: OnStep | None = None,
    on_evaluation: OnEvaluation | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_checkpoint: Callable[[int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    load_picture: LoadPicture | None = None,
    ranks: Ranks = ALONE,
) -> TrainingResult:
    """Train, or go on where a killed run with the same request stood.

    Args:
        request: What to train.
        on_step: Called after each step; see `models.loading.request.OnStep`.
        on_evaluation: Called when the result of an evaluation takes effect, with the step that was evaluated
            and the metrics of `TrainingResult.history`; like all of these, in the thread that trains.
        progress: Called with steps done and steps in all.
        on_checkpoint: Called with the steps done once their checkpoint is safely on disk.
        should_stop: Asked after each step; when true, a checkpoint is written and StoppedError raised.
        load_picture: Reads a picture file as uint8 (H, W, 3); the default is the data set's decoder.
        ranks: The processes that train it together. All call this with equal requests and get equal models;
            the first writes the checkpoints, and is the one that is asked to stop.

    Raises:
        TrainingError: if a loss or a gradient is not finite, naming the step and its pictures, or if there
            is nothing to train on. No checkpoint is written in that case.
        StoppedError: if it was asked to stop; the same request continues.
        ConfigurationError, IntegrityError, NotFoundError: from the settings and the parent.
    """
    device = choose_device(request.device)
    load = load_picture or _decode_with(request.settings.data.max_picture_mpx)
    with (
        deterministic(device),
        threads_for(request.settings.model.backbone),
        closing(Run(request, device, load, ranks)) as run,
    ):
        run.resume()
        for batch in run.waiting.watch(run.stream.from_step(run.state.step)):
            if run.state.is_finished(request):
                break
            run.take_step(batch, on_step)
            if progress:
                progress(run.state.step, request.steps)
            if run.state.is_evaluation_due(request):
                run.evaluate(on_evaluation)
            is_asked = should_stop is not None and should_stop()
            stop = ranks.spread(is_asked) and not run.state.is_finished(request)
            if stop or run.state.is_checkpoint_due(request):
                run.save()
                if on_checkpoint:
                    on_checkpoint(run.state.step)
            if stop:
                raise StoppedError(
                    f"the training was stopped after step {run.state.step} of {request.steps}, which is saved"
                )
        return _result(run)


def _result(run: Run) -> TrainingResult:
    run.take_best_weights()
    state = run.state
    return TrainingResult(
        model=run.model.cpu().eval(),
        best_step=state.so_far.best_step or state.step,
        steps_done=state.step,
        history=state.so_far.history,
        peak_memory_bytes=peak_memory_bytes(run.device),
        seconds=state.seconds,
    )


def _decode_with(max_mpx: float) -> LoadPicture:
    return lambda path: decode_picture(read_picture_file(path), max_mpx=max_mpx)
