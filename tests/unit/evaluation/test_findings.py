import numpy as np
import pytest

from evaluation.findings import Outcome, judge_detections

A, B, CORNER = (0, 0, 10, 10), (10, 10, 20, 20), (0, 15, 5, 20)
HALF_OF_A, THIRD_OF_A, TENTH_OF_A = (0, 0, 5, 10), (0, 0, 3, 10), (0, 0, 1, 10)
BOLT, NUT = 0, 1


def judge(found, truth):
    return judge_detections({"a": found}, [truth], class_names=("bolt", "nut"))


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        ((BOLT, A), Outcome.RIGHT),
        ((BOLT, HALF_OF_A), Outcome.RIGHT),
        ((BOLT, THIRD_OF_A), Outcome.LOCATION),
        ((BOLT, TENTH_OF_A), Outcome.LOCATION),
        ((NUT, A), Outcome.CLASS),
        ((NUT, HALF_OF_A), Outcome.CLASS),
        ((NUT, THIRD_OF_A), Outcome.BOTH),
        ((NUT, TENTH_OF_A), Outcome.BACKGROUND),
        ((BOLT, CORNER), Outcome.BACKGROUND),
    ],
)
def test_one_detection_is_one_of_the_kinds(annotated, detected, seen, outcome):
    found = judge(detected((*seen, 0.9)), annotated((BOLT, A)))
    assert found.outcomes.tolist() == [outcome]
    has_target = outcome in (Outcome.RIGHT, Outcome.LOCATION, Outcome.CLASS)
    assert found.targets.tolist() == [0 if has_target else -1]


def test_a_second_detection_of_what_was_found_is_a_duplicate(annotated, detected):
    found = judge(detected((BOLT, A, 0.9), (BOLT, (0, 0, 9, 10), 0.8)), annotated((BOLT, A)))
    assert found.outcomes.tolist() == [Outcome.RIGHT, Outcome.DUPLICATE]
    assert found.is_found().tolist() == [True]


def test_a_poor_overlap_with_its_own_class_counts_before_a_good_one_with_another(annotated, detected):
    truth = annotated((BOLT, A), (NUT, (0, 0, 10, 4)))
    found = judge(detected((NUT, A, 0.9)), truth)
    assert found.outcomes.tolist() == [Outcome.LOCATION]
    assert found.targets.tolist() == [1]


def test_what_lies_in_a_crowd_of_its_class_is_forgiven_and_what_lies_beside_it_is_background(
    annotated, detected
):
    """An overlap with a crowd is no poor overlap with an instance."""
    truth = annotated((BOLT, (0, 0, 10, 20), True))
    inside, a_third_inside = (5, 0, 15, 10), (7, 0, 17, 10)
    found = judge(detected((BOLT, inside, 0.9), (NUT, inside, 0.8), (BOLT, a_third_inside, 0.7)), truth)
    assert found.outcomes.tolist() == [Outcome.FORGIVEN, Outcome.BACKGROUND, Outcome.BACKGROUND]
    assert len(found.truth_classes) == 0


def test_targets_count_the_instances_of_all_pictures_without_crowds(annotated, detected):
    truths = [
        annotated((NUT, CORNER, True), (BOLT, A), picture_id="one"),
        annotated((BOLT, (0, 0, 2, 2), True), (NUT, A), (BOLT, B), picture_id="two"),
    ]
    seen = {"one": detected((BOLT, A, 0.3)), "two": detected((BOLT, B, 0.9), (BOLT, A, 0.5))}
    found = judge_detections(seen, truths, class_names=("bolt", "nut"))
    assert found.truth_classes.tolist() == [BOLT, NUT, BOLT]
    assert found.scores == pytest.approx([0.9, 0.5, 0.3])
    assert found.outcomes.tolist() == [Outcome.RIGHT, Outcome.CLASS, Outcome.RIGHT]
    assert found.targets.tolist() == [2, 1, 0]
    assert found.is_found().tolist() == [True, False, True]
    assert found.num_instances().tolist() == [2, 1]


def test_nothing_found_and_nothing_there_is_nothing(annotated, detected):
    assert len(judge(detected(), annotated()).scores) == 0
    assert len(judge_detections({}, [], class_names=("bolt",)).truth_classes) == 0
    assert judge(detected((BOLT, A, 0.9)), annotated()).outcomes.tolist() == [Outcome.BACKGROUND]
    assert not judge(detected(), annotated((BOLT, A))).is_found().any()


def test_pictures_nobody_evaluated_are_an_error(annotated):
    with pytest.raises(ValueError, match="not evaluated"):
        judge_detections({}, [annotated()], class_names=("bolt",))


def test_numbers_are_of_the_stated_types(annotated, detected):
    found = judge(detected((BOLT, A, 0.9)), annotated((BOLT, A)))
    types = [found.scores, found.class_indices, found.outcomes, found.targets, found.truth_classes]
    assert [array.dtype for array in types] == [np.float32, np.int64, np.int8, np.int64, np.int64]
