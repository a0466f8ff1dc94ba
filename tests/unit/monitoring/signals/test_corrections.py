"""Corrections for many tests, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.signals.corrections import family_corrected, holm_corrected, step_up_corrected

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_step_up_p_values_are_those_computed_by_hand() -> None:
    """5 · 0.008 / 1, 5 · 0.01 / 2, …: the second is smaller and takes the first along."""
    found = step_up_corrected([0.01, 0.2, 0.008, 0.04, 0.9])
    assert found == pytest.approx((0.025, 0.25, 0.025, 5 * 0.04 / 3, 0.9))
    assert step_up_corrected([]) == ()


@given(P_VALUES)
def test_step_up_p_values_lie_between_the_raw_ones_and_holms(p_values: list[float]) -> None:
    found, holm = step_up_corrected(p_values), holm_corrected(p_values)
    slack = 1.0 + 1e-12
    assert all(
        raw <= one * slack <= other * slack**2 for raw, one, other in zip(p_values, found, holm, strict=True)
    )


@given(P_VALUES)
def test_a_smaller_p_value_is_never_corrected_to_a_larger_one(p_values: list[float]) -> None:
    found = [one for _, one in sorted(zip(p_values, step_up_corrected(p_values), strict=True))]
    assert found == sorted(found)


def test_a_family_that_is_not_chosen_has_no_discovery_however_small_its_least_p_value() -> None:
    """Simes: 2 · 0.004 = 0.008 and 2 · 0.03 = 0.06; after Benjamini and Hochberg 0.016 and 0.06."""
    found = family_corrected({"bolt": [0.004, 0.9], "nut": [0.03, 0.8]}, level=0.05)
    assert found["bolt"] == pytest.approx((2 * 0.008, 1.0))
    assert found["nut"] == pytest.approx((2 * 0.06, 1.0))


def test_tests_of_a_chosen_family_are_stricter_the_fewer_are_chosen() -> None:
    """Within bolt the second has 0.02. One of two families is chosen: 0.04; with both: 0.02."""
    alone = family_corrected({"bolt": [0.001, 0.02], "nut": [0.9, 0.9]}, level=0.05)
    both = family_corrected({"bolt": [0.001, 0.02], "nut": [0.001, 0.9]}, level=0.05)
    assert alone["bolt"][1] == pytest.approx(0.04)
    assert both["bolt"][1] == pytest.approx(0.02)


def test_no_families_have_no_p_values() -> None:
    assert family_corrected({}, level=0.05) == {}


def test_with_nothing_true_a_family_is_chosen_as_rarely_as_stated() -> None:
    """20 classes of 8 tests that depend on each other: at 5 % of 2000, above 130 comes in 1 of 1000."""
    rng = np.random.default_rng(0)
    num_wrong = 0
    for _ in range(2000):
        common = rng.normal(size=(20, 1))
        z = np.sqrt(0.5) * common + np.sqrt(0.5) * rng.normal(size=(20, 8))
        p_values = 2.0 * _upper_tail(np.abs(z))
        found = family_corrected({str(n): row.tolist() for n, row in enumerate(p_values)}, level=0.05)
        num_wrong += min(min(one) for one in found.values()) <= 0.05
    assert 20 <= num_wrong <= 130


def _upper_tail(z: np.ndarray) -> np.ndarray:
    from scipy.stats import norm

    return np.asarray(norm.sf(z))
