"""Searches over training settings: Ray Tune runs the trials, Optuna draws them, ASHA ends the worse ones."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher as RaySearcher

from maskloop.errors import MaskloopError, TrainingError, UnavailableError
from models.cluster.connection import connected
from models.cluster.proposals import Proposals
from models.cluster.room import find_trial_room
from models.cluster.trial_worker import (
    ERROR,
    METRICS,
    OBJECTIVE,
    OUTCOME,
    SAID,
    STEP,
    TrialTask,
    run_trial,
)
from models.cluster.versions import describe_programs
from models.search.trials import Measured, SearchPlan, SearchTrial, checkpoints_of, objective

_log = logging.getLogger(__name__)
_RAY_FOLDER: Final = "ray"
_MAX_FAILED: Final = 3
"""So many failed trials in a row, with none that went well, have a cause that no setting mends."""
_QUIET: Final = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # what Ray would write for each trial, nobody reads
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the command hears signals itself
}


class RayTuneSearcher:
    """`models.ports.Searcher` on this machine, or on the cluster that the settings name."""

    def search(
        self,
        plan: SearchPlan,
        *,
        on_trial: Callable[[SearchTrial], None],
        may_start: Callable[[], bool],
        should_stop: Callable[[], bool],
    ) -> None:
        """Run trials until none may start any more and those under way have ended."""
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        cluster, folder = plan.request.settings.training.cluster, plan.request.checkpoint_dir
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / _RAY_FOLDER, ignore_errors=True)  # of a search that was killed
        with connected(cluster):
            room, count = find_trial_room(
                plan.request.device, ray.cluster_resources(), plan.concurrent_trials
            )
            course = _Course(plan, on_trial, may_start, should_stop)
            task = TrialTask(plan, "cuda" if room.uses_gpu else "cpu", describe_programs())
            resources = {"cpu": room.cpus, **({"gpu": 1} if room.uses_gpu else {})}
            tuner = tune.Tuner(
                tune.with_resources(tune.with_parameters(run_trial, task=task), resources),
                tune_config=tune.TuneConfig(
                    num_samples=-1,
                    max_concurrent_trials=count,
                    search_alg=_Suggestions(course),
                    scheduler=make_scheduler(plan),
                    trial_dirname_creator=_name_folder,
                ),
                run_config=tune.RunConfig(
                    name=_RAY_FOLDER,
                    storage_path=str(folder),
                    stop=_Stopping(course),
                    callbacks=[_Hearing(course)],
                    failure_config=tune.FailureConfig(max_failures=cluster.max_failures),
                    verbose=0,
                ),
            )
            course.run(tuner)
        shutil.rmtree(folder / _RAY_FOLDER, ignore_errors=True)


class _Course:
    """Where a search stands. Ray calls it; what a call raises ends the search and is raised at its end."""

    def __init__(
        self,
        plan: SearchPlan,
        on_trial: Callable[[SearchTrial], None],
        may_start: Callable[[], bool],
        should_stop: Callable[[], bool],
    ) -> None:
        self.plan = plan
        self.is_stopping = False
        self._on_trial, self._may_start, self._should_stop = on_trial, may_start, should_stop
        self._proposals = Proposals(plan)
        self._trials: dict[str, SearchTrial] = {}
        self._seconds_before: dict[str, float] = {}
        self._num_failed = 0
        self._error: MaskloopError | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Ray keeps a copy of what it calls, to go on from it. A search goes on from its own records."""
        return {}

    def run(self, tuner: tune.Tuner) -> None:
        """Let Ray work until the end. Raises what a trial or a callback raised."""
        try:
            tuner.fit()
        except (RayError, tune.TuneError) as error:
            if self._error is None:
                raise UnavailableError(
                    f"the connection to Ray was lost: {error}", hint="the same command goes on from there"
                ) from error
        if self._error is not None:
            raise self._error

    def begin(self, ray_id: str) -> SearchTrial | None:
        """Return the next trial; None if none may start any more."""
        if self.is_stopping or not self._ask(self._may_start, otherwise=False):
            return None
        trial = self._proposals.draw()
        self._trials[ray_id] = trial
        self._seconds_before[ray_id] = trial.seconds
        self._tell(trial)
        return trial

    def hear(self, ray_id: str, result: dict[str, Any]) -> None:
        """Take in what a trial reports."""
        seconds = self._seconds_before[ray_id] + float(result["time_total_s"])
        trial = replace(self._trials[ray_id], seconds=seconds)
        if error := result.get(ERROR):
            self._fail(error)
        elif outcome := result.get(OUTCOME):
            trial = replace(trial, outcome=outcome, said=result[SAID])
        else:
            heard = trial.hearing(Measured(int(result[STEP]), result[METRICS]))
            if heard is trial:
                return
            trial = heard
        self._trials[ray_id] = trial
        if trial.outcome == "running":
            self._tell(trial)

    def end(self, ray_id: str, failure: str = "") -> None:
        """Take in that a trial has ended; one that was cut off with the whole search has not."""
        trial = self._trials[ray_id]
        if self.is_stopping:
            return
        if failure:
            trial = replace(trial, outcome="failed", said=failure)
        elif trial.outcome == "running":
            is_done = trial.last_step >= self.plan.request.steps
            trial = replace(trial, outcome="finished" if is_done else "stopped early")
        self._trials[ray_id] = trial
        self._proposals.end(trial)
        shutil.rmtree(checkpoints_of(self.plan.request.checkpoint_dir, trial.number), ignore_errors=True)
        self._tell(trial)
        self._watch_failures(trial)

    def should_stop(self) -> bool:
        """Tell whether everything ends now."""
        self.is_stopping = self.is_stopping or self._ask(self._should_stop, otherwise=True)
        return self.is_stopping

    def _watch_failures(self, trial: SearchTrial) -> None:
        self._num_failed = self._num_failed + 1 if trial.outcome == "failed" else 0
        if self._num_failed >= _MAX_FAILED:
            self._fail(
                TrainingError(f"{self._num_failed} trials in a row failed, the last one so: {trial.said}")
            )

    def _tell(self, trial: SearchTrial) -> None:
        def told() -> bool:
            self._on_trial(trial)
            return True

        self._ask(told, otherwise=False)

    def _ask(self, question: Callable[[], bool], *, otherwise: bool) -> bool:
        try:
            return question()
        except MaskloopError as error:
            self._fail(error)
            return otherwise

    def _fail(self, error: MaskloopError) -> None:
        self._error = self._error or error
        self.is_stopping = True


