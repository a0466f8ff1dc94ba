import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.selection.uncertainty import estimate_uncertainty, group_instances, measure_uncertainty
from tests.fakes.selection_data import answer

LEFT, RIGHT = (0, 0, 8, 8), (10, 0, 18, 8)


def measure(*views, num_classes=2, empty_share=0.1):
    return measure_uncertainty(views, num_classes=num_classes, empty_share=empty_share)


def test_the_same_certain_answer_in_every_view_leaves_no_uncertainty():
    assert measure(*[answer((0, 1.0, LEFT), (1, 1.0, RIGHT))] * 3).total == pytest.approx(0.0)


def test_class_uncertainty_is_the_entropy_of_class_and_remainder():
    found = measure(*[answer((0, 0.8, LEFT))] * 2)
    expected = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2)) / math.log(3)
    assert found.class_part == pytest.approx(expected)
    assert found.spatial_part == pytest.approx(0.0)
    assert found.occurrence_part == 0.0
    assert found.total == pytest.approx(expected)


def test_two_views_that_name_an_instance_differently_share_its_probability():
    found = measure(answer((0, 1.0, LEFT)), answer((1, 1.0, LEFT)))
    assert found.class_part == pytest.approx(math.log(2) / math.log(3))


def test_masks_are_compared_with_the_pixels_of_half_the_views_and_boxes_with_their_mean():
    # Eight rows each, of 8, 8 and 6 columns: two of three cover the last columns, so 64 px are common.
    found = measure(answer((0, 1.0, LEFT)), answer((0, 1.0, LEFT)), answer((0, 1.0, (0, 0, 6, 8))))
    masks = (1.0 + 1.0 + 48 / 64) / 3
    mean_right = 22 / 3
    boxes = (2 * mean_right / 8 + 6 / mean_right) / 3
    assert found.spatial_part == pytest.approx(1.0 - masks * boxes)
    assert found.class_part == pytest.approx(0.0)


def test_an_instance_in_one_view_of_four_occurs_by_a_quarter():
    found = measure(answer((0, 1.0, LEFT)), answer(), answer(), answer())
    assert found.occurrence_part == 0.75
    assert found.total == pytest.approx(0.75)


def test_a_picture_is_as_unsure_as_the_mean_of_its_groups():
    found = measure(answer((0, 1.0, LEFT), (0, 1.0, RIGHT)), answer((0, 1.0, LEFT)))
    assert [group.occurrence for group in found.groups] == [1.0, 0.5]
    assert found.total == pytest.approx((0.0 + 0.5) / 2)


def test_a_picture_in_which_nothing_is_found_is_as_unsure_as_that_is_unusual():
    assert measure(answer(), answer(), empty_share=0.02).total == pytest.approx(0.98)
    assert measure(answer(), answer(), empty_share=0.9).total == pytest.approx(0.1)


def test_instances_that_overlap_by_less_than_half_are_different_things():
    views = [answer((0, 0.9, LEFT)), answer((0, 0.9, (5, 0, 13, 8)))]
    assert sorted(map(len, group_instances(views))) == [1, 1]


def test_one_view_gives_a_group_one_instance_at_most():
    views = [answer((0, 0.9, LEFT), (1, 0.8, LEFT)), answer((0, 0.7, LEFT))]
    assert group_instances(views) == [[(0, 0), (1, 0)], [(0, 1)]]


@given(st.lists(st.integers(0, 2), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_views_does_not_matter(places, random):
    scores = [0.5 + 0.03 * index for index in range(len(places))]  # no two alike
    views = [
        answer((0, score, (3 * place, 0, 3 * place + 6, 8)))
        for place, score in zip(places, scores, strict=True)
    ]
    shuffled = random.sample(views, len(views))
    assert measure(*shuffled).total == pytest.approx(measure(*views).total)


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0.05, 1.0), st.integers(0, 10)), max_size=5))
def test_uncertainty_is_a_share(instances):
    instances = sorted(instances, key=lambda one: -one[1])
    views = [answer(*((index, score, (left, 2, left + 7, 9)) for index, score, left in instances)), answer()]
    found = measure(*views)
    parts = (found.total, found.class_part, found.spatial_part, found.occurrence_part)
    assert all(-1e-9 <= part <= 1.0 for part in parts)
    assert found.total >= max(0.0, found.occurrence_part) - 1e-9


def test_stored_scores_give_the_mean_binary_entropy_in_bits():
    found = estimate_uncertainty((1.0, 0.5, 0.01), min_score=0.25, empty_share=0.1)
    assert found.total == pytest.approx((0.0 + 1.0) / 2)
    assert (found.num_doubtful_scores, found.num_scores) == (1, 2)


def test_without_a_score_that_counts_nothing_is_found():
    assert estimate_uncertainty((0.1,), min_score=0.25, empty_share=0.04).total == pytest.approx(0.96)


def test_less_agreement_between_masks_means_more_uncertainty():
    totals = [measure(answer((0, 0.9, LEFT)), answer((0, 0.9, (0, 0, 8 - cut, 8)))).total for cut in range(4)]
    assert np.all(np.diff(totals) > 0)
