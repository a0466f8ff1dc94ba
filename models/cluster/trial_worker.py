"""One trial of a search, in a process that Ray started."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ray import tune

from maskloop.errors import ConfigurationError, IntegrityError, MaskloopError, TrainingError
from models.cluster.versions import describe_programs, refuse_other_programs, refuse_unseen_files
from models.loading.request import TrainingRequest
from models.search.trials import Measured, Outcome, SearchPlan, SearchTrial, objective, request_of
from models.training.trainer import memory_told
from models.training.training_loop import train

STEP: Final = "step"
OBJECTIVE: Final = "objective"
METRICS: Final = "metrics"
OUTCOME: Final = "outcome"
SAID: Final = "said"
ERROR: Final = "error"


@dataclass(frozen=True)
class TrialTask:
    """What all trials of a search share.

    Attributes:
        plan: The search.
        device: ``cpu`` or ``cuda``.
        programs: The versions of who asks; see `models.cluster.versions`.
    """

    plan: SearchPlan
    device: str
    programs: Mapping[str, str]


def run_trial(config: dict[str, Any], *, task: TrialTask) -> None:
    """Train as a trial says, and report its evaluations; those of an earlier attempt first.

    What its settings made fail is reported as its outcome, because Ray's early stopping knows no failure and
    lets a result of NaN pass. What would fail in every trial is reported as an error, which ends the search.

    Args:
        config: ``trial``, a `SearchTrial`.
        task: What all trials share.
    """
    trial: SearchTrial = config["trial"]
    for measured in trial.measured:
        _report(measured, task.plan)
    try:
        refuse_other_programs(task.programs, [(socket.gethostname(), describe_programs())])
        refuse_unseen_files(task.plan.request)
    except MaskloopError as error:
        tune.report({STEP: trial.last_step, OBJECTIVE: 0.0, ERROR: error})
        return
    try:
        _learn(_with_device(request_of(task.plan, trial), task.device), trial, task.plan)
    except MaskloopError as error:
        reported = {STEP: trial.last_step, OBJECTIVE: 0.0}
        outcome = outcome_of(error)
        tune.report(reported | ({OUTCOME: outcome, SAID: str(error)} if outcome else {ERROR: error}))


def outcome_of(error: MaskloopError) -> Outcome | None:
    """Return how a trial ends whose own settings are to blame; None if every trial would end so. Pure.

    A loss that is not finite is a `TrainingError`; numbers of a network that are not, an `IntegrityError`
    of its evaluation. Memory runs out as a `TrainingError` too. Values that contradict each other are a
    `ConfigurationError`.
    """
    if isinstance(error, TrainingError | IntegrityError) and "not finite" in error.headline:
        return "diverged"
    return "failed" if isinstance(error, TrainingError | ConfigurationError) else None


def _learn(request: TrainingRequest, trial: SearchTrial, plan: SearchPlan) -> None:
    request.checkpoint_dir.mkdir(parents=True, exist_ok=True)

    def hear(step: int, metrics: Mapping[str, float]) -> None:
        if step > trial.last_step:
            _report(Measured(step, dict(metrics)), plan)

    with memory_told():
        train(request, on_evaluation=hear)


def _report(measured: Measured, plan: SearchPlan) -> None:
    value = objective(measured.metrics, plan.critical_classes)
    tune.report({STEP: measured.step, OBJECTIVE: value, METRICS: dict(measured.metrics)})


def _with_device(request: TrainingRequest, device: str) -> TrainingRequest:
    return TrainingRequest(**{**vars(request), "device": device})
