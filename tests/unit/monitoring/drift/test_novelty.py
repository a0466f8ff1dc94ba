import numpy as np
import pytest

from monitoring.drift.baseline import Baseline
from monitoring.drift.novelty import MAX_PICTURES, MIN_PICTURES, NeighbourScorer, fit_novelty


def baseline_of(embeddings):
    return Baseline("w" * 64, "f", (), np.zeros((len(embeddings), 0)), embeddings.astype(np.float32))


def fit(baseline: Baseline, *, percent: float) -> NeighbourScorer:
    scorer = fit_novelty(baseline, out_of_distribution_percent=percent)
    assert scorer is not None
    return scorer


def two_cameras(random, count, distance=6.0):
    points = random.normal(size=(count, 8))
    points[: count // 2] += distance
    return points * np.array([1, 1, 1, 1, 50, 0.01, 1, 1])


@pytest.mark.parametrize("count", [MIN_PICTURES, 100, 1000])
def test_about_the_promised_share_of_own_pictures_is_flagged(count):
    random = np.random.default_rng(count)
    percent, fresh, flagged = 5.0, 400, 0
    for _ in range(5):
        scorer = fit(baseline_of(two_cameras(random, count)), percent=percent)
        flagged += sum(scorer.score(row).is_out_of_distribution for row in two_cameras(random, fresh))
    promised = max(percent / 100, 1 / (count + 1))
    assert flagged / (5 * fresh) == pytest.approx(promised, abs=0.035)


def test_a_camera_between_two_known_ones_is_unlike_both():
    random = np.random.default_rng(0)
    scorer = fit(baseline_of(two_cameras(random, 200, 20.0)), percent=1.0)
    between = np.full(8, 10.0) * np.array([1, 1, 1, 1, 50, 0.01, 1, 1])
    assert scorer.score(between).is_out_of_distribution
    assert scorer.score(between).score == 1.0
    assert not scorer.score(np.zeros(8, np.float32)).is_out_of_distribution


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_as_far_out_as_can_be(broken):
    scorer = fit(baseline_of(np.random.default_rng(0).normal(size=(50, 4))), percent=1.0)
    found = scorer.score(np.array([0, 0, 0, broken], np.float32))
    assert (found.score, found.is_out_of_distribution) == (1.0, True)


def test_the_nearest_own_picture_is_found_by_its_row_in_units_of_spread():
    """One coordinate is measured in thousands: unscaled, it alone would decide."""
    random = np.random.default_rng(3)
    points = random.normal(size=(100, 3)) * np.array([1.0, 1.0, 1000.0])
    scorer = fit(baseline_of(points), percent=1.0)
    nudged = points[[7, 42, 99]] + np.array([0.001, -0.001, 1.0])
    assert scorer.find_nearest(nudged.astype(np.float32)).tolist() == [7, 42, 99]


def test_of_a_thinned_out_baseline_the_nearest_row_is_one_of_the_whole_baseline():
    points = np.arange(2 * MAX_PICTURES, dtype=np.float64)[:, None]
    scorer = fit(baseline_of(points), percent=1.0)
    (row,) = scorer.find_nearest(np.array([[3000.2]], np.float32)).tolist()
    assert abs(row - 3000) <= 1


def test_too_few_pictures_say_nothing():
    few = baseline_of(np.zeros((MIN_PICTURES - 1, 4)))
    assert fit_novelty(few, out_of_distribution_percent=1.0) is None


def test_a_coordinate_that_never_moves_does_no_harm():
    points = np.random.default_rng(0).normal(size=(60, 4))
    points[:, 2] = 7.0
    scorer = fit(baseline_of(points), percent=1.0)
    assert not scorer.score(points.mean(axis=0)).is_out_of_distribution


def test_a_large_baseline_is_thinned():
    points = np.random.default_rng(0).normal(size=(2500, 4))
    assert len(fit(baseline_of(points), percent=1.0).points) == 2000


def test_many_pictures_are_ranked_as_each_alone():
    random = np.random.default_rng(3)
    scorer = fit(baseline_of(random.normal(size=(100, 8))), percent=1.0)
    rows = (random.normal(size=(5000, 8)) * 2).astype(np.float32)
    alone = [scorer.score(row).score for row in rows[:50]] + [scorer.score(row).score for row in rows[-50:]]
    ranked = scorer.rank(rows)
    assert np.concatenate([ranked[:50], ranked[-50:]]).tolist() == pytest.approx(alone, abs=0.011)
