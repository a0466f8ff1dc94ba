"""A searcher without Ray: it trains nothing, and each trial's result follows from its values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from models.search.trials import Measured, SearchPlan, SearchTrial
from tests.fakes.crashing import Killed
from tests.fakes.ledger import FakeClock

RATE = "training.learning_rate"


def iou_of(values: dict[str, float]) -> float:
    """Return 0.8 for a rate of 0.001, and less for others."""
    return 0.8 - min(0.7, abs(values[RATE] - 0.001) * 100)


@dataclass
class FakeSearcher:
    """Runs one trial after the other; draws go up through the first range of the space.

    A rate above 0.008 diverges. Each evaluation takes a minute.
    """

    clock: FakeClock | None = None
    dies_after_evaluations: int = 10**9
    plans: list[SearchPlan] = field(default_factory=list)
    evaluations: int = 0

    def search(
        self,
        plan: SearchPlan,
        *,
        on_trial: Callable[[SearchTrial], None],
        may_start: Callable[[], bool],
        should_stop: Callable[[], bool],
    ) -> None:
        self.plans.append(plan)
        waiting, number = list(plan.waiting), plan.next_number
        while may_start() and not should_stop():
            trial = waiting.pop(0) if waiting else self._draw(plan, number)
            number = max(number, trial.number + 1)
            on_trial(trial)
            self._run(plan, trial, on_trial, should_stop)

    def _draw(self, plan: SearchPlan, number: int) -> SearchTrial:
        (path, varied), *others = plan.space.items()
        values = {other: each.low for other, each in others}  # type: ignore[union-attr]
        return SearchTrial(number, {path: varied.low * number, **values})  # type: ignore[union-attr]

    def _run(
        self,
        plan: SearchPlan,
        trial: SearchTrial,
        on_trial: Callable[[SearchTrial], None],
        should_stop: Callable[[], bool],
    ) -> None:
        steps, every = plan.request.steps, plan.evaluate_every_steps
        if trial.values.get(RATE, 0.0) > 0.008:
            on_trial(replace(trial, outcome="diverged", said="the loss is not finite at step 1"))
            return
        while trial.last_step < steps:
            if should_stop():
                return
            if self.evaluations >= self.dies_after_evaluations:
                raise Killed
            self.evaluations += 1
            if self.clock:
                self.clock.advance(minutes=1)
            step = min(trial.last_step + every, steps)
            iou = iou_of(dict(trial.values)) * step / steps
            heard = trial.hearing(Measured(step, {"mean_iou": iou, "iou/bolt": iou, "iou/nut": iou}))
            trial = replace(heard, seconds=trial.seconds + 60.0)
            on_trial(trial)
        on_trial(replace(trial, outcome="finished"))
