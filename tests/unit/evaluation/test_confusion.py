import pytest

from evaluation.confusion import measure_confusion

A, B, C = (0, 0, 10, 10), (10, 10, 20, 20), (0, 10, 10, 20)


def counts(found, truth):
    confusion = measure_confusion({"a": found}, [truth], class_names=("bolt", "nut"), score_threshold=0.5)
    return confusion.counts.tolist()


def test_rows_are_what_it_is_and_columns_what_it_was_taken_for(annotated, detected):
    truth = annotated((0, A), (0, B), (1, C))
    found = detected((0, A, 0.9), (1, B, 0.8))
    assert counts(found, truth) == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_detections_of_nothing_are_in_the_background_row(annotated, detected):
    assert counts(detected((1, A, 0.9), (1, B, 0.4)), annotated()) == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_an_overlap_below_one_half_is_a_miss_and_a_phantom(annotated, detected):
    assert counts(detected((0, (0, 0, 4, 10), 0.9)), annotated((0, A))) == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_of_two_equal_masks_the_right_class_is_taken_whatever_its_score(annotated, detected):
    found = detected((1, A, 0.9), (0, A, 0.6))
    assert counts(found, annotated((0, A))) == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_a_weak_overlap_does_not_displace_a_good_one(annotated, detected):
    """The sum of both weak overlaps is larger than the good one alone, but neither is a find."""
    truth = annotated((0, (0, 0, 20, 9)), (1, (0, 9, 20, 20)))
    found = detected((0, (0, 0, 20, 14), 0.9), (0, (0, 0, 20, 4), 0.8))
    assert counts(found, truth) == [[1, 0, 0], [0, 0, 1], [1, 0, 0]]


def test_crowds_of_any_class_swallow_what_lies_in_them(annotated, detected):
    truth = annotated((0, (0, 0, 10, 20), True))
    half_inside = (5, 0, 15, 10)
    found = detected((1, A, 0.9), (0, half_inside, 0.9), (0, B, 0.9))
    assert counts(found, truth) == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_pictures_nobody_evaluated_are_an_error(annotated):
    with pytest.raises(ValueError, match="not evaluated"):
        measure_confusion({}, [annotated()], class_names=("bolt",), score_threshold=0.5)


def test_a_table_has_a_row_for_what_it_is_and_a_column_for_what_it_was_taken_for(annotated, detected):
    truth, found = annotated((0, A), (0, B)), detected((0, A, 0.9), (1, B, 0.8))
    confusion = measure_confusion({"a": found}, [truth], class_names=("bolt", "nut"), score_threshold=0.5)
    assert confusion.rows()[0] == {
        "it is": "bolt",
        "taken for bolt": 1,
        "taken for nut": 1,
        "taken for background": 0,
    }
    assert [row["it is"] for row in confusion.rows()] == ["bolt", "nut", "background"]
