"""The distribution of a number in a few kilobytes: what is exact, what is not, and by how much."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskloop.errors import IntegrityError
from monitoring.sketches.number_sketch import NumberSketch, merge_numbers

numbers = st.lists(st.floats(-1e6, 1e6, width=32), max_size=400)


def worst_rank(sketch: NumberSketch, values: np.ndarray) -> float:
    """Return by how much the sketch's distribution function is wrong at most."""
    ordered = np.sort(values.astype(np.float32))
    places, shares = sketch.steps()
    up_to = np.searchsorted(ordered, places, side="right") / len(ordered)
    before = np.searchsorted(ordered, places, side="left") / len(ordered)
    return float(max(np.abs(up_to - shares).max(), np.abs(before - np.r_[0.0, shares[:-1]]).max()))


def test_a_few_values_are_kept_exactly() -> None:
    sketch = NumberSketch.of([3.0, 1.0, 2.0, 2.0])
    assert (sketch.num_values, sketch.num_missing, sketch.mean) == (4, 0, 2.0)
    assert sketch.deviation == pytest.approx(np.std([3, 1, 2, 2], ddof=1))
    assert sketch.rank_error == 0.0
    values, shares = sketch.steps()
    assert values.tolist() == [1.0, 2.0, 3.0]
    assert shares.tolist() == [0.25, 0.75, 1.0]
    assert sketch.quantiles((0.0, 0.5, 1.0)) == (1.0, 2.0, 3.0)
    assert sketch.ends == (1.0, 3.0)


def test_no_value_is_no_error_and_has_no_quantiles() -> None:
    for nothing in (NumberSketch(), NumberSketch.of([]), NumberSketch.of([float("nan")] * 3)):
        assert (nothing.num_values, nothing.mean, nothing.deviation) == (0, 0.0, None)
        assert nothing.quantiles((0.5,)) is nothing.ends is None
        assert nothing.steps()[0].size == 0
        assert NumberSketch.from_bytes(nothing.to_bytes()) == nothing


def test_nan_and_infinity_are_missing_and_reach_no_figure() -> None:
    sketch = NumberSketch.of([1.0, float("nan"), float("inf"), 3.0, -float("inf")], num_missing=2)
    assert (sketch.num_values, sketch.num_missing, sketch.mean) == (2, 5, 2.0)


def test_one_value_has_a_mean_and_no_deviation() -> None:
    sketch = NumberSketch.of([7.5])
    assert (sketch.mean, sketch.deviation, sketch.quantiles((0.05, 0.95))) == (7.5, None, (7.5, 7.5))


def test_a_constant_is_one_step_however_often_it_came() -> None:
    sketch = NumberSketch.of(np.full(50_000, 0.3))
    values, shares = sketch.steps()
    assert values.tolist() == [np.float32(0.3)]
    assert shares.tolist() == [1.0]
    assert sketch.deviation == pytest.approx(0.0, abs=1e-12)


def test_values_beyond_float32_are_kept_at_its_end() -> None:
    largest = float(np.finfo(np.float32).max)
    sketch = NumberSketch.of([1e300, -1e300])
    assert (sketch.ends, sketch.mean) == ((-largest, largest), 0.0)
    assert sketch.deviation == pytest.approx(2**0.5 * largest)


def test_a_million_values_take_a_few_kilobytes_and_their_ranks_are_within_the_bound() -> None:
    values = np.random.default_rng(3).lognormal(size=1_000_000)
    sketch = NumberSketch.of(values)
    assert len(sketch.to_bytes()) < 4000
    assert 0.0 < sketch.rank_error < 0.0134
    assert worst_rank(sketch, values) <= sketch.rank_error
    assert sketch.mean == pytest.approx(values.mean())
    assert sketch.deviation == pytest.approx(values.std(ddof=1))
    assert sketch.ends == (np.float32(values.min()), np.float32(values.max()))


def test_ranks_exceed_the_bound_no_more_often_than_stated_also_when_168_hours_are_merged() -> None:
    rng = np.random.default_rng(5)
    exceeded = 0
    for _ in range(200):
        values = rng.normal(size=10_000)
        week = merge_numbers(map(NumberSketch.of, np.array_split(values, 168)))
        exceeded += worst_rank(week, values) > week.rank_error
    assert exceeded <= 7  # stated is 1 in 100; more than 7 of 200 has a probability of 0.1 %


@pytest.mark.parametrize("size", [50, 300, 595, 1500])
def test_hours_of_any_size_add_up_to_the_whole(size: int) -> None:
    """The library's iteration gives every value the weight 1 after some of these merges."""
    values = np.random.default_rng(size).normal(size=(20, size))
    week = merge_numbers(map(NumberSketch.of, values))
    assert week.steps()[1][-1] == 1.0
    assert worst_rank(week, values.ravel()) <= week.rank_error


@given(st.lists(numbers, min_size=1, max_size=6), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_a_week_is_the_merge_of_its_hours_in_any_order_and_grouping(
    hours: list[list[float]], shuffled: object
) -> None:
    sketches = [NumberSketch.of(hour, num_missing=len(hour) % 3) for hour in hours]
    together = NumberSketch.of([value for hour in hours for value in hour])
    in_order = merge_numbers(sketches)
    reverse = merge_numbers(reversed(sketches))
    grouped = merge_numbers([merge_numbers(sketches[:2]), merge_numbers(sketches[2:])])
    scale = max([1.0, *(abs(value) for hour in hours for value in hour)])
    for merged in (in_order, reverse, grouped):
        assert merged.num_values == together.num_values
        assert merged.num_missing == sum(one.num_missing for one in sketches)
        assert merged.mean == pytest.approx(together.mean, abs=1e-9 * scale)
        assert merged.squares == pytest.approx(together.squares, rel=1e-6, abs=1e-9 * scale**2)
        if merged.num_values:
            assert merged.ends == together.ends
            values = np.array([value for hour in hours for value in hour])
            assert worst_rank(merged, values) <= 3 * max(merged.rank_error, 1e-9)


@given(numbers)
@settings(deadline=None)
def test_the_distribution_function_rises_to_one(values: list[float]) -> None:
    places, shares = NumberSketch.of(values).steps()
    assert all(low < high for low, high in pairwise(places.tolist()))
    assert all(low < high for low, high in pairwise([0.0, *shares.tolist()]))
    if values:
        assert shares[-1] == pytest.approx(1.0)


@given(numbers)
@settings(deadline=None)
def test_bytes_come_back_as_they_were(values: list[float]) -> None:
    sketch = NumberSketch.of(values, num_missing=3)
    assert NumberSketch.from_bytes(sketch.to_bytes()) == sketch


def test_merging_with_nothing_changes_nothing() -> None:
    sketch = NumberSketch.of([1.0, 2.0])
    merged = merge_numbers([NumberSketch(), sketch, NumberSketch(num_missing=2)])
    assert (merged.num_values, merged.num_missing, merged.mean, merged.squares) == (2, 2, 1.5, 0.5)
    assert merge_numbers([]) == NumberSketch()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:20],
        lambda data: data[:-3],
        lambda data: bytes([9]) + data[1:],
        lambda data: data[:1] + bytes([data[1] ^ 1]) + data[2:],
        lambda data: data[:33] + b"garbage",
    ],
    ids=["empty", "head cut", "tail cut", "another format", "another count", "another sketch"],
)
def test_damage_is_named(damage: object) -> None:
    data = NumberSketch.of(np.arange(1000.0)).to_bytes()
    with pytest.raises(IntegrityError, match="a sketch cannot be read"):
        NumberSketch.from_bytes(damage(data))  # type: ignore[operator]
