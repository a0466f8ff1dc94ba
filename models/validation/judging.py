"""How a run's weights are judged on the validation pictures: between its steps, or beside them.

Both ways measure the same weights with the same result. They differ in when: between the steps the run waits
for it; beside them it goes on, and asks for the result later, at a step that no clock decides.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from threading import Event
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from dataset.labelled_pictures import LabelledPicture
from maskloop.errors import ConfigurationError
from maskloop.settings.workspace_settings import GateSettings
from models.loading.batches import PictureCache
from models.loading.request import TrainingRequest
from models.ranks.group import ALONE, Ranks
from models.validation.class_iou import measure_class_iou
from models.validation.loss import measure_losses

_NOTHING_HANDED_IN: Final = "no weights were handed in to be judged"


@dataclass(frozen=True)
class Snapshot:
    """Weights to be judged, and where the run stood when it had them.

    Attributes:
        step: Steps done.
        weights: A ``state_dict``; the average, if the run keeps one.
        loss: Mean of the steps since the snapshot before.
        learning_rate: Of the last step.
    """

    step: int
    weights: dict[str, Tensor]
    loss: float
    learning_rate: float


@dataclass(frozen=True)
class Measured:
    """What weights achieve on the validation pictures.

    Attributes:
        class_iou: Of each class with instances there, 0..1.
        losses: Each part of the loss by torchvision's name; see `models.validation.loss`.
    """

    class_iou: Mapping[str, float]
    losses: Mapping[str, float]


@dataclass(frozen=True)
class BestSoFar:
    """The best weights found so far, and the history of the evaluations.

    Attributes:
        best: The weights with the best mean IoU; None before the first.
        best_step: Theirs; 0 before the first.
        best_iou: Theirs, 0..1.
        evaluations_without_better: Since then.
        history: One entry for each verdict; see `models.training.training_loop.TrainingResult`.
    """

    best: dict[str, Tensor] | None = None
    best_step: int = 0
    best_iou: float = -math.inf
    evaluations_without_better: int = 0
    history: tuple[dict[str, float], ...] = ()

    def after(self, judged: Snapshot, measured: Measured) -> BestSoFar:
        """Return it with one more evaluation; the weights are copied if they are the best."""
        metrics = {
            "step": float(judged.step),
            "training_loss": judged.loss,
            "learning_rate": judged.learning_rate,
            **name_losses(measured.losses),
            **{f"iou/{name}": value for name, value in measured.class_iou.items()},
        }
        if measured.class_iou:
            metrics["mean_iou"] = float(np.mean([*measured.class_iou.values()]))
        history = (*self.history, metrics)
        if metrics.get("mean_iou", -math.inf) > self.best_iou:
            return BestSoFar(copy.deepcopy(judged.weights), judged.step, metrics["mean_iou"], 0, history)
        count = self.evaluations_without_better + 1
        return replace(self, evaluations_without_better=count, history=history)


def name_losses(losses: Mapping[str, float]) -> dict[str, float]:
    """Name the parts of a loss and their sum as they are recorded.

    >>> name_losses({"loss_mask": 0.5, "loss_objectness": 0.25})
    {'loss/total': 0.75, 'loss/mask': 0.5, 'loss/objectness': 0.25}
    """
    parts = {f"loss/{name.removeprefix('loss_')}": value for name, value in losses.items()}
    return {"loss/total": sum(losses.values()), **parts} if losses else {}


class Examiner:
    """Measures weights on a network of its own. The one that is trained is not touched, nothing is random."""

    def __init__(
        self,
        model: MaskRCNN,
        request: TrainingRequest,
        cache: PictureCache,
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> None:
        self.device, self._ranks = device, ranks
        self._model = copy.deepcopy(model).requires_grad_(False).eval()
        self._request, self._cache, self._is_given_up = request, cache, Event()

    def measure(self, weights: Mapping[str, Tensor]) -> Measured:
        """Return what weights, by name, any shape and any dtype, achieve on the validation pictures.

        The ranks share the pictures, each of which counts once, and all return the same.

        Raises:
            IntegrityError: if the network computes numbers that are not finite.
            CancelledError: if it was given up meanwhile.
        """
        self._model.load_state_dict(weights)
        settings, dataset = self._request.settings, self._request.dataset
        class_iou = measure_class_iou(
            self._model,
            dataset.by_split["val"],
            self._pixels,
            class_names=dataset.class_names,
            score_threshold=(settings.gates or GateSettings()).score_threshold,
            device=self.device,
            ranks=self._ranks,
        )
        losses: dict[str, float] = {}
        if self._ranks.is_first:
            losses = measure_losses(
                self._model,
                dataset.by_split["val"],
                self._pixels,
                training=settings.training,
                device=self.device,
            )
        return Measured(class_iou, self._ranks.spread(losses))

    def give_up(self) -> None:
        """Stop a measurement in another thread; its result is no longer needed."""
        self._is_given_up.set()

    def _pixels(self, picture: LabelledPicture) -> NDArray[np.uint8]:
        if self._is_given_up.is_set():
            raise CancelledError
        return self._cache.pixels(picture)


class Judge(Protocol):
    """Judges one set of weights at a time, by name, any shape and any dtype."""

    def hand_in(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Have weights judged: by name, any shape and any dtype. The verdict on those before must be in.

        Returns:
            The weights that are judged, which nobody may change until their verdict.
        """

    def hear(self) -> Measured:
        """Return what the weights that were handed in achieve, waiting for it if need be.

        Raises:
            IntegrityError: if the network computes numbers that are not finite.
            ValueError: if nothing was handed in.
        """

    def close(self) -> None:
        """Stop judging, and leave no thread."""


