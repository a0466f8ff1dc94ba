"""A part of the pictures that no single property shows is found, and chance is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from monitoring.signals.newcomers import SUREST_P_VALUE, find_newcomers


def pictures(rng: np.random.Generator, num: int, *, is_blurred: bool = False) -> NDArray[np.float64]:
    """Return four properties: sharpness follows contrast, which differs much from picture to picture."""
    contrast, light, colour = rng.normal(size=(3, num))
    sharpness = 2.0 * contrast + 0.2 * rng.normal(size=num) - 1.5 * is_blurred
    return np.column_stack([contrast, light, colour, sharpness])


def test_a_fifth_that_only_two_properties_together_betray_is_found_and_named() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        window = np.concatenate([pictures(rng, 160), pictures(rng, 40, is_blurred=True)])
        found = find_newcomers(pictures(rng, 150), window, smallest_p_value=0.002, seed=0)
        assert found.p_value <= 0.002
        assert found.share == pytest.approx(0.2, abs=0.1)
        assert found.familiarity <= 1 / 8
        assert np.mean(np.array(found.places[:30]) >= 160) >= 0.9


def test_more_of_what_the_reference_has_already_is_certain_and_familiar() -> None:
    """A fifth of the reference and half of the window: the like is 0.4 times as common."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        known, now = (
            np.concatenate([pictures(rng, others), pictures(rng, blurred, is_blurred=True)])
            for others, blurred in ((160, 40), (100, 100))
        )
        found = find_newcomers(known, now, smallest_p_value=0.002, seed=0)
        assert found.p_value <= 0.002
        assert found.familiarity >= 1 / 4


def test_pictures_of_one_distribution_reach_a_p_value_as_often_as_it_says() -> None:
    p_values = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        values = rng.standard_t(3, size=(90, 3)).round(1)  # heavy tails, ties
        p_values.append(find_newcomers(values[:50], values[50:], smallest_p_value=0.05, seed=seed).p_value)
    assert np.mean(np.array(p_values) <= 0.05) <= 0.1
    assert np.mean(np.array(p_values) <= 0.5) <= 0.6


def test_the_same_seed_finds_the_same() -> None:
    rng = np.random.default_rng(0)
    sides = pictures(rng, 700), pictures(rng, 600)
    one, other = (find_newcomers(*sides, smallest_p_value=0.02, seed=3) for _ in range(2))
    assert one == other
    assert max(one.places) < 600


@pytest.mark.parametrize(("num_reference", "num_current"), [(0, 50), (50, 0), (5, 50), (50, 5)])
def test_too_few_pictures_on_one_side_say_nothing(num_reference: int, num_current: int) -> None:
    rng = np.random.default_rng(0)
    sides = pictures(rng, num_reference), pictures(rng, num_current) + 9.0
    found = find_newcomers(*sides, smallest_p_value=0.01, seed=0)
    assert (found.p_value, found.share, found.places, found.familiarity) == (1.0, 0.0, (), 1.0)


def test_properties_that_never_change_say_nothing() -> None:
    found = find_newcomers(np.ones((40, 3)), np.ones((40, 3)), smallest_p_value=0.01, seed=0)
    assert found.p_value == 1.0


def test_a_window_that_is_new_as_a_whole_is_new_in_every_picture() -> None:
    rng = np.random.default_rng(0)
    found = find_newcomers(pictures(rng, 100), pictures(rng, 60) + 20.0, smallest_p_value=0.01, seed=0)
    assert found.p_value <= 0.01
    assert (found.share, found.familiarity) == (1.0, 0.0)
    assert len(found.places) == 60


def test_what_is_beyond_doubt_gets_a_p_value_of_more_permutations() -> None:
    rng = np.random.default_rng(0)
    sides = pictures(rng, 100), np.concatenate([pictures(rng, 50), pictures(rng, 25) + 9.0])
    found = find_newcomers(*sides, smallest_p_value=0.01, seed=0)
    assert found.surer_p_value <= SUREST_P_VALUE < found.p_value
    usual = find_newcomers(pictures(rng, 60), pictures(rng, 60), smallest_p_value=0.01, seed=0)
    assert usual.surer_p_value == usual.p_value
