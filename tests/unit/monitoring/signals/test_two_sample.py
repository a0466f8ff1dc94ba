"""Two-sample tests: hand-computed values, calibration, power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.signals.corrections import holm_corrected
from monitoring.signals.two_sample import detectable_distance, energy_test, ks_test, ordinary_effect

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_complete_separation_has_the_exact_p_value() -> None:
    """Of the 10 choose 5 = 252 orders of two samples of five, two separate them."""
    result = ks_test(np.arange(5.0), np.arange(5.0) + 10)
    assert result.effect == 1.0
    assert result.p_value == pytest.approx(2 / 252)


def test_equal_constants_do_not_differ() -> None:
    result = ks_test(np.zeros(30), np.zeros(7))
    assert (result.effect, result.p_value) == (0.0, 1.0)


def test_an_empty_sample_is_no_evidence() -> None:
    assert ks_test(np.zeros(0), np.ones(5)).p_value == 1.0


def test_a_large_baseline_gives_a_p_value_without_a_warning() -> None:
    rng = np.random.default_rng(0)
    assert 0.001 < ks_test(rng.normal(size=12_000), rng.normal(size=200)).p_value <= 1.0


def test_ties_make_the_test_conservative() -> None:
    rng = np.random.default_rng(1)
    p_values = [
        ks_test(rng.poisson(1.0, 80).astype(float), rng.poisson(1.0, 50).astype(float)).p_value
        for _ in range(600)
    ]
    for level in (0.2, 0.1, 0.05):
        assert np.mean(np.array(p_values) <= level) <= level


def test_holm_corrects_as_computed_by_hand() -> None:
    assert holm_corrected([0.04, 0.01, 0.02]) == pytest.approx((0.04, 0.03, 0.04))
    assert holm_corrected([0.5, 0.9]) == (1.0, 1.0)
    assert holm_corrected([]) == ()


@given(P_VALUES)
def test_holm_keeps_the_order_and_lies_between_alone_and_bonferroni(p_values: list[float]) -> None:
    corrected = holm_corrected(p_values)
    for raw, result in zip(p_values, corrected, strict=True):
        assert raw <= result <= min(1.0, len(p_values) * raw) + 1e-12
    by_raw = [result for _, result in sorted(zip(p_values, corrected, strict=True))]
    assert by_raw == sorted(by_raw)


def test_the_detectable_distance_reaches_its_p_value() -> None:
    distance = detectable_distance(1000, 1000, 0.01)
    assert distance == pytest.approx(math.sqrt(math.log(200) / 1000))
    shifted = np.arange(1000) + math.ceil(distance * 1000)
    assert ks_test(np.arange(1000.0), shifted.astype(float)).p_value == pytest.approx(0.01, rel=0.1)
    assert detectable_distance(0, 50, 0.01) == math.inf


def embeddings(rng: np.random.Generator, num: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    values = scale * rng.normal(size=(num, 24)) * np.linspace(2.0, 0.2, 24)
    values[:, 0] += shift
    return values.astype(np.float32)


def test_energy_p_values_of_equal_distributions_are_calibrated() -> None:
    rng = np.random.default_rng(2)
    p_values = np.array(
        [
            energy_test(embeddings(rng, 40), embeddings(rng, 30), smallest_p_value=0.02, seed=seed).p_value
            for seed in range(400)
        ]
    )
    for level in (0.02, 0.05, 0.1):
        assert (p_values <= level).mean() <= level + 3 * math.sqrt(level * (1 - level) / 400)


@pytest.mark.parametrize(("shift", "scale"), [(3.0, 1.0), (0.0, 2.0)])
def test_a_moved_or_widened_embedding_reaches_the_smallest_p_value(shift: float, scale: float) -> None:
    rng = np.random.default_rng(3)
    current = embeddings(rng, 50, shift, scale)
    result = energy_test(embeddings(rng, 100), current, smallest_p_value=0.0005, seed=0)
    assert 0.0 < result.p_value <= 0.0005
    assert result.effect > 0.3


def test_equal_distributions_have_hardly_an_effect() -> None:
    """An observation's distance to itself must not count for its own side."""
    rng = np.random.default_rng(5)
    pairs = [(embeddings(rng, 60), embeddings(rng, 50)) for _ in range(30)]
    effects = [energy_test(*pair, smallest_p_value=0.5, seed=0).effect for pair in pairs]
    assert np.mean(effects) < 0.15


def test_the_energy_distance_of_two_points_each_is_as_computed_by_hand() -> None:
    """Between {0, 0} and {2, 2}: twice the mean distance between, nothing within."""
    points = np.array([[0.0], [0.0], [2.0], [2.0]], dtype=np.float32)
    assert energy_test(points[:2], points[2:], smallest_p_value=0.5, seed=0).distance == pytest.approx(4.0)


def test_the_energy_test_repeats_with_its_seed_and_bears_large_constant_and_tiny_samples() -> None:
    rng = np.random.default_rng(4)
    large, current = embeddings(rng, 1500), embeddings(rng, 20)
    first, again = (energy_test(large, current, smallest_p_value=0.05, seed=7) for _ in range(2))
    assert first == again
    constant = np.ones((10, 3), dtype=np.float32)
    assert energy_test(constant, constant, smallest_p_value=0.01, seed=0).p_value == 1.0
    assert energy_test(constant, constant[:1], smallest_p_value=0.01, seed=0).p_value == 1.0


@pytest.mark.parametrize(("num_reference", "num_current"), [(150, 50), (40, 25), (400, 200)])
@pytest.mark.parametrize("kind", ["normal", "count", "constant"])
def test_an_ordinary_effect_is_what_random_chunks_of_one_sample_stay_below(
    num_reference: int, num_current: int, kind: str
) -> None:
    """19 of 20 chunks: of 200, 22 or more above it would come once in 1000 times."""
    rng = np.random.default_rng(num_reference)
    num = num_reference + num_current
    own = {"normal": rng.normal(size=num), "count": rng.poisson(2.0, num), "constant": np.ones(num)}[kind]
    effects = []
    for _ in range(200):
        shuffled = rng.permutation(own)
        effects.append(ks_test(shuffled[:num_reference], shuffled[num_reference:]).effect)
    assert sum(effect > ordinary_effect(num_reference, num_current) for effect in effects) < 22


@pytest.mark.parametrize(("shift", "spread"), [(0.0, 1.0), (1.0, 1.0), (0.5, 3.0), (4.0, 1.0)])
def test_a_band_around_an_effect_holds_the_true_one(shift: float, spread: float) -> None:
    from scipy.stats import norm

    rng, grid = np.random.default_rng(3), np.linspace(-20, 20, 20_001)
    true = float(np.abs(norm.cdf(grid) - norm.cdf(grid, shift, spread)).max())
    half, num_missed = ordinary_effect(120, 60), 0
    for _ in range(200):
        effect = ks_test(rng.normal(size=120), rng.normal(shift, spread, 60)).effect
        num_missed += abs(effect - true) > half
    assert num_missed < 22
