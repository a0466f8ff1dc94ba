"""How different two samples are in all numbers together."""

from __future__ import annotations

import numpy as np

from monitoring.signals.classifier import MAX_ROWS, joint_effect
from monitoring.signals.two_sample import ks_test


def test_samples_of_one_distribution_hardly_differ() -> None:
    rng = np.random.default_rng(0)
    effects = [joint_effect(rng.normal(size=(150, 8)), rng.normal(size=(50, 8)), seed=0) for _ in range(10)]
    assert np.median(effects) < 0.15


def test_numbers_that_go_together_in_another_way_differ_together_only() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(200, 1)) + 0.2 * rng.normal(size=(200, 2))
    current = rng.normal(size=(100, 1)) * [1.0, -1.0] + 0.2 * rng.normal(size=(100, 2))
    assert max(ks_test(reference[:, one], current[:, one]).effect for one in (0, 1)) < 0.2
    assert joint_effect(reference, current, seed=0) > 0.5


def test_constant_numbers_and_tiny_samples_tell_nothing() -> None:
    assert joint_effect(np.ones((30, 2)), np.ones((30, 2)), seed=0) == 0.0
    assert joint_effect(np.zeros((30, 2)), np.arange(10.0).reshape(5, 2), seed=0) == 0.0


def test_large_samples_are_drawn_from() -> None:
    rng = np.random.default_rng(0)
    reference, current = rng.normal(size=(3 * MAX_ROWS, 3)), rng.normal(size=(MAX_ROWS + 1, 3)) + 3.0
    assert joint_effect(reference, current, seed=0) > 0.9
