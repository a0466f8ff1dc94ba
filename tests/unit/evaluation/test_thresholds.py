from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.instances import Detections, GroundTruth
from evaluation.iou import measure_mask_iou
from evaluation.thresholds import calibrate_thresholds
from maskloop.masks import encode_masks

NAMES = ("sure", "shy")
SIDE_PX = 40


def stripes(count):
    masks = np.zeros((count, SIDE_PX, SIDE_PX), bool)
    for index in range(count):
        masks[index, index] = True
    return encode_masks(masks)


def make_truth(class_indices):
    count = len(class_indices)
    return GroundTruth(
        "p", "", SIDE_PX, SIDE_PX, np.array(class_indices, np.int64), stripes(count), np.zeros(count, bool)
    )


def find(places, scores, class_indices):
    """Detections that lie on stripes; a place without an annotated stripe is a false positive."""
    order = np.argsort(-np.array(scores), kind="stable")
    masks = stripes(SIDE_PX)
    return Detections(
        SIDE_PX,
        SIDE_PX,
        np.zeros((len(places), 4), np.float32),
        np.array(scores, np.float32)[order],
        np.array(class_indices, np.int64)[order],
        tuple(masks[places[index]] for index in order),
    )


def calibrate(found, truth, min_instances=1):
    return calibrate_thresholds({"p": found}, [truth], class_names=NAMES, min_instances=min_instances)


def test_each_class_gets_the_threshold_between_its_right_and_its_wrong_answers():
    truth = make_truth([0, 0, 1, 1])
    found = find([0, 1, 30, 2, 3, 31], [0.9, 0.8, 0.6, 0.4, 0.3, 0.1], [0, 0, 0, 1, 1, 1])
    assert calibrate(found, truth) == pytest.approx({"sure": 0.7, "shy": 0.2})


def test_a_missed_instance_is_weighed_against_false_ones():
    """Of three, two are found at once; the third would cost three false ones: F1 is 0.8 and then 2/3."""
    truth = make_truth([0, 0, 0])
    found = find([0, 1, 30, 31, 32, 2], [0.9, 0.8, 0.5, 0.5, 0.5, 0.3], [0] * 6)
    assert calibrate(found, truth) == pytest.approx({"sure": 0.65})


def test_where_everything_found_is_right_all_of_it_is_kept():
    assert calibrate(find([0, 1], [0.9, 0.2], [0, 0]), make_truth([0, 0])) == pytest.approx({"sure": 0.2})


def test_a_class_with_too_few_instances_or_nothing_right_has_none():
    truth = make_truth([0, 0, 1])
    found = find([0, 1, 30], [0.9, 0.8, 0.7], [0, 0, 1])
    assert set(calibrate(found, truth, min_instances=2)) == {"sure"}
    assert set(calibrate(found, truth, min_instances=1)) == {"sure"}
    assert calibrate(found, truth, min_instances=3) == {}


@settings(deadline=None)
@given(
    places=st.lists(st.integers(0, 12), min_size=1, max_size=12, unique=True),
    scores=st.lists(st.integers(1, 20), min_size=12, max_size=12),
    count=st.integers(1, 9),
)
def test_no_threshold_has_a_better_f1_than_the_calibrated_one(places, scores, count):
    truth = make_truth([0] * count)
    found = find(places, [score / 20 for score in scores[: len(places)]], [0] * len(places))

    def f1(threshold):
        table = measure_mask_iou({"p": found}, [truth], class_names=NAMES, score_threshold=threshold)
        right, wrong = table.num_true_positives.sum(), table.num_false_positives.sum()
        return 2 * right / (right + wrong + count)

    calibrated = calibrate(found, truth)
    best = max(f1(score / 20) for score in range(21))
    if not calibrated:
        assert best == 0.0
    else:
        assert f1((calibrated["sure"], 0.5)) == pytest.approx(best)


def test_one_threshold_counts_for_all_classes_or_each_has_its_own():
    found = find([0, 1, 2], [0.7, 0.6, 0.5], [0, 1, 0])
    assert found.reach(0.6).tolist() == [True, True, False]
    assert found.reach((0.5, 0.65)).tolist() == [True, False, True]
    assert found.reach((0.7, 0.6)).tolist() == [True, True, False]
    assert find([], [], []).reach((0.5, 0.5)).tolist() == []


def of_source(truth, source, picture_id):
    return replace(truth, source=source, picture_id=picture_id)


def test_a_source_with_few_pictures_has_its_say_beside_one_with_many():
    """On the old camera 0.55 is best, on the new one, of a tenth of the pictures, 0.25.

    Old: 2 right at 0.8 and 2 wrong at 0.3. New: 2 right at 0.3. Kept down to 0.3, the old one's F1 is 2/3 and
    the new one's 1; kept down to 0.8 they are 1 and 0.
    """
    old = [of_source(make_truth([0, 0]), "old", f"old {number}") for number in range(10)]
    new = of_source(make_truth([0, 0]), "new", "new")
    found = {one.picture_id: find([0, 1, 30, 31], [0.8, 0.8, 0.3, 0.3], [0] * 4) for one in old}
    found["new"] = find([0, 1], [0.3, 0.3], [0, 0])
    fit: dict[str, Any] = {"class_names": NAMES, "min_instances": 2}
    assert calibrate_thresholds(found, old, **fit) == pytest.approx({"sure": 0.55})
    assert calibrate_thresholds(found, [*old, new], **fit) == pytest.approx({"sure": 0.3})


def test_a_source_with_too_few_instances_counts_in_proportion():
    """Of 20 instances that make a whole say the new camera has two: a tenth of one."""
    old = [of_source(make_truth([0, 0]), "old", f"old {number}") for number in range(10)]
    new = of_source(make_truth([0, 0]), "new", "new")
    found = {one.picture_id: find([0, 1, 30, 31], [0.8, 0.8, 0.3, 0.3], [0] * 4) for one in old}
    found["new"] = find([0, 1], [0.3, 0.3], [0, 0])
    fitted = calibrate_thresholds(found, [*old, new], class_names=NAMES, min_instances=20)
    assert fitted == pytest.approx({"sure": 0.55})
