"""Simulated rollouts: every picture draws what champion and challenger would have shown, and all checks look.

A decision, once made, stays; so the first picture at which a rollout is stopped is found by bisection, and
"looked at after every picture" costs no more than a few looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskloop.settings.slo_settings import SloSettings
from maskloop.settings.workspace_settings import RolloutSettings
from serving.rollout.analysis import analyse
from serving.rollout.checks import RolloutLimits
from serving.rollout.pairs import Comparison

SETTINGS: Final = RolloutSettings()
SLO: Final = SloSettings()
LIMITS: Final = RolloutLimits(
    agreement=0.7, lowest_count_shift=-0.25, highest_count_shift=0.25, class_flips=0.1
)
_SPREAD: Final = 0.18
"""Standard deviation of one picture's agreement; measured on the demo's pictures: 0.1 to 0.2."""

Draw = Callable[[np.random.Generator, int], list[Comparison]]


@dataclass(frozen=True)
class Challenger:
    """What a simulated challenger is like, in the figures the checks look at."""

    agreement: float = 0.82
    count_shift: float = 0.0
    class_flips: float = 0.02
    score_shift: float = 0.0
    slow_share: float = 0.1
    error_share: float = 0.0
    share_of_traffic: float = 0.1

    def draw(self, random: np.random.Generator, num_pictures: int) -> list[Comparison]:
        """Draw what is seen on so many pictures."""
        agreement = draw_beta(random, self.agreement, _SPREAD, num_pictures)
        shift = np.clip(random.normal(self.count_shift, 0.2, num_pictures), -1, 1)
        flips = random.random(num_pictures) < self.class_flips
        score = np.clip(random.normal(self.score_shift, 0.1, num_pictures), -1, 1)
        slow = random.random(num_pictures) < self.slow_share
        failed = random.random(num_pictures) < self.error_share
        live = random.random(num_pictures) < self.share_of_traffic
        return [
            Comparison(
                cycle_id="simulated",
                request_id=str(number),
                answered_by="challenger" if live[number] else "champion",
                challenger_error="failed" if failed[number] else "",
                agreement=float(agreement[number]),
                count_shift=float(shift[number]),
                flip_share=float(flips[number]),
                score_shift=float(score[number]),
                champion_s=0.020,
                challenger_s=0.040 if slow[number] else 0.021,
                latency_s=0.05,
            )
            for number in range(num_pictures)
        ]


GOOD: Final = Challenger()
AT_ITS_LIMITS: Final = Challenger(
    agreement=0.7, class_flips=0.1, score_shift=-0.15, slow_share=0.5, error_share=0.005
)
"""As bad as an honest challenger can be: means exactly on five limits at once."""


def draw_beta(random: np.random.Generator, mean: float, spread: float, size: int) -> NDArray[np.float64]:
    """Draw values in 0..1 of a given mean and standard deviation."""
    concentration = mean * (1 - mean) / spread**2 - 1
    return random.beta(mean * concentration, (1 - mean) * concentration, size)


def is_stopped(comparisons: Sequence[Comparison]) -> bool:
    """Tell whether any check fails, now or at any moment before."""
    return analyse(comparisons, (), LIMITS, SETTINGS, SLO).outcome == "fail"


def may_go_on(comparisons: Sequence[Comparison]) -> bool:
    """Tell whether every check that must be shown holds, with enough pictures."""
    enough = len(comparisons) >= SETTINGS.min_pictures
    return enough and analyse(comparisons, (), LIMITS, SETTINGS, SLO).outcome == "pass"


def first_picture(
    comparisons: Sequence[Comparison], happened: Callable[[Sequence[Comparison]], bool]
) -> float:
    """Return after how many pictures something happened for the first time; infinity if it never did."""
    if not happened(comparisons):
        return math.inf
    low, high = 0, len(comparisons)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if happened(comparisons[:middle]) else (middle, high)
    return high


def stop_times(challenger: Challenger, *, runs: int, num_pictures: int, seed: int) -> NDArray[np.float64]:
    """Return for each simulated rollout after how many pictures it was stopped; infinity if it never was."""
    random = np.random.default_rng(seed)
    return np.array([first_picture(challenger.draw(random, num_pictures), is_stopped) for _ in range(runs)])


def go_on_times(challenger: Challenger, *, runs: int, num_pictures: int, seed: int) -> NDArray[np.float64]:
    """Return for each simulated rollout after how many pictures the shadow phase would end."""
    random = np.random.default_rng(seed)
    return np.array([first_picture(challenger.draw(random, num_pictures), may_go_on) for _ in range(runs)])


def peeking_stop_times(
    challenger: Challenger, *, runs: int, num_pictures: int, seed: int, error_rate: float
) -> NDArray[np.float64]:
    """Do what is usually done: a t test of the mean agreement after every picture from the 20th on."""
    random = np.random.default_rng(seed)
    times = []
    for _ in range(runs):
        values = np.array([c.agreement for c in challenger.draw(random, num_pictures)])
        counts = np.arange(1, num_pictures + 1)
        means = np.cumsum(values) / counts
        variances = np.maximum(np.cumsum(values**2) / counts - means**2, 1e-12)
        z = (means - LIMITS.agreement) / np.sqrt(variances / counts)
        late_enough = np.flatnonzero((z < _normal_quantile(error_rate)) & (counts >= 20))
        times.append(float(late_enough[0] + 1) if late_enough.size else math.inf)
    return np.array(times)


def worse_by(drop: float) -> Challenger:
    """Return a challenger whose agreement lies below what is asked."""
    return replace(GOOD, agreement=LIMITS.agreement - drop)


def _normal_quantile(probability: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf(probability))
