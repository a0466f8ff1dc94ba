"""One training run: what it computes with, and what is done at each step."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from maskloop.errors import ConfigurationError, TrainingError
from maskloop.settings.network_rules import check_cluster, refuse
from models.artifacts.model_folder import load_model
from models.devices import uses_bf16
from models.loading.batches import BatchStream, LoadPicture, PictureCache, TrainingBatch
from models.loading.request import OnEvaluation, OnStep, TrainingRequest, identify, plan_training
from models.network.build import build_model
from models.network.fast_parts import feed
from models.network.weights import load_weights
from models.ranks.group import ALONE, Ranks
from models.ranks.learning import Classroom
from models.ranks.places import share_places
from models.training.checkpoint import load_checkpoint, save_checkpoint
from models.training.determinism import seeded
from models.training.distillation import Teacher
from models.training.run_state import RunState
from models.training.schedule import learning_rate_at, momentum_at
from models.training.waiting import WaitMeter
from models.validation.judging import Examiner, make_judge, name_losses

_log = logging.getLogger(__name__)

_COMPILER: Final = "inductor"


class Run:
    """The network, the optimiser, the average and the judge of a run. Where it stands is its ``state``."""

    def __init__(
        self,
        request: TrainingRequest,
        device: torch.device,
        load_picture: LoadPicture,
        ranks: Ranks = ALONE,
    ) -> None:
        refuse(check_cluster(request.settings.training))
        self.request, self.device, self.ranks = request, device, ranks
        self.training = request.settings.training
        self.model = _first_model(request).to(device).train()
        if device.type != "mps":
            self.model = self.model.to(memory_format=torch.channels_last)
        self.teacher = _load_teacher(request, device)
        if self.training.compile:
            self.model.backbone.compile(backend=_COMPILER)  # in place: names and weights stay
        self.trained = [each for each in self.model.parameters() if each.requires_grad]
        self.optimizer = _build_optimizer(self.trained, request)
        limit_bytes = self.training.picture_cache_mb * 2**20
        self.cache = PictureCache(request.dataset, load_picture, limit_bytes=limit_bytes)
        self.places = share_places(
            self.training.batch_size, parts=self.training.batch_parts, count=ranks.count, rank=ranks.rank
        )
        own = [place for part in self.places for place in part]
        self.stream = BatchStream(self.cache, plan_training(request), self.training, places=own)
        self.waiting = WaitMeter()
        self.average = copy.deepcopy(self.model.state_dict()) if self.training.ema_decay else None
        examiner = Examiner(self.model, request, self.cache, device, ranks)
        self.classroom = Classroom(self.model, ranks, self.training)
        self.judge = make_judge(examiner, beside=self.training.evaluate_beside)
        self.state = RunState()

    def take_step(self, batch: TrainingBatch, on_step: OnStep | None) -> None:
        """Learn from one batch. Raises TrainingError if a loss or the gradient is not finite."""
        start = time.perf_counter()
        rate = self._set_rates()
        self.optimizer.zero_grad(set_to_none=True)
        values: dict[str, float] = {}
        for number, part in enumerate(batch.cut([*map(len, self.places)])):
            for name, value in self._learn_from(part, number).items():
                values[name] = values.get(name, 0.0) + value
        norm = torch.nn.utils.clip_grad_norm_(self.trained, self.training.clip_norm)
        self._refuse_unless(math.isfinite(float(norm)), "the gradient", values, batch, norm)
        self.optimizer.step()
        self._follow_average()
        seconds = time.perf_counter() - start
        self.state = self.state.after_step(sum(values.values()), seconds=seconds)
        if on_step:
            waited_percent = self.waiting.share_percent(seconds)
            speed = self.training.batch_size / seconds
            on_step(self.state.step, name_losses(values), rate, speed, waited_percent)

    def _learn_from(self, part: TrainingBatch, number: int) -> dict[str, float]:
        """Add the gradient of a part of the batch; return its losses, shares of the whole batch's."""
        step, rank = self.state.step, self.ranks.rank
        is_last = number == len(self.places) - 1
        apart = (number, rank) if number or rank else ()  # what is dropped at random differs
        with self.classroom.in_session(step, self.places[number], is_last_part=is_last):
            with seeded(self.training.seed, step, *apart), self._autocast():
                on_device = feed(part.to(self.device), self.training.fast_parts)
                with self._teaching(on_device):
                    losses = self.classroom.learner(on_device.images, on_device.targets)
                own = torch.stack([*losses.values()]) * self._share_of_batch(number)
                loss = own.sum()
            values = dict(zip(losses, self.ranks.mean(own).tolist(), strict=True))
            self._refuse_unless(all(map(math.isfinite, values.values())), "the loss", values, part, own)
            loss.backward()  # type: ignore[no-untyped-call]
        return values

    def evaluate(self, on_evaluation: OnEvaluation | None) -> None:
        """Have the (averaged) weights judged on the validation pictures; the best ones are kept.

        Beside the steps, this step hears about the weights of an evaluation ago. Only at the last one is
        there nothing to go on with meanwhile.
        """
        self._hear(on_evaluation)
        if self.state.is_out_of_patience(self.request):
            return
        self._hand_in()
        if self.state.step == self.request.steps or not self.training.evaluate_beside:
            self._hear(on_evaluation)

    def save(self) -> None:
        """Write a checkpoint: the first rank does, all have the same."""
        if not self.ranks.is_first:
            return
        saved = {
            "request": identify(self.request),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            **self.state.to_checkpoint(),
        }
        save_checkpoint(self.request.checkpoint_dir, self.state.step, saved)

    def resume(self) -> None:
        """Go on from the newest intact checkpoint of this very request, if there is one.

        The first rank reads it. How many ranks wrote it does not matter.
        """
        saved = self.ranks.spread(
            load_checkpoint(self.request.checkpoint_dir) if self.ranks.is_first else None
        )
        if saved is None:
            return
        if saved["request"] != identify(self.request):
            _log.warning("the checkpoints here are of another request; training starts from the beginning")
            return
        self._load(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average = _on_device(saved["average"], self.device)
        self.state = RunState.from_checkpoint(saved)
        if self.state.judging is not None:
            self.judge.hand_in(self.state.judging.weights)
        _log.info("training continues after step %d", self.state.step)

    def take_best_weights(self) -> None:
        """Load the best weights seen on the validation pictures; without any, the average or the last."""
        self._load(self.state.so_far.best or self.average)

    def close(self) -> None:
        """Give up what is still being judged."""
        self.judge.close()

    def _load(self, state: dict[str, Tensor] | None) -> None:
        if state is not None:
            self.model.load_state_dict(state)

    def _share_of_batch(self, number: int) -> float:
        """Return the share of the batch's pictures, of all ranks, that lie in a part, 0..1."""
        size, parts = self.training.batch_size, self.training.batch_parts
        return len(share_places(size, parts=parts, count=1, rank=0)[number]) / size

    def _autocast(self) -> torch.autocast:
        enabled = uses_bf16(self.training.precision, self.device)
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def _teaching(self, batch: TrainingBatch) -> AbstractContextManager[None]:
        if self.teacher is None:
            return nullcontext()
        return self.teacher.teaching(self.model.roi_heads, batch.images)

    def _set_rates(self) -> float:
        """Set this step's learning rate and momentum; return the rate."""
        when: Any = {
            "steps": self.request.steps,
            "warmup_steps": self.training.warmup_steps,
            "schedule": self.training.schedule,
        }
        rate = learning_rate_at(self.state.step, peak=self.request.learning_rate, **when)
        momentum = momentum_at(self.state.step, **when)
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
        num_steps = self.state.step + 1
        decay = min(self.training.ema_decay, (1 + num_steps) / (10 + num_steps))
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1.0 - decay)
            else:
                self.average[name].copy_(tensor)

    def _hand_in(self) -> None:
        start = time.perf_counter()
        weights = self.model.state_dict() if self.average is None else self.average
        rate = float(self.optimizer.param_groups[0]["lr"])
        judged = self.judge.hand_in(weights)
        seconds = time.perf_counter() - start
        self.state = self.state.after_hand_in(judged, learning_rate=rate, seconds=seconds)

    def _hear(self, on_evaluation: OnEvaluation | None) -> None:
        judged = self.state.judging
        if judged is None:
            return
        start = time.perf_counter()
        measured = self.judge.hear()
        self.state = self.state.after_verdict(measured, seconds=time.perf_counter() - start)
        if on_evaluation:
            on_evaluation(judged.step, self.state.so_far.history[-1])

    def _refuse_unless(
        self, is_finite: bool, what: str, values: Mapping[str, float], batch: TrainingBatch, own: Tensor
    ) -> None:
        """Raise TrainingError, on all ranks alike, with the pictures of those whose own value is to blame."""
        if is_finite:
            return
        names = self.ranks.gather(() if own.isfinite().all() else batch.names)
        losses = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        raise TrainingError(
            f"{what} is not finite at step {self.state.step + 1} ({losses})",
            where=f"pictures {', '.join(name for some in names for name in some)}",
            hint="look at these pictures' labels, or lower learning_rate or clip_norm",
        )


