"""Where a training run stands, and what changes that: every method returns another state. Pure.

The network, the optimiser and the average of the weights are changed in place, step by step, so they are not
part of it: `models.training.run.Run` has them, and saves them beside the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor

from models.loading.request import TrainingRequest
from models.validation.judging import BestSoFar, Measured, Snapshot


@dataclass(frozen=True)
class RunState:
    """How far a run is.

    Attributes:
        step: Steps done.
        seconds: Of steps, and of waiting for evaluations, over all attempts.
        losses: The loss of each step since the newest snapshot.
        so_far: The best weights, and the history of the evaluations.
        judging: The weights under evaluation; None if there are none.
    """

    step: int = 0
    seconds: float = 0.0
    losses: tuple[float, ...] = ()
    so_far: BestSoFar = field(default_factory=BestSoFar)
    judging: Snapshot | None = None

    def after_step(self, loss: float, *, seconds: float) -> RunState:
        """Return the state after one more step with this loss."""
        return replace(self, step=self.step + 1, losses=(*self.losses, loss), seconds=self.seconds + seconds)

    def after_hand_in(self, weights: dict[str, Tensor], *, learning_rate: float, seconds: float) -> RunState:
        """Return the state after weights were handed in to be judged.

        Args:
            weights: By name, any shape and any dtype; they must not change until their verdict.
            learning_rate: Of the last step.
            seconds: What handing them in took.
        """
        snapshot = Snapshot(self.step, weights, float(np.mean(self.losses)), learning_rate)
        return replace(self, judging=snapshot, losses=(), seconds=self.seconds + seconds)

    def after_verdict(self, measured: Measured, *, seconds: float) -> RunState:
        """Return the state after the verdict on the weights under evaluation; without any, as it is.

        Args:
            measured: What they achieve.
            seconds: How long the run waited for it.
        """
        if self.judging is None:
            return self
        so_far = self.so_far.after(self.judging, measured)
        return replace(self, so_far=so_far, judging=None, seconds=self.seconds + seconds)

    def is_out_of_patience(self, request: TrainingRequest) -> bool:
        """Tell whether so many evaluations brought nothing better that the run stops early."""
        patience = request.settings.training.early_stopping_evaluations
        return 0 < patience <= self.so_far.evaluations_without_better

    def is_finished(self, request: TrainingRequest) -> bool:
        """Tell whether all steps are done, or the run has stopped early."""
        return self.step >= request.steps or self.is_out_of_patience(request)

    def is_evaluation_due(self, request: TrainingRequest) -> bool:
        """Tell whether the step just done asks for an evaluation, and there is something to evaluate on."""
        is_last = self.step == request.steps
        is_due = is_last or self.step % request.settings.training.evaluate_every_steps == 0
        return is_due and bool(request.dataset.by_split["val"])

    def is_checkpoint_due(self, request: TrainingRequest) -> bool:
        """Tell whether the step just done asks for a checkpoint."""
        is_due = self.step % request.settings.training.checkpoint_every_steps == 0
        return is_due or self.is_finished(request)

    def to_checkpoint(self) -> dict[str, Any]:
        """Return it as tensors, plain values and dictionaries and lists of them."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "losses": [*self.losses],
            "standing": dict(vars(self.so_far)),
            "judging": None if self.judging is None else dict(vars(self.judging)),
        }

    @classmethod
    def from_checkpoint(cls, saved: Mapping[str, Any]) -> RunState:
        """Return the state that `to_checkpoint` saved; other keys are left to those who wrote them."""
        judging = saved["judging"]
        return cls(
            step=saved["step"],
            seconds=saved["seconds"],
            losses=tuple(saved["losses"]),
            so_far=BestSoFar(**saved["standing"]),
            judging=None if judging is None else Snapshot(**judging),
        )
