import numpy as np
import pytest

from evaluation.calibration import NUM_BINS, measure_calibration
from evaluation.findings import Findings, Outcome, judge_detections

A, B, CORNER = (0, 0, 10, 10), (10, 10, 20, 20), (0, 15, 5, 20)


def findings(scores, is_right, *, class_indices=None):
    """Build what judging would have said about detections that are right or of nothing."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    right = np.asarray(is_right, dtype=bool)[order]
    classes = np.zeros(len(order), np.int64) if class_indices is None else np.asarray(class_indices)[order]
    return Findings(
        ("bolt", "nut"),
        np.asarray(scores, dtype=np.float32)[order],
        classes,
        np.where(right, Outcome.RIGHT, Outcome.BACKGROUND).astype(np.int8),
        np.where(right, np.cumsum(right) - 1, -1),
        classes[right],
    )


def test_precision_is_held_against_the_mean_score_of_each_bin():
    """0.75 is said of two, one is right: off by 0.25. 0.25 of two, none: off by 0.25."""
    found = measure_calibration(findings([0.72, 0.78, 0.22, 0.28], [True, False, False, False]))
    low, high = found.bins()
    assert (low.num_detections, low.mean_score, low.precision) == pytest.approx((2, 0.25, 0.0))
    assert (high.num_detections, high.mean_score, high.precision) == pytest.approx((2, 0.75, 0.5))
    assert found.expected_error() == pytest.approx(0.25)
    assert found.mean_overconfidence() == pytest.approx(0.25)


def test_too_sure_and_too_shy_are_both_errors_and_cancel_only_in_the_mean():
    found = measure_calibration(findings([0.9, 0.9, 0.1, 0.1], [False, False, True, True]))
    assert found.expected_error() == pytest.approx(0.9)
    assert found.mean_overconfidence() == pytest.approx(0.0, abs=1e-6)


def test_each_class_is_seen_alone_and_bins_hold_all_of_them():
    """Together the bin of 0.75 is right half of the time; each class alone always or never."""
    found = measure_calibration(findings([0.75] * 4, [True, True, False, False], class_indices=[0, 0, 1, 1]))
    assert found.class_expected_error() == pytest.approx([0.25, 0.75])
    assert found.expected_error() == pytest.approx(0.25)
    assert [(one.num_detections, one.precision) for one in found.bins()] == [(4, 0.5)]


def test_a_bin_begins_with_its_round_score_and_the_last_one_ends_with_1():
    found = measure_calibration(findings([bin / 10 for bin in range(11)], [False] * 11))
    assert found.num_detections[0].tolist() == [1] * (NUM_BINS - 1) + [2]
    assert found.expected_error() == pytest.approx(0.5)


def test_scores_that_keep_their_word_have_almost_no_error():
    random = np.random.default_rng(0)
    scores = random.random(200_000)
    found = measure_calibration(findings(scores, random.random(len(scores)) < scores))
    assert found.expected_error() < 0.005
    assert abs(found.mean_overconfidence()) < 0.005
    shy = measure_calibration(findings(scores / 2, random.random(len(scores)) < scores))
    assert shy.expected_error() == pytest.approx(0.25, abs=0.005)


def test_forgiven_detections_do_not_count(annotated, detected):
    truth = annotated((0, A), (0, (10, 0, 20, 20), True))
    seen = detected((0, A, 0.95), (0, B, 0.45))
    found = measure_calibration(judge_detections({"a": seen}, [truth], class_names=("bolt", "nut")))
    assert found.num_detections.sum() == 1
    assert found.expected_error() == pytest.approx(0.05)


def test_nothing_detected_has_no_calibration(annotated, detected):
    found = measure_calibration(judge_detections({"a": detected()}, [annotated()], class_names=("bolt",)))
    assert np.isnan(
        [found.expected_error(), found.mean_overconfidence(), *found.class_expected_error()]
    ).all()
    assert found.bins() == ()