class JudgeBetween:
    """Measures when it is asked for the verdict, in the thread that asks."""

    def __init__(self, examiner: Examiner) -> None:
        self._examiner = examiner
        self._weights: dict[str, Tensor] | None = None

    def hand_in(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Note the weights themselves, any shape and any dtype."""
        self._weights = weights
        return weights

    def hear(self) -> Measured:
        """Measure."""
        weights, self._weights = self._weights, None
        if weights is None:
            raise ValueError(_NOTHING_HANDED_IN)
        return self._examiner.measure(weights)

    def close(self) -> None:
        """Do nothing: no measurement runs in the background."""


class JudgeBeside:
    """Measures a copy in a thread of its own, from when it is handed in."""

    def __init__(self, examiner: Examiner) -> None:
        self._examiner = examiner
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="judge")
        self._measuring: Future[Measured] | None = None

    def hand_in(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Copy the weights (any shape, any dtype), begin, and return the copy, which is only read."""
        own = copy.deepcopy(weights)
        if self._examiner.device.type == "cuda":
            torch.cuda.synchronize(self._examiner.device)  # the thread's stream would not wait for the copy
        self._measuring = self._thread.submit(self._measure, own)
        return own

    def hear(self) -> Measured:
        """Wait for the thread. What it raised is raised here."""
        if self._measuring is None:
            raise ValueError(_NOTHING_HANDED_IN)
        measured = self._measuring.result()
        self._measuring = None
        return measured

    def close(self) -> None:
        """End the thread without measuring the remaining pictures."""
        self._examiner.give_up()
        self._thread.shutdown()

    def _measure(self, weights: Mapping[str, Tensor]) -> Measured:
        with _own_stream(self._examiner.device):
            return self._examiner.measure(weights)


def make_judge(examiner: Examiner, *, beside: bool) -> Judge:
    """Return a judge that works beside the steps, or between them.

    Raises:
        ConfigurationError: beside the steps on a device where torch allows no second thread.
    """
    if not beside:
        return JudgeBetween(examiner)
    if examiner.device.type == "mps":  # https://github.com/pytorch/pytorch/issues/197805
        raise ConfigurationError(
            "on mps torch crashes when two threads compute, so nothing can be evaluated beside the steps",
            where="[training] evaluate_beside",
            hint='set it to false, or device to "cpu"',
        )
    return JudgeBeside(examiner)


def _own_stream(device: torch.device) -> AbstractContextManager[object]:
    """Run the body on a CUDA stream of its own, in parallel with other threads."""
    if device.type != "cuda":
        return nullcontext()
    return torch.cuda.stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
