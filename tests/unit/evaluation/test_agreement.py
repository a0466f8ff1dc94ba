import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.agreement import (
    Agreement,
    compare_answers,
    compare_with_truth,
    describe_perfect_challenger,
)
from evaluation.instances import Detections
from tests.unit.evaluation.conftest import SIDE_PX, rectangles

LEFT, RIGHT = (0, 0, 4, 4), (10, 0, 14, 4)


def test_an_answer_agrees_with_itself(detected):
    answer = detected((0, LEFT, 0.9), (1, RIGHT, 0.8))
    both = compare_answers(answer, answer, score_threshold=0.5)
    assert (both.agreement, both.num_matched, both.num_flipped, both.count_shift) == (1.0, 2, 0, 0.0)
    assert both.score_shift == 0.0


def test_agreement_is_the_summed_iou_over_the_larger_number(detected):
    reference = detected((0, LEFT, 0.9), (0, RIGHT, 0.9))
    half_of_one = detected((0, (0, 0, 4, 2), 0.7))
    seen = compare_answers(reference, half_of_one, score_threshold=0.5)
    assert seen.agreement == pytest.approx(0.5 / 2)
    assert (seen.num_reference, seen.num_other, seen.num_matched) == (2, 1, 1)
    assert seen.count_shift == pytest.approx(-0.5)
    assert seen.score_shift == pytest.approx(-0.2, abs=1e-6)


def test_another_name_for_the_same_instance_is_a_flip_and_no_agreement(detected):
    flipped = compare_answers(detected((0, LEFT, 0.9)), detected((1, LEFT, 0.9)), score_threshold=0.5)
    assert (flipped.agreement, flipped.num_matched, flipped.num_flipped) == (0.0, 1, 1)


def test_two_that_find_nothing_agree(detected):
    nothing = compare_answers(detected(), detected((0, LEFT, 0.2)), score_threshold=0.5)
    assert (nothing.agreement, nothing.num_reference, nothing.num_other) == (1.0, 0, 0)


def test_one_that_finds_nothing_where_the_other_finds_something_disagrees(detected):
    missed = compare_answers(detected((0, LEFT, 0.9)), detected(), score_threshold=0.5)
    assert (missed.agreement, missed.count_shift) == (0.0, -1.0)


def test_a_crowd_has_not_to_be_found_and_forgives(annotated, detected):
    truth = annotated((0, LEFT), (0, (10, 10, 20, 20), True))
    seen = compare_with_truth(
        truth, detected((0, LEFT, 0.9), (0, (11, 11, 14, 14), 0.9)), score_threshold=0.5
    )
    assert (seen.agreement, seen.num_reference, seen.num_other) == (1.0, 1, 1)
    other_class = compare_with_truth(
        truth, detected((0, LEFT, 0.9), (1, (11, 11, 14, 14), 0.9)), score_threshold=0.5
    )
    assert other_class.agreement == pytest.approx(0.5)


def test_answers_of_different_sizes_cannot_be_compared(detected):
    small = Detections(4, 4, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), ())
    with pytest.raises(ValueError, match="size"):
        compare_answers(detected(), small, score_threshold=0.5)


boxes = st.tuples(st.integers(0, 15), st.integers(0, 15), st.integers(1, 5), st.integers(1, 5)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)
answers = st.lists(st.tuples(st.integers(0, 2), boxes, st.sampled_from([0.3, 0.6, 0.9])), max_size=5)


def build(instances):
    instances = sorted(instances, key=lambda instance: -instance[2])
    found = [instance[1] for instance in instances]
    return Detections(
        SIDE_PX,
        SIDE_PX,
        np.array(found, dtype=np.float32).reshape(-1, 4),
        np.array([instance[2] for instance in instances], dtype=np.float32),
        np.array([instance[0] for instance in instances], dtype=np.int64),
        rectangles(found),
    )


@given(answers, answers)
def test_agreement_does_not_depend_on_who_is_the_reference(one, other):
    there = compare_answers(build(one), build(other), score_threshold=0.5)
    back = compare_answers(build(other), build(one), score_threshold=0.5)
    assert there.agreement == pytest.approx(back.agreement)
    assert there.count_shift == pytest.approx(-back.count_shift)
    assert 0.0 <= there.agreement <= 1.0
    assert there.num_flipped <= there.num_matched <= min(there.num_reference, there.num_other)


def seen(agreement: float, count_shift: float, num_flipped: int) -> Agreement:
    return Agreement(agreement, 4, 4, 4, num_flipped, count_shift, 0.0)


def test_a_perfect_challenger_is_described_by_the_source_it_differs_most_in():
    """A champion of the old camera misses half of what the new one sees."""
    old, new = seen(0.9, 0.0, 0), seen(0.3, -0.5, 1)
    found = describe_perfect_challenger([old] * 6 + [new] * 4, ["old"] * 6 + ["new"] * 4, min_pictures=4)
    assert found is not None
    assert (found.agreement, found.num_pictures) == (pytest.approx(0.3), 10)
    assert (found.lowest_count_shift, found.highest_count_shift) == (0.0, pytest.approx(0.5))
    assert found.class_flips == pytest.approx(0.25)


def test_a_source_with_few_pictures_counts_only_among_all():
    old, new = seen(0.9, 0.0, 0), seen(0.3, -0.5, 1)
    found = describe_perfect_challenger([old] * 6 + [new] * 4, ["old"] * 6 + ["new"] * 4, min_pictures=5)
    assert found is not None
    assert found.agreement == pytest.approx(0.66)
    assert found.highest_count_shift == pytest.approx(0.2)
    assert describe_perfect_challenger([], [], min_pictures=5) is None
