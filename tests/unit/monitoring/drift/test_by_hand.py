"""Two-sample tests, baselines and novelty on samples small enough to be computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from maskloop.errors import DataError
from monitoring.drift.baseline import Baseline, build_baseline, embedding_matrix, feature_matrix
from monitoring.drift.novelty import NeighbourScorer, fit_novelty
from monitoring.features.observation import Observation
from monitoring.signals.two_sample import detectable_distance, energy_test, ks_test

# --- two samples ----------------------------------------------------------------------------------


def test_the_distance_of_two_samples_is_the_largest_gap_of_their_shares() -> None:
    """Up to 2 lie two thirds of the first and a quarter of the second."""
    result = ks_test(np.array([1.0, 2.0, 5.0]), np.array([2.0, 3.0, 4.0, 6.0]))
    assert result.effect == result.distance == pytest.approx(2 / 3 - 1 / 4)


@pytest.mark.parametrize(("num_reference", "num_current"), [(0, 5), (5, 0), (0, 0)])
def test_without_values_on_one_side_no_distance_is_certain(num_reference: int, num_current: int) -> None:
    assert detectable_distance(num_reference, num_current, 0.01) == float("inf")
    nothing = ks_test(np.zeros(num_reference), np.ones(num_current))
    assert (nothing.distance, nothing.p_value, nothing.effect) == (0.0, 1.0, 0.0)


def test_more_samples_and_a_larger_p_value_make_smaller_distances_certain() -> None:
    assert detectable_distance(50, 50, 0.01) == pytest.approx(np.sqrt(np.log(200) / 50))
    assert detectable_distance(100, 100, 0.01) < detectable_distance(50, 50, 0.01)
    assert detectable_distance(50, 50, 0.1) < detectable_distance(50, 50, 0.01)


def test_the_smallest_p_value_of_the_energy_test_is_one_more_than_its_permutations() -> None:
    """A p-value of 0.05 asks for 40 permutations; none of them separates two clusters as well."""
    near, far = np.zeros((15, 2), dtype=np.float32), np.full((15, 2), 9, dtype=np.float32)
    spread = np.linspace(0, 1, 30, dtype=np.float32).reshape(15, 2)
    result = energy_test(near + spread, far + spread, smallest_p_value=0.05, seed=0)
    assert result.p_value == pytest.approx(1 / 41)
    assert result.effect == 1.0


# --- baseline -------------------------------------------------------------------------------------


def test_a_matrix_has_a_row_for_each_picture_and_nan_where_nothing_was_measured() -> None:
    seen = [Observation({"a": 1.0, "b": None}), Observation({"b": 4.0})]
    np.testing.assert_array_equal(feature_matrix(seen, ("b", "a")), [[np.nan, 1.0], [4.0, np.nan]])
    assert feature_matrix([], ("a",)).shape == (0, 1)


def test_embeddings_of_those_that_have_one_are_rows() -> None:
    seen = [Observation({}, (1.0, 2.0)), Observation({}), Observation({}, (3.0, 4.0))]
    assert embedding_matrix(seen).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert embedding_matrix([Observation({})]).shape == (0, 0)


@pytest.mark.parametrize(
    ("values", "embeddings", "says"),
    [
        (np.zeros((3, 2)), np.zeros((0, 0)), "1 features, values"),
        (np.zeros(3), np.zeros((0, 0)), "1 features, values"),
        (np.zeros((3, 1)), np.zeros(4), "finite and two-dimensional"),
        (np.zeros((3, 1)), np.full((1, 1), np.inf), "finite and two-dimensional"),
    ],
)
def test_a_baseline_of_another_shape_is_refused(
    values: NDArray[np.float64], embeddings: NDArray[np.float64], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Baseline("w", "f", ("a",), values, embeddings.astype(np.float32))


def test_a_baseline_without_pictures_says_what_it_needs() -> None:
    with pytest.raises(DataError) as refused:
        build_baseline([], weights_digest="w", data_fingerprint="f")
    assert str(refused.value) == (
        "a baseline needs validation pictures, and there are none. Ingest data with a val split"
    )


# --- novelty --------------------------------------------------------------------------------------


def line_of(num: int) -> Baseline:
    """Return pictures whose embeddings are the numbers 0, 1, 2, …"""
    embeddings = np.arange(num, dtype=np.float32).reshape(num, 1)
    return Baseline("w", "f", (), np.zeros((num, 0)), embeddings)


def test_own_pictures_lie_as_far_out_as_their_fifth_nearest_other_one() -> None:
    """On a line of 30 numbers that is 3 apart, and 4 and 5 for the last two at each end."""
    scorer = fit_novelty(line_of(30), out_of_distribution_percent=1.0)
    assert scorer is not None
    step = float(scorer.points[1, 0] - scorer.points[0, 0])
    assert (scorer.own_distances / step).round().tolist() == [3] * 26 + [4] * 2 + [5] * 2


@pytest.mark.parametrize(
    ("number", "score", "percent", "is_flagged"),
    [
        (15.0, 0.0, 49.0, False),
        (29.5, 28 / 30, 9.0, False),
        (29.5, 28 / 30, 10.0, True),
        (34.5, 1.0, 0.001, True),
    ],
)
def test_novelty_is_the_rank_among_own_pictures(
    number: float, score: float, percent: float, is_flagged: bool
) -> None:
    """Half a step past the end the fifth nearest is 4.5 away: 28 of 30 lie less far, so p is 3 of 31."""
    scorer = fit_novelty(line_of(30), out_of_distribution_percent=percent)
    assert scorer is not None
    found = scorer.score(np.array([number], dtype=np.float32))
    assert found.score == pytest.approx(score)
    assert found.is_out_of_distribution == is_flagged


@pytest.mark.parametrize(("num", "is_fitted"), [(29, False), (30, True)])
def test_thirty_pictures_are_enough_to_tell_novelty(num: int, is_fitted: bool) -> None:
    assert (fit_novelty(line_of(num), out_of_distribution_percent=1.0) is not None) == is_fitted


@pytest.mark.parametrize(("share", "is_flagged"), [(0.8, True), (0.79, False)])
def test_a_picture_as_far_out_as_an_own_one_does_not_lie_further_out(share: float, is_flagged: bool) -> None:
    """Of own distances 1, 2, 3 and 4 one is below 2: a score of 1 in 4, and a p-value of 4 in 5."""
    one, own = np.ones(1, dtype=np.float32), np.array([1.0, 2.0, 3.0, 4.0])
    scorer = NeighbourScorer(np.zeros((5, 1), dtype=np.float32), 0 * one, one, own, share, np.arange(5))
    found = scorer.score(np.array([2.0], dtype=np.float32))
    assert (found.score, found.is_out_of_distribution) == (0.25, is_flagged)
