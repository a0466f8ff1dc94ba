"""The progress of a training, reported to the tracker, to the ledger and to the person who watches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flows.workspace.figure_log import FigureLog
from flows.workspace.running import WorkNote
from maskloop.records.kinds import TrainingAdvanced

_STARVED_PERCENT: Final = 20.0
_OF_TRAINING: Final = ("step", "training_loss", "learning_rate")
"""What an evaluation's figures say about the training itself, which its steps have recorded."""


@dataclass
class Advance:
    """Notes how far a training is, for `maskloop status`; records once that it got further than before.

    Attributes:
        record: Writes a record of the cycle.
        note: Where `maskloop status` looks.
        attempt: The number of this attempt.
        furthest_step: Of the attempts before.
        num_steps: In all.
    """

    record: Callable[[TrainingAdvanced], object]
    note: WorkNote
    attempt: int
    furthest_step: int
    num_steps: int
    _is_recorded: bool = False

    def on_step(self, step: int) -> None:
        """Note a step that was done."""
        self.note.write("training", step, self.num_steps)

    def on_checkpoint(self, step: int) -> None:
        """Record the first checkpoint beyond those of earlier attempts."""
        if self._is_recorded or step <= self.furthest_step:
            return
        self._is_recorded = True
        self.record(TrainingAdvanced(attempt=self.attempt, step=step, steps=self.num_steps))


@dataclass(frozen=True)
class StepLog:
    """Records the figures of a training, and stops it if this process lost its lease."""

    figures: FigureLog
    advance: Advance
    batch_size: int
    check_lease: Callable[[], None]
    say: Callable[[str], None]
    waits_percent: list[float] = field(default_factory=list)

    def on_step(
        self,
        step: int,
        losses: Mapping[str, float],
        rate: float,
        pictures_per_s: float,
        wait_percent: float,
    ) -> None:
        """Hear about one step; see `models.loading.request.OnStep`."""
        num_steps = self.advance.num_steps
        self.check_lease()
        self.advance.on_step(step)
        self.waits_percent.append(wait_percent)
        if step % max(1, num_steps // 10) == 0:
            self.say(describe_step(step, num_steps, losses, self.batch_size / pictures_per_s))
        if step % 10 == 0 or step == num_steps:
            speed = {"pictures_per_s": pictures_per_s, "wait_percent": wait_percent}
            rows = {**losses, "learning_rate": rate, **speed}
            self.figures.log({f"train/{name}": value for name, value in rows.items()}, step=step)

    def on_evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hear about one evaluation; see `models.loading.request.OnEvaluation`."""
        if "mean_iou" in metrics:
            where = f"step {step} of {self.advance.num_steps}"
            self.say(f"{where}: mean IoU {metrics['mean_iou']:.3f} on validation pictures")
        measured = {name: value for name, value in metrics.items() if name not in _OF_TRAINING}
        self.figures.log({f"validation/{name}": value for name, value in measured.items()}, step=step)


def describe_step(step: int, num_steps: int, losses: Mapping[str, float], step_s: float) -> str:
    """Say how a training goes; ``step_s`` is how many seconds the step took.

    >>> describe_step(40, 400, {"loss/total": 0.75, "loss/mask": 0.5, "loss/box_reg": 0.25}, 0.5)
    'step 40 of 400: loss 0.75, 0.50 s a step'
    """
    return f"step {step} of {num_steps}: loss {losses['loss/total']:.2f}, {step_s:.2f} s a step"


def describe_starvation(waits_percent: Sequence[float]) -> str:
    """Say so if the steps spent much of their time waiting for pictures; an empty string if not."""
    mean = sum(waits_percent) / len(waits_percent) if waits_percent else 0.0
    if mean <= _STARVED_PERCENT:
        return ""
    return (
        f"the steps spent {mean:.0f} % of their time waiting for pictures; more training.num_workers or "
        "training.picture_cache_mb may help"
    )
