import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.sequential import judge_mean, share_error_rate

UNIT: dict[str, Any] = {"lower": 0.0, "upper": 1.0, "error_rate": 0.05}


def test_a_fortune_grows_as_worked_out_by_hand():
    """Ones against a mean of at most 0.5: the bet is capped at 0.75 of what can be lost, 1.5.

    The bettor who begins at once has half of the fortune.
    """
    grows_by = math.log1p(1.5 * 0.5)
    needed = math.ceil(math.log(2 / 0.05) / grows_by)
    ones = np.ones(needed)
    assert judge_mean(ones, at_least=0.5, **UNIT) == "pass"
    assert judge_mean(ones[:-1], at_least=0.5, **UNIT) == "undecided"
    assert judge_mean(ones, at_most=0.5, **UNIT) == "fail"


def test_nothing_is_decided_without_values_or_with_too_few():
    assert judge_mean(np.zeros(0), at_least=0.5, **UNIT) == "undecided"
    assert judge_mean(np.zeros(50), at_least=0.5, min_samples=51, **UNIT) == "undecided"
    assert judge_mean(np.zeros(51), at_least=0.5, min_samples=51, **UNIT) == "fail"


def test_a_bad_beginning_is_not_held_against_what_came_after_it():
    """A model just loaded on a busy machine: slow at first, then for three pictures in ten."""
    random = np.random.default_rng(3)
    at_first, after = (random.random(40) < 0.6) * 1.0, (random.random(160) < 0.29) * 1.0
    rates: dict[str, Any] = {"error_rate": 0.0007, "pass_error_rate": 0.05}
    found = judge_mean(np.r_[at_first, after], at_most=0.5, lower=0.0, upper=1.0, **rates)
    assert found == "pass"


def test_nothing_that_falls_short_of_failing_keeps_it_from_passing():
    """Betting got as far as 1 in 20 at first, where 1 in 1400 is asked."""
    values = np.r_[np.ones(8), np.zeros(200)]
    assert judge_mean(values[:8], at_most=0.5, lower=0.0, upper=1.0, error_rate=0.05) == "fail"
    rates: dict[str, Any] = {"error_rate": 0.0007, "pass_error_rate": 0.05}
    assert judge_mean(values, at_most=0.5, lower=0.0, upper=1.0, **rates) == "pass"


@pytest.mark.parametrize("bound", [{"at_least": 0.7}, {"at_most": 0.7}])
def test_a_mean_at_the_bound_itself_is_left_undecided_nearly_always(bound):
    random = np.random.default_rng(0)
    outcomes = [
        judge_mean((random.random(400) < 0.7).astype(np.float64), **bound, **UNIT) for _ in range(200)
    ]
    assert outcomes.count("undecided") >= 180


def test_looking_after_every_value_stops_an_honest_model_no_more_often_than_promised():
    """The decision remembers: `fail` at the end means that it had failed at any moment before."""
    random = np.random.default_rng(1)
    runs = [random.beta(8, 2, 2000) for _ in range(300)]
    stopped = sum(judge_mean(run, at_least=0.8, **UNIT) == "fail" for run in runs)
    assert stopped <= 0.05 * 300 + 3 * math.sqrt(300 * 0.05 * 0.95)
    t_test = sum(_peeking_t_test_stops(run, 0.8) for run in runs)
    assert t_test > 3 * 0.05 * 300, "the usual test, looked at again and again, is no test"


def _peeking_t_test_stops(values, required):
    times = np.arange(1, len(values) + 1)
    means = np.cumsum(values) / times
    variances = np.cumsum(values**2) / times - means**2
    z = (means - required) / np.sqrt(np.maximum(variances, 1e-12) / times)
    return bool((z[29:] < -1.645).any())


@pytest.mark.parametrize(("mean_of", "outcome"), [((16, 4), "pass"), ((12, 8), "fail")])
def test_a_clear_case_is_decided_within_a_hundred_values(mean_of, outcome):
    high, low = mean_of
    values = np.random.default_rng(2).beta(high, low, 100)
    assert judge_mean(values, at_least=0.7, **UNIT) == outcome


@given(st.lists(st.floats(0, 1), min_size=1, max_size=100), st.floats(0.05, 0.95))
@settings(max_examples=60)
def test_at_most_is_at_least_seen_in_a_mirror(values, required):
    values = np.array(values)
    mirrored = judge_mean(1 - values, at_most=1 - required, **UNIT)
    assert judge_mean(values, at_least=required, **UNIT) == mirrored


@pytest.mark.parametrize("values", [[math.nan], [1.5], [-0.1]])
def test_values_outside_their_bounds_are_refused(values):
    with pytest.raises(ValueError, match="value"):
        judge_mean(np.array(values), at_least=0.5, **UNIT)


@pytest.mark.parametrize("bounds", [{}, {"at_least": 0.5, "at_most": 0.5}])
def test_exactly_one_bound_is_judged(bounds):
    with pytest.raises(ValueError, match="exactly one"):
        judge_mean(np.zeros(3), **bounds, **UNIT)


def test_each_of_several_tests_gets_its_part_of_the_error_rate():
    assert share_error_rate(0.05, 7) == pytest.approx(0.05 / 7)
