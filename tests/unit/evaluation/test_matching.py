import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evaluation.matching import assign, match_picture, pair_pictures

LEFT, LEFT_HALF, RIGHT = (0, 0, 10, 10), (0, 0, 5, 10), (10, 0, 20, 10)


def match(detections, truth, num_classes=2, score_threshold=0.5):
    return match_picture(detections, truth, num_classes=num_classes, score_threshold=score_threshold)


def test_a_perfect_detection_covers_its_instance(annotated, detected):
    result = match(detected((0, LEFT, 0.9)), annotated((0, LEFT)))
    assert result.truth_iou.tolist() == [1.0]
    assert result.detection_of_truth.tolist() == [0]
    assert result.is_true_positive.tolist() == [True]
    assert not result.is_false_positive.any()


def test_a_missed_instance_counts_zero(annotated, detected):
    result = match(detected(), annotated((0, LEFT)))
    assert result.truth_iou.tolist() == [0.0]
    assert result.detection_of_truth.tolist() == [-1]


def test_the_right_mask_of_the_wrong_class_covers_nothing(annotated, detected):
    result = match(detected((1, LEFT, 0.9)), annotated((0, LEFT)))
    assert result.truth_iou.tolist() == [0.0]
    assert result.is_false_positive.tolist() == [True]


def test_the_sum_is_maximised_even_if_the_best_score_has_to_give_way(annotated, detected):
    """Greedy by score gives the wide one to the first instance: 10/12 + 5/14 is less than 9/10 + 8/14."""
    wide, narrow = (0, 0, 12, 10), (0, 0, 9, 10)
    result = match(
        detected((0, wide, 0.9), (0, narrow, 0.6)), annotated((0, (0, 0, 10, 10)), (0, (4, 0, 14, 10)))
    )
    assert result.detection_of_truth.tolist() == [1, 0]
    assert result.truth_iou == pytest.approx([9 / 10, 8 / 14])


def test_each_detection_serves_one_instance_only(annotated, detected):
    result = match(detected((0, (0, 0, 20, 10), 0.9)), annotated((0, LEFT), (0, RIGHT)))
    assert sorted(result.truth_iou.tolist()) == [0.0, 0.5]
    assert result.is_true_positive.tolist() == [True]


def test_an_assignment_below_half_adds_its_iou_but_is_a_false_positive(annotated, detected):
    result = match(detected((0, (0, 0, 4, 10), 0.9)), annotated((0, LEFT)))
    assert result.truth_iou == pytest.approx([0.4])
    assert result.is_false_positive.tolist() == [True]
    assert result.is_true_positive.tolist() == [False]


def test_a_second_detection_of_the_same_instance_is_a_false_positive(annotated, detected):
    result = match(detected((0, LEFT, 0.9), (0, LEFT_HALF, 0.8)), annotated((0, LEFT)))
    assert result.is_true_positive.tolist() == [True, False]
    assert result.is_false_positive.tolist() == [False, True]


def test_scores_at_the_threshold_count_and_below_do_not(annotated, detected):
    """0.7 as float32 is a little below 0.7: a score somebody reads as 0.7 must pass a threshold of 0.7."""
    result = match(
        detected((0, LEFT, 0.7), (0, RIGHT, 0.69)), annotated((0, LEFT)), score_threshold=np.float64(0.7)
    )
    assert result.is_true_positive.tolist() == [True, False]
    assert not result.is_false_positive.any()


def test_a_crowd_forgives_detections_inside_it_and_is_never_missed(annotated, detected):
    crowd = annotated((0, (0, 0, 10, 20), True))
    inside, half, outside = (0, 0, 5, 5), (5, 5, 15, 15), (6, 5, 16, 15)
    result = match(detected((0, inside, 0.9), (0, half, 0.8), (0, outside, 0.7)), crowd)
    assert result.is_false_positive.tolist() == [False, False, True]
    assert not result.is_true_positive.any()
    assert result.truth_iou.tolist() == [0.0]


def test_a_crowd_forgives_only_its_own_class(annotated, detected):
    result = match(detected((1, (0, 0, 5, 5), 0.9)), annotated((0, (0, 0, 10, 20), True)))
    assert result.is_false_positive.tolist() == [True]


def test_a_class_outside_the_list_is_refused(annotated, detected):
    with pytest.raises(ValueError, match="detected class index"):
        match(detected((2, LEFT, 0.9)), annotated())
    with pytest.raises(ValueError, match="annotated class index"):
        match(detected(), annotated((-1, LEFT)))


def test_pictures_nobody_evaluated_are_named(annotated, detected):
    truths = [annotated(picture_id=name) for name in "cab"]
    with pytest.raises(ValueError, match=r"2 pictures were not evaluated: b, c"):
        pair_pictures({"a": detected()}, truths, num_classes=1)


def test_a_picture_annotated_twice_is_refused(annotated, detected):
    with pytest.raises(ValueError, match="twice"):
        pair_pictures({"a": detected()}, [annotated(), annotated()], num_classes=1)


def test_pairs_come_in_the_order_of_picture_ids(annotated, detected):
    truths = [annotated(picture_id=name) for name in "bca"]
    pairs = pair_pictures(dict.fromkeys("abc", detected()), truths, num_classes=1)
    assert [truth.picture_id for _, truth in pairs] == ["a", "b", "c"]


@given(arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 4)), elements=st.floats(0, 1)))
def test_no_other_one_to_one_assignment_has_a_larger_sum(gain):
    rows, columns = assign(gain)
    assert len(set(rows)) == len(rows)
    assert len(set(columns)) == len(columns)
    tall = gain if gain.shape[0] >= gain.shape[1] else gain.T
    best = max(
        sum(tall[row, column] for column, row in enumerate(chosen))
        for chosen in itertools.permutations(range(tall.shape[0]), tall.shape[1])
    )
    assert gain[rows, columns].sum() == pytest.approx(best)
