"""Instances unlike the others of their class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.health.outliers import MIN_INSTANCES, find_outliers, modified_z


def usual(labelled, number=MIN_INSTANCES):
    """Pictures with one bolt of 9 to 11 px each way."""
    return [
        labelled(f"{index:02}", (0, (1, 1, 10 + index % 3, 12 - index // 2 % 3))) for index in range(number)
    ]


def test_an_object_of_another_size_or_shape_is_an_outlier_with_what_was_measured(labelled):
    pictures = [*usual(labelled), labelled("long", (0, (1, 1, 39, 4))), labelled("tiny", (0, (5, 5, 7, 7)))]
    found = {(one.picture.digest, one.measure): one for one in find_outliers(pictures, 2)}
    assert set(found) == {("long", "aspect"), ("tiny", "size")}
    assert found["long", "aspect"].value == pytest.approx(38 / 3)
    assert found["tiny", "size"].value == pytest.approx(4 / 1600)
    assert all(0 < one.score < 1 for one in found.values())


def test_a_class_with_few_instances_has_no_usual_size(labelled):
    pictures = [*usual(labelled, MIN_INSTANCES - 2), labelled("tiny", (0, (5, 5, 7, 7)))]
    assert find_outliers(pictures, 1) == ()


def test_crowd_regions_are_neither_outliers_nor_usual(labelled):
    pictures = [*usual(labelled), labelled("crowd", (0, (0, 0, 40, 40), True))]
    assert find_outliers(pictures, 1) == ()


@pytest.mark.parametrize("corners", [(0, 5, 2, 15), (5, 0, 15, 2), (38, 5, 40, 15), (5, 38, 15, 40)])
def test_an_object_that_an_edge_of_the_picture_cuts_is_no_outlier(labelled, corners):
    left, upper, right, lower = corners
    inside = (max(left, 1), max(upper, 1), min(right, 39), min(lower, 39))
    assert find_outliers([*usual(labelled), labelled("cut", (0, corners))], 1) == ()
    assert find_outliers([*usual(labelled), labelled("whole", (0, inside))], 1) != ()


def test_an_object_that_reaches_over_the_whole_picture_is_an_outlier_in_size(labelled):
    (found,) = find_outliers([*usual(labelled), labelled("all", (0, (0, 0, 40, 40)))], 1)
    assert (found.picture.digest, found.measure) == ("all", "size")


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=30), st.floats(-5, 5))
def test_distances_from_the_median_do_not_change_when_all_values_move(values, by):
    moved = modified_z(np.round(values, 3) + round(by, 3))
    assert moved == pytest.approx(modified_z(np.round(np.array(values), 3)), rel=1e-3, abs=1e-6)
