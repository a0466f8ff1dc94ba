"""What is tried next: Optuna draws from what was learned so far, by earlier trainings too."""

from __future__ import annotations

import json
from collections import deque
from typing import Any, Final

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from models.search.space import Choice, Range, Space, Values, holds
from models.search.trials import SearchPlan, SearchTrial, objective, result_of

_SEEDS_APART: Final = 7919


class Proposals:
    """Gives trials to run, and hears how they go.

    Settings to begin with come first. What stopped early is told as pruned at its last step, which counts for
    less than a result: Ray's own `OptunaSearch` would tell it as complete.
    """

    def __init__(self, plan: SearchPlan) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._plan, self._next_number = plan, plan.next_number
        self._distributions = {path: _distribution(each) for path, each in plan.space.items()}
        self._study = optuna.create_study(
            direction="maximize", sampler=_make_sampler(plan), pruner=optuna.pruners.NopPruner()
        )
        self._study.add_trials([one for trial in plan.known if (one := self._freeze(trial))])
        self._waiting = deque(plan.waiting)
        self._asked: dict[int, optuna.Trial] = {}

    def draw(self) -> SearchTrial:
        """Return a trial to run: one that waits, or one that is drawn."""
        if self._waiting:
            trial = self._waiting.popleft()
            if holds(self._plan.space, trial.values):
                self._study.enqueue_trial(_encode(self._plan.space, trial.values))
                self._asked[trial.number] = self._study.ask(self._distributions)
            return trial
        asked = self._study.ask(self._distributions)
        trial = SearchTrial(self._next_number, _decode(self._plan.space, asked.params))
        self._asked[trial.number] = asked
        self._next_number += 1
        return trial

    def end(self, trial: SearchTrial) -> None:
        """Learn from a trial that has ended."""
        asked = self._asked.pop(trial.number, None)
        if asked is None:  # its settings lie outside of the space
            return
        for measured in trial.measured:
            asked.report(objective(measured.metrics, self._plan.critical_classes), measured.step)
        result = result_of(trial, self._plan.critical_classes)
        if trial.outcome == "stopped early":
            self._study.tell(asked, state=TrialState.PRUNED)
        elif result is None:
            self._study.tell(asked, state=TrialState.FAIL)
        else:
            self._study.tell(asked, result)

    def _freeze(self, trial: SearchTrial) -> FrozenTrial | None:
        """Return a known trial as Optuna keeps them; None for one that does not fit, or has no result."""
        result = result_of(trial, self._plan.critical_classes)
        if result is None or trial.outcome == "running" or not holds(self._plan.space, trial.values):
            return None
        steps = {one.step: objective(one.metrics, self._plan.critical_classes) for one in trial.measured}
        is_pruned = trial.outcome == "stopped early"
        return create_trial(
            state=TrialState.PRUNED if is_pruned else TrialState.COMPLETE,
            value=steps[trial.last_step] if is_pruned else result,
            params=_encode(self._plan.space, trial.values),
            distributions=self._distributions,
            intermediate_values=steps,
        )


def _make_sampler(plan: SearchPlan) -> BaseSampler:
    """Make what draws. A search that goes on must not draw the same again, so its seed moves on."""
    seed = plan.request.settings.training.seed + _SEEDS_APART * plan.next_number
    if plan.sampler == "random":
        return RandomSampler(seed=seed)
    return TPESampler(
        seed=seed,
        n_startup_trials=len(plan.space),  # few, as trials are dear; Optuna's own default is ten
        multivariate=True,  # a rate and its warm-up belong together
        constant_liar=True,  # trials side by side are drawn apart
    )


def _distribution(varied: Range | Choice) -> BaseDistribution:
    if isinstance(varied, Choice):
        return CategoricalDistribution([json.dumps(option) for option in varied.options])
    if varied.is_whole:
        return IntDistribution(int(varied.low), int(varied.high), log=varied.is_log)
    return FloatDistribution(varied.low, varied.high, log=varied.is_log)


def _encode(space: Space, values: Values) -> dict[str, Any]:
    """Return values as Optuna takes them: lists and the like as text."""
    return {
        path: json.dumps(value) if isinstance(space[path], Choice) else value
        for path, value in values.items()
    }


def _decode(space: Space, params: dict[str, Any]) -> Values:
    """Return values as settings take them."""
    decoded: dict[str, Any] = {}
    for path, varied in space.items():
        value = params[path]
        decoded[path] = json.loads(value) if isinstance(varied, Choice) else varied.tidy(value)
    return decoded
