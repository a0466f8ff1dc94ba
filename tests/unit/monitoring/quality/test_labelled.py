"""Labels of random pictures decide, and the answers to all others narrow the interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.quality.labelled import MIN_LABELLED, LabelledQuality, measure_from_labels

NOTHING = np.zeros(0)


def measure(
    iou: Any, num: Any, scores: Any, others: Any = NOTHING, confidence: float = 0.9
) -> LabelledQuality:
    """Measure from sums of IoU and numbers of instances; each picture has as many detections as instances."""
    counts, other_counts = np.array(num, float), np.ones(len(others))
    return measure_from_labels(
        "bolt",
        iou_sums_n=np.array(iou, float),
        num_instances_n=np.array(num, np.int64),
        score_sums_n=np.array(scores, float),
        counts_n=counts,
        other_score_sums_N=np.array(others, float),
        other_counts_N=other_counts,
        confidence=confidence,
    )


def test_without_other_pictures_the_estimate_is_that_of_labels_and_two_made_up_pictures() -> None:
    found = measure([0.8, 0.6, 0.8, 0.6, 0.7, 0.7], [1] * 6, [0.9] * 6)
    assert found.value == pytest.approx((4.2 + 0.0 + 1.0) / 8)
    values = np.array([0.8, 0.6, 0.8, 0.6, 0.7, 0.7, 0.0, 1.0])
    half = 1.8946 * values.std(ddof=1) / np.sqrt(8)  # the 95 % quantile of t with 7 degrees of freedom
    assert found.width_of_labels_alone == pytest.approx(2 * half, rel=1e-3)
    assert (found.num_labelled, found.num_unlabelled, found.refused_because) == (6, 0, "")


def test_a_picture_with_more_instances_counts_more() -> None:
    found = measure([0.5, 0.5, 0.5, 0.5, 4.5], [1, 1, 1, 1, 5], [0.9] * 5)
    assert found.value == pytest.approx((6.5 + 0.0 + 1.8) / (9 + 3.6))


def test_few_labelled_pictures_that_show_the_class_are_no_estimate() -> None:
    found = measure([0.8, 0.0, 0.7, 0.9, 0.8], [1, 0, 1, 1, 1], [0.9] * 5)
    assert (found.value, found.low, found.high) == (None, None, None)
    assert found.refused_because == "4 of 5 labelled random pictures show the class, and 5 are needed"
    assert (
        measure([], [], []).refused_because
        == "0 of 0 labelled random pictures show the class, and 5 are needed"
    )


def draw(rng: np.random.Generator, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw IoU of pictures with one object each, and scores that follow them closely."""
    iou = rng.beta(4.0, 2.0, num)
    return iou, np.clip(iou + rng.normal(0.0, 0.03, num), 0.0, 1.0)


def test_answers_that_follow_the_truth_narrow_the_interval_and_correct_an_unlucky_draw() -> None:
    rng = np.random.default_rng(3)
    iou, scores = draw(rng, 2000)
    unlucky = np.argsort(iou)[:1200:30]
    found = measure(iou[unlucky], [1] * 40, scores[unlucky], scores)
    alone = measure(iou[unlucky], [1] * 40, scores[unlucky])
    assert found.value is not None
    assert alone.value is not None
    assert abs(found.value - iou.mean()) < abs(alone.value - iou.mean())
    picked = rng.permutation(2000)[:40]
    found = measure(iou[picked], [1] * 40, scores[picked], scores)
    assert found.low is not None
    assert found.high is not None
    assert found.width_of_labels_alone is not None
    assert found.high - found.low < 0.9 * found.width_of_labels_alone


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(8)
    held = 0
    for _ in range(300):
        iou, scores = draw(rng, 120)
        iou[rng.uniform(size=120) < 0.1] = 0.0  # missed, and no score shows it
        found = measure(iou[:20], [1] * 20, scores[:20], scores[20:])
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.9 * 4.0 / 6.0 <= found.high
    assert held >= 0.87 * 300


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)), min_size=MIN_LABELLED, max_size=30))
def test_every_number_is_in_order_between_0_and_1(pairs: list[tuple[float, float]]) -> None:
    iou, scores = zip(*pairs, strict=True)
    found = measure(iou, [1] * len(pairs), scores, scores[::-1])
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_values_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(ValueError, match="finite"):
        measure([float("nan")] * 6, [1] * 6, [0.9] * 6)
    with pytest.raises(ValueError, match="confidence"):
        measure([0.5] * 6, [1] * 6, [0.9] * 6, confidence=1.0)
