"""Training: from first weights, or again from a champion's, in steps that can be killed and resumed.

Everything random at a step (which pictures, how they are augmented, which regions are sampled) follows from
the seed and the step's number. A run that is killed and started again with the same request therefore ends,
on a CPU with the same number of threads, with bitwise the weights of the uninterrupted run.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from dataset.decoding import decode_picture
from dataset.samples import DatasetVersion, Picture
from maskloop.digest import digest_value
from maskloop.errors import TrainingError, UnavailableError
from maskloop.settings import GateSettings, Settings
from models.artifact import load_model
from models.batches import Batch, BatchStream, LoadPicture, PictureCache
from models.build import build_model
from models.checkpoint import load_checkpoint, save_checkpoint
from models.determinism import deterministic, seeded
from models.devices import choose_device, peak_memory_bytes
from models.mixing import plan_batches
from models.schedule import learning_rate_at, momentum_at
from models.validation import measure_class_iou
from models.weights import load_weights

_log = logging.getLogger(__name__)

OnStep = Callable[[int, Mapping[str, float], float, float], None]
OnEvaluation = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class TrainingRequest:
    """What to train. Two equal requests give the same weights.

    Attributes:
        dataset: A verified data version; its ``train`` and ``val`` pictures are used.
        settings: The [model] and [training] sections, and the score threshold of [gates].
        checkpoint_dir: A folder for this run alone.
        steps: Number of optimiser steps.
        learning_rate: The schedule's peak.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        parent_artifact: The model to start from; None starts from the first weights in the settings.
        parent_digest: The parent's weights digest as recorded elsewhere, to check it against.
        new_digests: The training pictures to learn; empty means all that are not replayed.
        replay_digests: The training pictures to mix in so that they are not forgotten.
    """

    dataset: DatasetVersion
    settings: Settings
    checkpoint_dir: Path
    steps: int
    learning_rate: float
    device: str = "auto"
    parent_artifact: Path | None = None
    parent_digest: str | None = None
    new_digests: tuple[str, ...] = ()
    replay_digests: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingResult:
    """What came out.

    Attributes:
        model: On the CPU, in evaluation mode, with the weights of ``best_step``.
        best_step: The step with the best mean IoU on the validation pictures; the last step without any.
        steps_done: Fewer than asked for if it stopped early.
        history: For each evaluation ``step``, ``loss`` (mean since the one before), ``learning_rate``,
            ``mean_iou`` and ``iou/<class>``; a class without validation instances has no entry.
        peak_memory_bytes: Of the accelerator, or of this process on a CPU.
        seconds: Over all attempts.
    """

    model: MaskRCNN
    best_step: int
    steps_done: int
    history: tuple[Mapping[str, float], ...]
    peak_memory_bytes: int
    seconds: float


def train(
    request: TrainingRequest,
    *,
    on_step: OnStep | None = None,
    on_evaluation: OnEvaluation | None = None,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    load_picture: LoadPicture | None = None,
) -> TrainingResult:
    """Train, or go on where a killed run with the same request stood.

    Args:
        request: What to train.
        on_step: Called after each step with its number (from 1), the losses by name, the learning rate and
            the pictures per second.
        on_evaluation: Called after each evaluation with the step and the metrics of `TrainingResult.history`.
        progress: Called with steps done and steps in all.
        should_stop: Asked after each step; when true, a checkpoint is written and UnavailableError raised.
        load_picture: Reads a picture file as uint8 (H, W, 3); the default is the data set's decoder.

    Raises:
        TrainingError: if a loss or a gradient is not finite, naming the step and its pictures, or if there
            is nothing to train on. No checkpoint is written in that case.
        UnavailableError: if it was asked to stop; the same request continues.
        ConfigurationError, IntegrityError, NotFoundError: from the settings and the parent.
    """
    device = choose_device(request.device)
    load = load_picture or _decode_with(request.settings.data.max_picture_mpx)
    with deterministic(device):
        run = _Run(request, device, load)
        run.resume()
        for batch in run.stream.from_step(run.step):
            if run.is_finished:
                break
            run.take_step(batch, on_step)
            if progress:
                progress(run.step, request.steps)
            if run.is_evaluation_due:
                run.evaluate(on_evaluation)
            stop = should_stop is not None and should_stop() and not run.is_finished
            if stop or run.is_checkpoint_due:
                run.save()
            if stop:
                raise UnavailableError(
                    f"training was asked to stop after step {run.step} of {request.steps}",
                    hint="start it again with the same request and it continues",
                )
        return run.result()


class _Run:
    """The state of a run, one method per thing that happens to it. ``step`` counts the steps done."""

    def __init__(self, request: TrainingRequest, device: torch.device, load_picture: LoadPicture) -> None:
        self.request, self.device = request, device
        self.training = request.settings.training
        self.model = _first_model(request).to(device).train()
        if device.type != "mps":
            self.model = self.model.to(memory_format=torch.channels_last)
        self.trained = [each for each in self.model.parameters() if each.requires_grad]
        self.optimizer = _build_optimizer(self.trained, request)
        self.cache = PictureCache(request.dataset, load_picture)
        self.stream = BatchStream(self.cache, _plan(request), self.training)
        self.validation = request.dataset.by_split["val"]
        self.average = copy.deepcopy(self.model.state_dict()) if self.training.ema_decay else None
        self.step, self.seconds, self.evaluations_without_better = 0, 0.0, 0
        self.best: dict[str, Tensor] | None = None
        self.best_step, self.best_iou = 0, -math.inf
        self.losses: list[float] = []
        self.history: list[dict[str, float]] = []

    @property
    def is_finished(self) -> bool:
        patience = self.training.early_stopping_evaluations
        out_of_patience = 0 < patience <= self.evaluations_without_better
        return self.step >= self.request.steps or out_of_patience

    @property
    def is_evaluation_due(self) -> bool:
        is_last = self.step == self.request.steps
        return bool(self.validation) and (is_last or self.step % self.training.evaluate_every_steps == 0)

    @property
    def is_checkpoint_due(self) -> bool:
        return self.is_finished or self.step % self.training.checkpoint_every_steps == 0

    def take_step(self, batch: Batch, on_step: OnStep | None) -> None:
        start = time.perf_counter()
        rate = self._set_rates()
        with seeded(self.training.seed, self.step), self._autocast():
            on_device = batch.to(self.device)
            losses = self.model(on_device.images, on_device.targets)
            loss = torch.stack([*losses.values()]).sum()
        values = dict(zip(losses, torch.stack([*losses.values()]).tolist(), strict=True))
        self._refuse_unless(all(map(math.isfinite, values.values())), "the loss", values, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(self.trained, self.training.clip_norm))
        self._refuse_unless(math.isfinite(norm), "the gradient", values, batch)
        self.optimizer.step()
        self.step += 1
        self._follow_average()
        self.losses.append(sum(values.values()))
        seconds = time.perf_counter() - start
        self.seconds += seconds
        if on_step:
            on_step(self.step, values, rate, len(batch.images) / seconds)

    def evaluate(self, on_evaluation: OnEvaluation | None) -> None:
        start = time.perf_counter()
        own = copy.deepcopy(self.model.state_dict()) if self.average is not None else None
        self._load(self.average)
        gates = self.request.settings.gates or GateSettings()
        class_iou = measure_class_iou(
            self.model,
            self.validation,
            self.cache,
            class_names=self.request.dataset.class_names,
            score_threshold=gates.score_threshold,
            device=self.device,
        )
        if class_iou and np.mean([*class_iou.values()]) > self.best_iou:
            self.best_iou, self.best_step = float(np.mean([*class_iou.values()])), self.step
            self.best = copy.deepcopy(self.model.state_dict())
            self.evaluations_without_better = 0
        else:
            self.evaluations_without_better += 1
        self._load(own)
        self.model.train()
        self.seconds += time.perf_counter() - start
        self._remember(class_iou, on_evaluation)

    def save(self) -> None:
        state = {
            "request": _identity(self.request),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "best": self.best,
            **{name: getattr(self, name) for name in _PLAIN},
        }
        save_checkpoint(self.request.checkpoint_dir, self.step, state)

    def resume(self) -> None:
        state = load_checkpoint(self.request.checkpoint_dir)
        if state is None:
            return
        if state["request"] != _identity(self.request):
            _log.warning("the checkpoints here are of another request; training starts from the beginning")
            return
        self._load(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = _on_device(state["average"], self.device)
        self.best = _on_device(state["best"], self.device)
        for name in _PLAIN:
            setattr(self, name, state[name])
        _log.info("training continues after step %d", self.step)

    def result(self) -> TrainingResult:
        self._load(self.best or self.average)
        return TrainingResult(
            model=self.model.cpu().eval(),
            best_step=self.best_step or self.step,
            steps_done=self.step,
            history=tuple(self.history),
            peak_memory_bytes=peak_memory_bytes(self.device),
            seconds=self.seconds,
        )

    def _load(self, state: dict[str, Tensor] | None) -> None:
        if state is not None:
            self.model.load_state_dict(state)

    def _autocast(self) -> torch.autocast:
        enabled = self.training.precision == "bf16" and self.device.type in ("cpu", "cuda")
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def _set_rates(self) -> float:
        """Set this step's learning rate and momentum; return the rate."""
        when: Any = {
            "steps": self.request.steps,
            "warmup_steps": self.training.warmup_steps,
            "schedule": self.training.schedule,
        }
        rate = learning_rate_at(self.step, peak=self.request.learning_rate, **when)
        momentum = momentum_at(self.step, **when)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum
        return rate

    def _follow_average(self) -> None:
        """Move the average towards the weights, faster in the first steps, when it is still far away."""
        if self.average is None:
            return
        decay = min(self.training.ema_decay, (1 + self.step) / (10 + self.step))
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1.0 - decay)
            else:
                self.average[name].copy_(tensor)

    def _remember(self, class_iou: Mapping[str, float], on_evaluation: OnEvaluation | None) -> None:
        metrics = {
            "step": float(self.step),
            "loss": float(np.mean(self.losses)),
            "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
            **{f"iou/{name}": value for name, value in class_iou.items()},
        }
        if class_iou:
            metrics["mean_iou"] = float(np.mean([*class_iou.values()]))
        self.history.append(metrics)
        self.losses = []
        if on_evaluation:
            on_evaluation(self.step, metrics)

    def _refuse_unless(self, is_finite: bool, what: str, values: Mapping[str, float], batch: Batch) -> None:
        if is_finite:
            return
        losses = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        raise TrainingError(
            f"{what} is not finite at step {self.step + 1} ({losses})",
            where=f"pictures {', '.join(batch.names)}",
            hint="look at these pictures' labels, or lower learning_rate or clip_norm",
        )