def _first_model(request: TrainingRequest) -> MaskRCNN:
    settings, class_names = request.settings.model, request.dataset.class_names
    with seeded(request.settings.training.seed, 0):
        model = build_model(
            settings,
            num_classes=len(class_names),
            pretrained=request.parent_artifact is None,
            fast_parts=request.settings.training.fast_parts,
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


def _load_teacher(request: TrainingRequest, device: torch.device) -> Teacher | None:
    if request.teacher_artifact is None:
        return None
    if "heads" not in request.settings.training.fast_parts:
        raise ConfigurationError(
            "torchvision's own heads cannot be taught", where="[training] fast_parts", hint="put heads back"
        )
    return Teacher.load(
        request.teacher_artifact,
        expected_digest=request.teacher_digest,
        pupil_class_names=request.dataset.class_names,
        settings=request.settings.training.distillation,
        device=device,
    )


def _build_optimizer(parameters: Sequence[Tensor], request: TrainingRequest) -> torch.optim.Optimizer:
    decay = request.settings.training.weight_decay
    if request.settings.training.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=request.learning_rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(parameters, lr=request.learning_rate, momentum=0.9, weight_decay=decay, fused=True)


def _on_device(state: dict[str, Tensor] | None, device: torch.device) -> dict[str, Tensor] | None:
    return None if state is None else {name: tensor.to(device) for name, tensor in state.items()}