class _Suggestions(RaySearcher):  # type: ignore[misc] # Ray's classes are unknown to the type checker
    """Gives Ray the trials to run."""

    def __init__(self, course: _Course) -> None:
        super().__init__(metric=OBJECTIVE, mode="max")
        self._course = course

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        trial = self._course.begin(trial_id)
        return RaySearcher.FINISHED if trial is None else {"trial": trial}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """What was learned, `_Hearing` has told; Ray leaves results of stopped trials out here."""

    def save(self, checkpoint_path: str) -> None:
        """A search goes on from the records of its trials, not from Ray's."""

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""


class _Hearing(tune.Callback):  # type: ignore[misc]
    """Hears from Ray how trials go, in the thread of the command."""

    def __init__(self, course: _Course) -> None:
        self._course = course

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any) -> None:
        self._course.hear(trial.trial_id, result)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        self._course.end(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        self._course.end(trial.trial_id, failure=_last_line(trial))


class _Stopping(tune.Stopper):  # type: ignore[misc]
    """Tells Ray when everything ends."""

    def __init__(self, course: _Course) -> None:
        self._course = course

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._course.should_stop()


class _Halving(ASHAScheduler):  # type: ignore[misc]
    """ASHA that lets some trials go on to their end; their results count on its rungs all the same."""

    def __init__(self, spared: tuple[int, ...], **how: Any) -> None:
        super().__init__(**how)
        self._spared = spared

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision: str = super().on_trial_result(tune_controller, trial, result)
        is_spared = trial.config["trial"].number in self._spared and OUTCOME not in result
        return TrialScheduler.CONTINUE if is_spared and ERROR not in result else decision


def make_scheduler(plan: SearchPlan) -> TrialScheduler:
    """Make what ends trials early, with the results of known trials on its rungs: Ray forgets them."""
    if not plan.reduction_factor:
        return FIFOScheduler()
    scheduler = _Halving(
        plan.spared,
        time_attr=STEP,
        metric=OBJECTIVE,
        mode="max",
        max_t=plan.request.steps,
        grace_period=min(plan.evaluate_every_steps, plan.request.steps),
        reduction_factor=plan.reduction_factor,
    )
    for trial in plan.known:
        known = SimpleNamespace(trial_id=f"known {trial.number}", config={"trial": trial})
        scheduler.on_trial_add(None, known)
        for measured in trial.measured:
            value = objective(measured.metrics, plan.critical_classes)
            scheduler.on_trial_result(None, known, {STEP: measured.step, OBJECTIVE: value})
    return scheduler


def _name_folder(trial: Any) -> str:
    """Ray's own names tell all values, which makes them as long as a file system allows."""
    return str(trial.trial_id)


def _last_line(trial: Any) -> str:
    file = trial.error_file
    lines = []
    if file:
        with open(file, encoding="utf-8", errors="replace") as opened:  # noqa: PTH123 - Ray gives text
            lines = [line.strip() for line in opened if line.strip()]
    return lines[-1] if lines else "its process was lost"
