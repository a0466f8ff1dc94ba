import numpy as np
import pytest

from evaluation.instances import Detections, GroundTruth, IouTable
from evaluation.iou import measure_mask_iou

A, B = (0, 0, 10, 10), (10, 10, 20, 20)
HALF_OF_A = (0, 0, 5, 10)
NAMES = ("bolt", "nut")


def measure(detections, truths, **options):
    return measure_mask_iou(detections, truths, **{"class_names": NAMES, "score_threshold": 0.5, **options})


def test_class_iou_is_the_mean_over_instances_not_over_pictures(annotated, detected):
    truths = [annotated((0, A), (0, B), picture_id="one"), annotated((0, A), picture_id="two")]
    found = {"one": detected((0, A, 0.9), (0, B, 0.9)), "two": detected()}
    assert measure(found, truths).class_iou()[0] == pytest.approx(2 / 3)


def test_counts_are_kept_per_picture_and_class(annotated, detected):
    truths = [
        annotated((0, A), (1, B), (1, A, True), picture_id="b"),
        annotated((1, A), picture_id="a", source="s"),
    ]
    found = {
        "b": detected((0, HALF_OF_A, 0.9), (1, B, 0.8), (1, (11, 0, 20, 9), 0.7)),
        "a": detected((0, B, 0.6)),
    }
    table = measure(found, truths)
    assert table.picture_ids == ("a", "b")
    assert table.sources == ("s", "camera-1")
    np.testing.assert_allclose(table.iou_sum, [[0.0, 0.0], [0.5, 1.0]])
    assert table.num_instances.tolist() == [[0, 1], [1, 1]]
    assert table.num_true_positives.tolist() == [[0, 0], [1, 1]]
    assert table.num_false_positives.tolist() == [[1, 0], [0, 1]]
    assert table.only_source("s").picture_ids == ("a",)


def test_a_class_nobody_annotated_is_not_a_number(annotated, detected):
    iou = measure({"a": detected((0, A, 0.9))}, [annotated((0, A))]).class_iou()
    assert iou[0] == 1
    assert np.isnan(iou[1])


def test_no_pictures_give_no_figure_rather_than_a_good_one():
    assert np.isnan(measure({}, []).class_iou()).all()


def test_a_picture_without_detections_entry_is_an_error(annotated):
    with pytest.raises(ValueError, match="not evaluated: a"):
        measure({}, [annotated((0, A))])


def test_detections_of_another_picture_size_are_an_error(annotated):
    none = Detections(9, 20, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), ())
    with pytest.raises(ValueError, match="picture a: detections for"):
        measure({"a": none}, [annotated((0, A))])


def test_progress_reaches_the_end(annotated, detected):
    seen = []
    truths = [annotated(picture_id=name) for name in "ab"]
    measure(dict.fromkeys("ab", detected()), truths, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_detections_that_are_not_numbers_cannot_be_built(detected):
    good = detected((0, A, 0.9))
    for boxes, scores in [(good.boxes_xyxy * np.nan, good.scores), (good.boxes_xyxy, good.scores * np.inf)]:
        with pytest.raises(ValueError, match="not finite"):
            Detections(20, 20, boxes, scores, good.class_indices, good.masks)


def test_annotations_whose_parts_do_not_fit_cannot_be_built(annotated):
    good = annotated((0, A))
    with pytest.raises(ValueError, match="1 masks"):
        GroundTruth("a", "s", 20, 20, np.zeros(2, np.int64), good.masks, good.is_crowd)
    with pytest.raises(ValueError, match="picture's size"):
        GroundTruth("a", "s", 10, 20, good.class_indices, good.masks, good.is_crowd)


def test_a_table_needs_sorted_different_pictures(table):
    with pytest.raises(ValueError, match="sorted"):
        table([[0], [0]], [[1], [1]], picture_ids=("b", "a"))
    sums, counts = np.zeros((1, 1)), np.zeros((1, 1), np.int64)
    with pytest.raises(ValueError, match="shape"):
        IouTable(("x",), ("a",), (), 0.5, sums, counts, counts, counts)
