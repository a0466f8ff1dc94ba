"""Tests of whether a mean is at least (at most) a limit; each holds however often it is read.

Testing by betting (I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by betting,
Journal of the Royal Statistical Society B 86, 2024): a bettor who doubts that the mean is m stakes a
predictable share of a fortune of 1 on each next value. If the mean is m (or on the safe side of it), the
fortune is a non-negative supermartingale and ever reaches 1/alpha with a chance of at most alpha (Ville's
inequality). So the test may be read after every value and stopped at any time.

The values must be bounded; nothing else about their distribution is assumed.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Outcome = Literal["pass", "fail", "undecided"]
_LARGEST_BET: Final = 0.75
"""Largest stake as a share of the fortune: below 1, so that no single value can lose all of it."""
_FIRST_RESTART: Final = 20


def judge_mean(
    values: NDArray[np.float64],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    lower: float,
    upper: float,
    error_rate: float,
    pass_error_rate: float | None = None,
    min_samples: int = 1,
) -> Outcome:
    """Judge whether a mean is on the right side of one bound.

    ``fail`` if a mean on the right side would make these values too unlikely: an honest model fails with a
    chance of at most ``error_rate``, however long it is watched. ``pass`` if a mean on the wrong side
    would; otherwise, and before ``min_samples``, ``undecided``. What was decided on fewer values stays
    decided on more.

    Args:
        values: float64 (N,), in order of arrival.
        at_least: The mean should be this or more. Exactly one of the two bounds is given.
        at_most: The mean should be this or less.
        lower: Smallest possible value.
        upper: Largest possible value.
        error_rate: 0..1, of failing wrongly.
        pass_error_rate: 0..1, of passing wrongly; by default the same.
        min_samples: Neither answer is given on fewer values.

    Raises:
        ValueError: if both or none of the bounds are given, or a value is not finite or outside its bounds.
    """
    if (at_least is None) == (at_most is None):
        raise ValueError("give exactly one of at_least and at_most")
    scaled = _scaled(values, lower, upper)
    if len(values) < max(min_samples, 1):
        return "undecided"
    if at_most is not None:
        scaled, required = 1.0 - scaled, (upper - at_most) / (upper - lower)
    else:
        required = (float(at_least or 0.0) - lower) / (upper - lower)
    pass_error_rate = error_rate if pass_error_rate is None else pass_error_rate
    if required > 0.0 and _is_implausible(1.0 - scaled, 1.0 - required, error_rate):
        return "fail"
    if required <= 0.0 or _is_implausible(scaled, required, pass_error_rate):
        return "pass"
    return "undecided"


def share_error_rate(error_rate: float, num_tests: int) -> float:
    """Return each test's part, so that all together err with at most ``error_rate`` (C. Bonferroni, 1936).

    >>> share_error_rate(0.05, 5)
    0.01
    """
    return error_rate / num_tests


def _scaled(values: NDArray[np.float64], lower: float, upper: float) -> NDArray[np.float64]:
    if not lower < upper:
        raise ValueError(f"the smallest possible value, {lower}, is not below the largest, {upper}")
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite")
    if values.size and (values.min() < lower or values.max() > upper):
        raise ValueError(f"a value is not in {lower}..{upper}")
    return (values.astype(np.float64) - lower) / (upper - lower)


def _bets(values: NDArray[np.float64], error_rate: float) -> NDArray[np.float64]:
    """Return (N,) predictable bets: each depends on earlier values only (the paper's plug-in rule)."""
    times = np.arange(1, len(values) + 1)
    means = (0.5 + np.cumsum(values)) / (times + 1)
    variances = (0.25 + np.cumsum((values - means) ** 2)) / (times + 1)
    before = np.concatenate(([0.25], variances[:-1]))
    bets: NDArray[np.float64] = np.sqrt(2 * math.log(2 / error_rate) / (before * times * np.log1p(times)))
    return bets


def _log_fortune(values: NDArray[np.float64], mean: float, error_rate: float) -> float:
    """Return the largest logarithm that the fortune of a bettor on "more than ``mean``" ever reached."""
    if mean <= 0.0:
        return math.inf
    bets = np.minimum(_bets(values, error_rate), _LARGEST_BET / mean)
    return float(np.cumsum(np.log1p(bets * (values - mean))).max(initial=0.0))


def _is_implausible(values: NDArray[np.float64], mean: float, error_rate: float) -> bool:
    """Tell whether a bettor on "more than ``mean``" ever got rich enough.

    Bettors also begin at later values, 20, 40, 80 and so on, with parts of the fortune that add up to one
    (1/2 + 1/6 + 1/12 + …): what was so at first is not held against what is so now.
    """
    start, share = 0, 1
    while start < max(len(values), 1):
        threshold = math.log(share * (share + 1) / error_rate)
        if _log_fortune(values[start:], mean, error_rate) >= threshold:
            return True
        start, share = max(2 * start, _FIRST_RESTART), share + 1
    return False