_PLAIN = (
    "step", "seconds", "evaluations_without_better", "best_step", "best_iou", "losses", "history",
)  # fmt: skip
"""The plain values among a run's state."""


def _first_model(request: TrainingRequest) -> MaskRCNN:
    settings, class_names = request.settings.model, request.dataset.class_names
    with seeded(request.settings.training.seed, 0):
        model = build_model(
            settings, num_classes=len(class_names), pretrained=request.parent_artifact is None
        )
    if request.parent_artifact is not None:
        parent, manifest = load_model(request.parent_artifact, expected_digest=request.parent_digest)
        load_weights(
            model,
            parent.state_dict(),
            where=f"model {manifest.weights_digest[:12]}",
            same_classes=manifest.class_names == class_names,
        )
    return model


def _build_optimizer(parameters: Sequence[Tensor], request: TrainingRequest) -> torch.optim.Optimizer:
    decay = request.settings.training.weight_decay
    if request.settings.training.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=request.learning_rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(parameters, lr=request.learning_rate, momentum=0.9, weight_decay=decay)


def _plan(request: TrainingRequest) -> list[list[Picture]]:
    pictures = {picture.digest: picture for picture in request.dataset.by_split["train"]}
    replayed = set(request.replay_digests)
    chosen = set(request.new_digests) or pictures.keys() - replayed
    if unknown := (chosen | replayed) - pictures.keys():
        raise TrainingError(
            f"{len(unknown)} of the pictures to train on are not training pictures of {request.dataset.tag}",
            where=min(unknown),
        )
    training = request.settings.training
    plan = plan_batches(
        sorted(replayed - chosen),
        sorted(chosen),
        replay_percent=training.replay_percent,
        batch_size=training.batch_size,
        steps=request.steps,
        seed=training.seed,
    )
    return [[pictures[digest] for digest in batch] for batch in plan]


def _identity(request: TrainingRequest) -> str:
    """Return a digest of everything the weights depend on."""
    settings = request.settings
    return digest_value(
        {
            "dataset": request.dataset.fingerprint,
            "classes": list(request.dataset.class_names),
            "model": settings.model.model_dump(mode="json"),
            "training": settings.training.model_dump(mode="json"),
            "steps": request.steps,
            "learning_rate": request.learning_rate,
            "parent": request.parent_digest or str(request.parent_artifact or ""),
            "new": sorted(request.new_digests),
            "replay": sorted(request.replay_digests),
        }
    )


def _on_device(state: dict[str, Tensor] | None, device: torch.device) -> dict[str, Tensor] | None:
    return None if state is None else {name: tensor.to(device) for name, tensor in state.items()}


def _decode_with(max_mpx: float) -> LoadPicture:
    return lambda path: decode_picture(path.read_bytes(), max_mpx=max_mpx)
