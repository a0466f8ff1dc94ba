import numpy as np
import pytest

from evaluation.curves import Curve, measure_curves

A, B, CORNER = (0, 0, 10, 10), (10, 10, 20, 20), (0, 15, 5, 20)


def measure(found, truth):
    return measure_curves({"a": found}, [truth], class_names=("bolt", "nut"))


def test_precision_and_recall_follow_the_scores_down(annotated, detected):
    curve, _ = measure(detected((0, A, 0.9), (0, CORNER, 0.8), (0, B, 0.7)), annotated((0, A), (0, B)))
    assert curve.scores == pytest.approx([0.9, 0.8, 0.7])
    assert curve.precision == pytest.approx([1, 1 / 2, 2 / 3])
    assert curve.recall == pytest.approx([0.5, 0.5, 1.0])
    assert curve.best_f1() == pytest.approx((0.8, 0.7))


def test_a_threshold_cannot_part_equal_scores(annotated, detected):
    """Keeping only the first of two detections of one score would have given an F1 of 1."""
    curve, _ = measure(detected((0, A, 0.5), (0, CORNER, 0.5)), annotated((0, A)))
    assert curve.best_f1() == pytest.approx((2 / 3, 0.5))


def test_a_class_without_instances_has_no_recall_and_no_best_threshold(annotated, detected):
    _, curve = measure(detected((1, A, 0.9)), annotated((0, A)))
    assert curve.num_instances == 0
    assert np.isnan(curve.recall).all()
    assert np.isnan(curve.best_f1()).all()


def test_nothing_detected_has_no_best_threshold(annotated, detected):
    curve, _ = measure(detected(), annotated((0, A)))
    assert len(curve.scores) == 0
    assert np.isnan(curve.best_f1()).all()


def test_thinning_keeps_both_ends():
    values = np.linspace(1, 0, 1000)
    thin = Curve("bolt", 5, values.astype(np.float32), values, values[::-1]).thinned(11)
    assert len(thin.scores) == len(thin.precision) == len(thin.recall) == 11
    assert (thin.scores[0], thin.scores[-1]) == (1, 0)
    assert thin.thinned(11) is thin
