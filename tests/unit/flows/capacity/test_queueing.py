"""Waits at a queue: hand-computed cases, and a queue that is played."""

from __future__ import annotations

import math

import numpy as np
import pytest

from flows.capacity.queueing import mean_wait_s, wait_quantile_s


def play(load: float, service_s: np.ndarray, *, seed: int = 7) -> np.ndarray:
    """Return the waits of Poisson arrivals at one queue, by Lindley's recursion."""
    gaps_s = np.random.default_rng(seed).exponential(service_s.mean() / load, len(service_s))
    waits_s, wait_s = np.empty(len(service_s)), 0.0
    for number, (took_s, gap_s) in enumerate(zip(service_s, gaps_s, strict=True)):
        waits_s[number] = wait_s
        wait_s = max(0.0, wait_s + took_s - gap_s)
    return waits_s


def test_exponential_service_waits_as_long_as_an_m_m_1_queue() -> None:
    arrivals, services = 70.0, 100.0
    assert mean_wait_s(0.7, 1 / services, variation=1.0) == pytest.approx(0.7 / (services - arrivals))
    tail_s = wait_quantile_s(0.7, 1 / services, variation=1.0, share=0.95)
    assert 0.7 * math.exp(-(services - arrivals) * tail_s) == pytest.approx(0.05)


def test_equal_times_halve_the_mean_wait() -> None:
    assert mean_wait_s(0.8, 0.01, variation=0.0) == pytest.approx(mean_wait_s(0.8, 0.01, variation=1.0) / 2)


def test_nearly_everybody_finds_an_idle_replica_idle() -> None:
    assert wait_quantile_s(0.05, 0.01, variation=1.0, share=0.95) == 0.0
    assert wait_quantile_s(0.0, 0.01, variation=1.0, share=0.95) == 0.0


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_a_queue_that_is_played_waits_as_the_formula_says(load: float) -> None:
    drawn_s = np.random.default_rng(1).exponential(0.01, 100_000)
    equal_s = np.full(100_000, 0.01)

    for service_s, variation in ((drawn_s, 1.0), (equal_s, 0.0)):
        waits_s = play(load, service_s)
        assert waits_s.mean() == pytest.approx(mean_wait_s(load, 0.01, variation=variation), rel=0.1)
    tail_s = float(np.quantile(play(load, equal_s), 0.95))
    assert wait_quantile_s(load, 0.01, variation=0.0, share=0.95) == pytest.approx(tail_s, rel=0.15)
