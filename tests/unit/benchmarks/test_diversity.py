import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.labelling.diversity import pick_diverse, scale_points


def names(num):
    return [f"{number:03d}" for number in range(num)]


def test_the_best_comes_first_and_then_what_is_good_and_far_away():
    # 1 lies beside 0, 2 beside 3; the median of the six distances is 10, which counts as 1.
    points = np.array([[0.0], [1.0], [10.0], [11.0]])
    assert pick_diverse(np.array([1.0, 0.9, 0.8, 0.7]), points, names(4), 2) == [0, 2]


def test_a_lookalike_of_a_high_score_comes_after_a_distant_picture_of_a_lower_one():
    points = np.array([[0.0], [0.0], [5.0]])
    assert pick_diverse(np.array([1.0, 1.0, 0.2]), points, names(3), 3) == [0, 2, 1]


def test_where_all_pictures_look_the_same_scores_decide():
    scores = np.array([0.2, 0.9, 0.5])
    assert pick_diverse(scores, np.zeros((3, 2)), names(3), 3) == [1, 2, 0]


def test_a_picture_far_from_all_gains_no_more_than_one_at_the_median_distance():
    points = np.array([[0.0], [5.0], [-5.0], [10.0], [1000.0]])  # the median of the ten distances is 12.5
    scores = np.array([1.0, 0.1, 0.1, 0.9, 0.6])
    assert pick_diverse(scores, points, names(5), 2) == [0, 3]  # 0.9 * 10 / 12.5 against 0.6 * 1


@given(st.integers(1, 8), st.randoms(use_true_random=False))
def test_the_order_of_the_pictures_does_not_matter(num, random):
    draw = np.random.default_rng(num)
    scores, points = draw.integers(0, 3, num) / 2.0, draw.integers(0, 3, (num, 2)).astype(float)
    order = random.sample(range(num), num)
    chosen = pick_diverse(scores, points, names(num), num)
    shuffled = pick_diverse(scores[order], points[order], [names(num)[index] for index in order], num)
    assert [order[index] for index in shuffled] == chosen
    assert sorted(chosen) == list(range(num))


def test_coordinates_get_unit_spread_and_an_unknown_row_lies_in_the_middle():
    points = scale_points([(0.0, 100.0), None, (2.0, 300.0), (1.0, 2.0, 3.0)])
    assert points.tolist() == [[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    assert scale_points([None, None]).tolist() == [[0.0], [0.0]]
