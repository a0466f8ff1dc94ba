"""The learning rate and momentum of every step. Pure functions of the step's number, so nothing to resume."""

from __future__ import annotations

import math
from typing import Final, Literal

Schedule = Literal["one_cycle", "cosine", "constant"]
_FIRST_FACTOR: Final = 0.04
_MAX_RISE_SHARE: Final = 0.3
_MOMENTUM_LOW, _MOMENTUM_HIGH = 0.85, 0.95


def rise(step: int, *, steps: int, warmup_steps: int) -> float:
    """Return how far the warm-up has come at ``step`` (from 0), 0..1.

    It never takes more than 30 % of all steps, so that a short retraining still comes down again.
    """
    length = min(warmup_steps, math.floor(_MAX_RISE_SHARE * steps))
    return 1.0 if step >= length else step / length


def fall(step: int, *, steps: int, warmup_steps: int) -> float:
    """Return how far the time after the warm-up has come at ``step``, 0..1."""
    length = min(warmup_steps, math.floor(_MAX_RISE_SHARE * steps))
    return 0.0 if step < length else (step - length) / max(1, steps - length)


def learning_rate_at(step: int, *, steps: int, peak: float, warmup_steps: int, schedule: Schedule) -> float:
    """Return the learning rate of ``step`` (from 0).

    All schedules rise from 4 % of the peak: ``one_cycle`` along a cosine, the others in a line. Then
    ``one_cycle`` and ``cosine`` fall to zero along a cosine, ``constant`` stays. The cycle is that of Smith
    and Topin, "Super-Convergence", 2018, arXiv:1708.07120.

    >>> learning_rate_at(2, steps=10, peak=1.0, warmup_steps=2, schedule="cosine")
    1.0
    >>> round(learning_rate_at(6, steps=10, peak=1.0, warmup_steps=2, schedule="cosine"), 6)
    0.5
    """
    risen = rise(step, steps=steps, warmup_steps=warmup_steps)
    if risen < 1.0:
        share = _half_cosine(risen) if schedule == "one_cycle" else risen
        return peak * (_FIRST_FACTOR + (1.0 - _FIRST_FACTOR) * share)
    if schedule == "constant":
        return peak
    return peak * (1.0 - _half_cosine(fall(step, steps=steps, warmup_steps=warmup_steps)))


def momentum_at(step: int, *, steps: int, warmup_steps: int, schedule: Schedule) -> float:
    """Return SGD's momentum, or AdamW's first beta: 0.9, or opposite to the rate in ``one_cycle``."""
    if schedule != "one_cycle":
        return 0.9
    risen = rise(step, steps=steps, warmup_steps=warmup_steps)
    fallen = fall(step, steps=steps, warmup_steps=warmup_steps)
    height = _half_cosine(risen) if risen < 1.0 else 1.0 - _half_cosine(fallen)
    return _MOMENTUM_HIGH - (_MOMENTUM_HIGH - _MOMENTUM_LOW) * height


def _half_cosine(share: float) -> float:
    return 0.5 * (1.0 - math.cos(math.pi * share))
