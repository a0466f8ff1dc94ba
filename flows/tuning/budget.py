"""How a search spends its hours: where trials are compared, whether one more is worth beginning. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from models.search.trials import SearchTrial


def evaluation_interval(steps: int, reduction_factor: int) -> int:
    """Return after how many steps a trial is evaluated each time, so that both rungs are met.

    >>> evaluation_interval(400, 3), evaluation_interval(5, 3)
    (45, 1)
    """
    return math.ceil(steps / reduction_factor**2)


@dataclass(frozen=True)
class Forecast:
    """What a search can still do.

    Attributes:
        seconds_left: Of its budget.
        num_trials_left: That can still be run, about; None as long as no trial has shown its speed.
        may_start: Whether one more trial can reach the first place where it is compared.
    """

    seconds_left: float
    num_trials_left: int | None
    may_start: bool


def foresee(
    trials: Sequence[SearchTrial],
    *,
    seconds_left: float,
    first_rung_steps: int,
    max_trials: int,
    num_at_once: int,
) -> Forecast:
    """Return what a search can still do, from how its trials went.

    Args:
        trials: So far.
        seconds_left: Of the budget.
        first_rung_steps: See `evaluation_interval`.
        max_trials: Of the whole search; 0 for no limit.
        num_at_once: Trials that run side by side.
    """
    speeds = [one.seconds / one.last_step for one in trials if one.last_step and one.seconds]
    step_s = median(speeds) if speeds else None
    ended_s = [one.seconds for one in trials if one.outcome != "running" and one.seconds]
    allowed = max_trials - len(trials) if max_trials else None
    is_time = seconds_left > 0.0 and (step_s is None or seconds_left >= step_s * first_rung_steps)
    possible = None
    if ended_s:
        mean_s = math.fsum(ended_s) / len(ended_s)
        possible = int(seconds_left * num_at_once / mean_s) if is_time else 0
        possible = possible if allowed is None else min(possible, max(allowed, 0))
    return Forecast(max(seconds_left, 0.0), possible, is_time and (allowed is None or allowed > 0))
