"""How far a period lies from a reference, and how wrong that may be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from monitoring.sketches.comparison import (
    Yardstick,
    compare_all,
    compare_sources,
    describe_reference,
    ks_distance,
)
from monitoring.sketches.fourier import FourierBasis, FourierSum
from monitoring.sketches.number_sketch import NumberSketch, merge_numbers

YARDSTICK = Yardstick(min_effect=0.3, false_alarm_rate=0.01, min_samples=50, max_missing_percent=10.0)
SOME = st.lists(st.integers(-20, 20), min_size=1, max_size=60)


def normal(count: int, shift: float = 0.0, seed: int = 0) -> NumberSketch:
    return NumberSketch.of(np.random.default_rng(seed).normal(size=count) + shift)


@given(SOME, SOME)
@settings(deadline=None)
def test_the_distance_of_exact_sketches_is_kolmogorov_and_smirnovs(one: list[int], other: list[int]) -> None:
    def share_up_to(values: list[int], limit: int) -> float:
        return sum(value <= limit for value in values) / len(values)

    expected = max(abs(share_up_to(one, limit) - share_up_to(other, limit)) for limit in [*one, *other])
    assert ks_distance(NumberSketch.of(one), NumberSketch.of(other)) == pytest.approx(expected)


def test_the_same_value_in_float64_and_in_the_sketch_is_the_same_value() -> None:
    assert ks_distance(NumberSketch.of([0.123457] * 9), NumberSketch.of(np.full(5000, 0.123457))) == 0.0


@pytest.mark.parametrize("shift", [0.0, 0.5, 3.0])
def test_the_distance_of_a_large_period_is_within_the_sum_of_rank_errors(shift: float) -> None:
    rng = np.random.default_rng(1)
    reference, period = rng.normal(size=800), rng.normal(size=60_000) + shift
    week = merge_numbers(map(NumberSketch.of, np.array_split(period, 168)))
    mine = NumberSketch.of(reference)
    exact = ks_2samp(reference, period, method="asymp").statistic
    assert abs(ks_distance(mine, week) - exact) <= mine.rank_error + week.rank_error


def test_a_shift_differs_the_same_is_alike_and_the_largest_comes_first() -> None:
    reference = {"same": normal(300), "shifted": normal(300), "far": normal(300)}
    period = {"same": normal(5000, seed=1), "shifted": normal(5000, 1.0, 2), "far": normal(5000, 4.0, 3)}
    found = compare_all(reference, period, YARDSTICK)
    assert [(one.feature, one.outcome) for one in found] == [
        ("far", "differs"),
        ("shifted", "differs"),
        ("same", "alike"),
    ]
    assert found[0].distance == pytest.approx(1.0, abs=0.05)


def test_a_distance_that_the_sketches_cannot_tell_from_the_limit_is_said_to_be() -> None:
    exact = Yardstick(min_effect=0.35, false_alarm_rate=0.01, min_samples=50, max_missing_percent=10.0)
    reference = NumberSketch.of(np.linspace(0, 1, 20_000))
    period = NumberSketch.of(np.linspace(0.35, 1.35, 20_000))
    (found,) = compare_all({"a": reference}, {"a": period}, exact)
    assert found.outcome == "too_close_to_tell"
    assert found.error == reference.rank_error + period.rank_error


@pytest.mark.parametrize(
    ("period", "reason"),
    [
        ({}, "no sample of the period has it"),
        ({"a": NumberSketch()}, "0 values beside 300"),
        ({"a": NumberSketch.of([1.0])}, "1 values beside 300 of the reference; 50 of each are needed"),
        ({"a": NumberSketch.of(np.arange(80.0), num_missing=20)}, "it is missing in 20 % of the samples"),
        ({"a": NumberSketch.of([float("nan")] * 9)}, "it is missing in 100 % of the samples"),
    ],
    ids=["absent", "empty", "one sample", "a fifth missing", "all NaN"],
)
def test_what_cannot_be_compared_is_inconclusive_for_a_stated_reason(
    period: dict[str, NumberSketch], reason: str
) -> None:
    (found,) = compare_all({"a": normal(300)}, period, YARDSTICK)
    assert (found.outcome, found.distance) == ("inconclusive", None)
    assert reason in found.reason


def test_constants_are_alike_and_another_constant_differs() -> None:
    constant = NumberSketch.of(np.full(300, 0.25))
    (same,) = compare_all({"a": constant}, {"a": NumberSketch.of(np.full(9000, 0.25))}, YARDSTICK)
    (other,) = compare_all({"a": constant}, {"a": NumberSketch.of(np.full(9000, 0.75))}, YARDSTICK)
    assert (same.outcome, same.distance) == ("alike", 0.0)
    assert (other.outcome, other.distance) == ("differs", 1.0)


def test_small_samples_of_one_distribution_rarely_differ() -> None:
    features = {f"f{number}": normal(60, seed=number) for number in range(20)}
    outcomes = []
    for seed in range(100):
        period = {name: normal(60, seed=1000 + 20 * seed + number) for number, name in enumerate(features)}
        found = compare_all(features, period, YARDSTICK)
        outcomes.append(any(one.outcome == "differs" for one in found))
    assert sum(outcomes) <= 5  # stated is 1 in 100 for all features together


def test_embeddings_are_compared_with_the_pooled_reference_by_their_means() -> None:
    rng = np.random.default_rng(2)
    own = rng.normal(size=(300, 8)).astype(np.float32)
    basis = FourierBasis.draw(own, seed=1)
    reference = describe_reference(("a",), own[:, :1].astype(float), FourierSum.of(own, basis))
    same = FourierSum.of(rng.normal(size=(4000, 8)).astype(np.float32), basis)
    shifted = FourierSum.of((rng.normal(size=(4000, 8)) + 1.5).astype(np.float32), basis)
    of_same, of_shifted = (
        next(one for one in compare_all(reference, {"embedding": found}, YARDSTICK) if one.distance)
        for found in (same, shifted)
    )
    assert (of_same.feature, of_same.outcome) == ("embedding", "alike")
    assert of_shifted.outcome == "differs"


def test_a_reference_leaves_out_what_it_could_not_measure() -> None:
    values = np.array([[1.0, np.nan], [2.0, 5.0]])
    reference = describe_reference(("a", "b"), values, None)
    assert [(name, one.num_values, one.num_missing) for name, one in reference.items()] == [
        ("a", 2, 0),
        ("b", 1, 0),
    ]


def test_a_known_second_camera_is_compared_with_its_own_pictures_and_not_with_all_pooled() -> None:
    first, second = normal(300), normal(100, 5.0, 1)
    references = {
        "all sources": {"brightness": merge_numbers([first, second])},
        "camera 2": {"brightness": second},
    }
    period = {
        "camera 2": {"brightness": normal(2000, 5.0, 2)},
        "camera 3": {"brightness": normal(2000, 9.0, 3)},
    }
    candidates = {"camera 2": ["camera 2"], "camera 3": ["all sources"]}
    found = compare_sources(references, period, candidates, YARDSTICK)
    assert [(one.source, one.reference, one.outcome) for one in found] == [
        ("camera 3", "all sources", "differs"),
        ("camera 2", "camera 2", "alike"),
    ]
    (pooled,) = compare_all(references["all sources"], period["camera 2"], YARDSTICK)
    assert pooled.outcome == "differs"


def test_a_source_with_two_references_is_told_beside_the_closer_one() -> None:
    references = {"as labelled": {"brightness": normal(300)}, "as taught": {"brightness": normal(300, 5.0)}}
    period = {"camera": {"brightness": normal(2000, 5.0, 4)}}
    (found,) = compare_sources(references, period, {"camera": ["as labelled", "as taught"]}, YARDSTICK)
    assert (found.reference, found.outcome) == ("as taught", "alike")


def test_the_false_alarm_rate_is_shared_by_the_sources() -> None:
    one, same = {"brightness": normal(300)}, {"brightness": normal(2000, seed=5)}
    alone, beside = (
        compare_sources({"r": one}, dict.fromkeys(sources, same), {key: ["r"] for key in sources}, YARDSTICK)[
            0
        ]
        for sources in (["a"], ["a", "b", "c"])
    )
    assert alone.noise is not None
    assert beside.noise is not None
    assert beside.noise > alone.noise
