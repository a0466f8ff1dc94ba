"""Trials of a search: which settings each has, how it went, and by what it is judged. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from maskloop.errors import DataError
from models.loading.request import TrainingRequest
from models.search.space import Space, Values, with_values

Outcome = Literal["running", "finished", "stopped early", "diverged", "failed"]
Sampler = Literal["tpe", "random"]


@dataclass(frozen=True)
class Measured:
    """An evaluation on the validation pictures; see `TrainingResult.history`."""

    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class SearchTrial:
    """One training of a search.

    Attributes:
        number: From 1, in the order of their beginnings.
        values: Of the settings that are searched.
        measured: Its evaluations so far, by step.
        outcome: ``running`` also if the search was interrupted: such a trial is taken up again.
        said: Why it has no result, if so.
        seconds: That it took, over all its attempts.
    """

    number: int
    values: Values
    measured: tuple[Measured, ...] = ()
    outcome: Outcome = "running"
    said: str = ""
    seconds: float = 0.0

    @property
    def last_step(self) -> int:
        """The step of its newest evaluation; 0 without any."""
        return self.measured[-1].step if self.measured else 0

    def hearing(self, measured: Measured) -> SearchTrial:
        """Return it with one more evaluation; one that is known already changes nothing."""
        if measured.step <= self.last_step:
            return self
        return replace(self, measured=(*self.measured, measured))


@dataclass(frozen=True)
class SearchPlan:
    """What an engine is asked to search.

    Attributes:
        request: The training that trials vary; its folder of checkpoints is that of the search.
        space: What may vary.
        critical_classes: See `objective`.
        known: Trials and earlier trainings whose results are believed.
        waiting: To be run before anything is drawn: interrupted trials with their numbers and evaluations,
            and settings to begin with.
        next_number: Of the first trial that is drawn.
        evaluate_every_steps: How often trials are evaluated, and compared.
        reduction_factor: One of so many goes on from each rung; 0 ends none early.
        sampler: What draws.
        concurrent_trials: At a time; 0: one for each GPU, or one.
        spared: Numbers of trials that are trained to their end however they do, to compare others with.
    """

    request: TrainingRequest
    space: Space
    critical_classes: tuple[str, ...]
    known: tuple[SearchTrial, ...]
    waiting: tuple[SearchTrial, ...]
    next_number: int
    evaluate_every_steps: int
    reduction_factor: int
    sampler: Sampler
    concurrent_trials: int
    spared: tuple[int, ...] = ()


def objective(metrics: Mapping[str, float], critical_classes: Collection[str]) -> float:
    """Return the mean mask IoU, 0..1, of the critical classes on the validation pictures; higher is better.

    It is the first figure of the gates (`gates.min_mean_iou`), on the split that no gate uses. A class
    without validation instances counts for nothing.

    >>> objective({"mean_iou": 0.6, "iou/nut": 0.4, "iou/bolt": 0.8}, ["nut"])
    0.4
    >>> objective({"mean_iou": 0.6, "iou/nut": 0.4, "iou/bolt": 0.8}, [])
    0.6

    Raises:
        DataError: if nothing of that was measured.
    """
    if not critical_classes and "mean_iou" in metrics:
        return metrics["mean_iou"]
    found = [metrics[f"iou/{name}"] for name in critical_classes if f"iou/{name}" in metrics]
    if not found:
        raise DataError("no critical class has an instance in the validation pictures")
    return math.fsum(found) / len(found)


def result_of(trial: SearchTrial, critical_classes: Collection[str]) -> float | None:
    """Return a trial's objective where its training would have kept the weights; None without any.

    A training keeps the weights with the best mean IoU. A trial that diverged or failed has the worst
    result there is, 0: a search that forgot it would draw its neighbours again.
    """
    if trial.outcome in ("diverged", "failed"):
        return 0.0
    if not trial.measured:
        return None
    best = max(trial.measured, key=lambda one: one.metrics.get("mean_iou", 0.0))
    return objective(best.metrics, critical_classes)


def best_trial(trials: Sequence[SearchTrial], critical_classes: Collection[str]) -> SearchTrial | None:
    """Return the finished trial with the best result; the earliest of equal ones; None without any.

    What was stopped early is no candidate: nobody knows where it would have ended.
    """
    finished = [one for one in trials if one.outcome == "finished" and one.measured]
    return max(finished, key=lambda one: result_of(one, critical_classes) or 0.0, default=None)


def request_of(plan: SearchPlan, trial: SearchTrial) -> TrainingRequest:
    """Return the training of a trial, with checkpoints in a folder of its own.

    Raises:
        ConfigurationError: if its values contradict each other.
    """
    settings = with_values(plan.request.settings, trial.values)
    training = settings.training.model_copy(
        update={
            "evaluate_every_steps": plan.evaluate_every_steps,
            "evaluate_beside": False,
            "early_stopping_evaluations": 0,
        }
    )
    return replace(
        plan.request,
        settings=settings.model_copy(update={"training": training}),
        learning_rate=training.learning_rate,
        checkpoint_dir=checkpoints_of(plan.request.checkpoint_dir, trial.number),
    )


def checkpoints_of(folder: Path, number: int) -> Path:
    """Return where a trial's checkpoints lie while it runs."""
    return folder / "checkpoints" / f"{number:04d}"
