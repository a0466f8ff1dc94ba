"""What the loop makes of false alarms: cooldown, cycles a week and training hours, quarter by quarter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from maskloop.settings.workspace_settings import RetrainingSettings

_MONTH_DAYS: Final = 30.0
_WEEK_DAYS: Final = 7.0


@dataclass(frozen=True)
class Quarter:
    """One simulated quarter.

    Attributes:
        num_alarms: False alarms.
        num_retrainings: That they caused.
        waited_days: That triggers waited for a budget or the cooldown, together.
    """

    num_alarms: int
    num_retrainings: int
    waited_days: float


def run_quarters(
    alarms_after_days: Sequence[float | None],
    settings: RetrainingSettings,
    *,
    num_quarters: int,
    quarter_days: float,
    training_hours: float,
) -> list[Quarter]:
    """Put quarters together from runs of the detector; a retraining ends one and begins the next. Pure.

    Args:
        alarms_after_days: Of independent runs: when the false alarm came, None if none did in a quarter. The
            first ``num_quarters`` begin a quarter each; the rest follow on retrainings, over and over.
        settings: Cooldown and budgets.
        num_quarters: At most as many as there are runs.
        quarter_days: The length of a quarter.
        training_hours: Of each retraining.
    """
    following = list(alarms_after_days[num_quarters:]) or list(alarms_after_days)
    quarters, used = [], 0
    for first in alarms_after_days[:num_quarters]:
        begins, after = 0.0, first
        num_alarms, waited, trainings = 0, 0.0, list[float]()
        while after is not None and begins + after < quarter_days:
            num_alarms += 1
            alarm_at = begins + after
            starts_at = _when_allowed(alarm_at, trainings, settings, training_hours)
            waited += min(starts_at, quarter_days) - alarm_at
            if starts_at >= quarter_days:
                break
            trainings.append(starts_at)
            begins, after = starts_at + training_hours / 24.0, following[used % len(following)]
            used += 1
        quarters.append(Quarter(num_alarms, len(trainings), waited))
    return quarters


def _when_allowed(
    alarm_at: float, trainings: Sequence[float], settings: RetrainingSettings, training_hours: float
) -> float:
    """Return the first day from the alarm on at which a retraining may begin."""
    length, at = training_hours / 24.0, alarm_at
    if trainings:
        at = max(at, trainings[-1] + length + settings.cooldown_hours / 24.0)
    if len(trainings) >= settings.max_cycles_per_week:
        at = max(at, trainings[-settings.max_cycles_per_week] + _WEEK_DAYS)
    most = settings.max_training_hours_per_month
    if most and training_hours:
        num_allowed = max(1, -int(-most // training_hours))
        if len(trainings) >= num_allowed:
            at = max(at, trainings[-num_allowed] + length + _MONTH_DAYS)
    return at
