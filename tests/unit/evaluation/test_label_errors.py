"""Suspicions about labels: each kind worked out by hand, and what must hold for any picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.instances import Detections, GroundTruth
from evaluation.label_errors import KINDS_OF_LABELS, LABEL_ERROR_KINDS, rank_label_errors, score_labels
from maskloop.masks import boxes_xyxy, encode_masks

BOLT, NUT = 0, 1
A, B, FAR = (0, 0, 8, 8), (10, 0, 18, 8), (0, 12, 8, 20)


def errors_of(found, truth, **settings_):
    return rank_label_errors({truth.picture_id: found}, [truth], num_classes=2, **settings_)


def test_a_confident_detection_where_no_label_is_says_that_one_is_missing(annotated, detected):
    (error,) = errors_of(detected((BOLT, A, 0.9), (NUT, FAR, 0.75)), annotated((BOLT, A)))
    assert (error.kind, error.score, error.labels, error.detections) == ("missing", 0.75, (), (1,))


def test_a_missing_label_that_two_detections_saw_is_one_suspicion(annotated, detected):
    (error,) = errors_of(detected((BOLT, FAR, 0.75), (NUT, FAR, 0.625)), annotated())
    assert (error.kind, error.score, error.detections) == ("missing", 0.75, (0,))


def test_what_a_crowd_region_covers_is_not_missing(annotated, detected):
    assert errors_of(detected((BOLT, A, 0.9)), annotated((BOLT, (0, 0, 20, 9), True))) == ()


def test_a_label_that_no_detection_touches_is_spurious_and_weak_support_lowers_the_score(annotated, detected):
    truth = annotated((BOLT, A), (NUT, FAR))
    (error,) = errors_of(detected((BOLT, A, 1.0)), truth)
    assert (error.kind, error.score, error.labels, error.detections) == ("spurious", 1.0, (1,), ())
    (weak,) = errors_of(detected((BOLT, A, 1.0), (NUT, FAR, 0.25)), truth)
    assert (weak.kind, weak.score) == ("spurious", 0.75)


def test_a_label_over_two_detected_objects_is_merged(annotated, detected):
    """The label is 18 x 8; each object covers 8 x 8 of it: 2 * 0.75 * 64 / 144."""
    (error,) = errors_of(detected((BOLT, A, 1.0), (BOLT, B, 0.75)), annotated((BOLT, (0, 0, 18, 8))))
    assert (error.kind, error.labels, error.detections) == ("merged", (0,), (0, 1))
    assert error.score == pytest.approx(2 * 0.75 * 64 / 144)


def test_a_part_of_a_detected_object_does_not_make_its_label_merged(annotated, detected):
    assert errors_of(detected((BOLT, A, 1.0), (BOLT, (0, 0, 4, 8), 0.9)), annotated((BOLT, A))) == ()


def test_two_labels_within_one_detection_are_one_split_object(annotated, detected):
    """Each half is 4 x 8 of 8 x 8: the second largest share is a half, so the score is the detection's."""
    truth = annotated((BOLT, (0, 0, 4, 8)), (BOLT, (4, 0, 8, 8)))
    (error,) = errors_of(detected((BOLT, A, 0.75)), truth)
    assert (error.kind, error.score, error.detections) == ("split", 0.75, (0,))
    assert sorted(error.labels) == [0, 1]


def test_a_label_that_a_confident_detection_gives_another_class_is_suspected_of_its_class(
    annotated, detected
):
    """64 of 64 px agree; the own class was found with 0.125: 0.75 * (1 - 0.125)."""
    (error,) = errors_of(detected((NUT, A, 0.75), (BOLT, A, 0.125)), annotated((BOLT, A)))
    assert (error.kind, error.labels, error.detections) == ("class", (0,), (0,))
    assert error.score == pytest.approx(0.75 * 0.875)


def test_a_label_that_matches_with_a_low_iou_is_suspected_of_its_border(annotated, detected):
    """The label is the left 3 of 8 columns: IoU 3/8."""
    (error,) = errors_of(detected((BOLT, A, 1.0)), annotated((BOLT, (0, 0, 3, 8))))
    assert (error.kind, error.labels, error.detections) == ("border", (0,), (0,))
    assert error.score == pytest.approx(1 - 3 / 8)


def test_a_picture_without_labels_and_detections_says_nothing(annotated, detected):
    assert errors_of(detected(), annotated(), min_score=0.0) == ()


def test_suspicions_come_gravest_first_and_those_below_the_least_score_are_left_out(annotated, detected):
    found = detected((BOLT, A, 0.9), (BOLT, B, 0.6), (BOLT, FAR, 0.4))
    assert [error.score for error in errors_of(found, annotated())] == pytest.approx([0.9, 0.6])
    assert len(errors_of(found, annotated(), min_score=0.3)) == 3


@st.composite
def pictures(draw: st.DrawFn) -> GroundTruth:
    """Labels that are rectangles of 20 x 20 px: overlapping, nested and equal ones occur."""
    side = st.integers(1, 9)
    corner = st.integers(0, 11)
    boxes = draw(st.lists(st.tuples(corner, corner, side, side), max_size=6))
    masks = np.zeros((len(boxes), 20, 20), dtype=bool)
    for mask, (left, top, width, height) in zip(masks, boxes, strict=True):
        mask[top : top + height, left : left + width] = True
    classes = draw(st.lists(st.integers(0, 1), min_size=len(boxes), max_size=len(boxes)))
    crowds = np.zeros(len(boxes), dtype=bool)
    return GroundTruth("a", "here", 20, 20, np.array(classes, np.int64), encode_masks(masks), crowds)


def answer(truth: GroundTruth, scores: list[float]) -> Detections:
    boxes = boxes_xyxy(truth.masks).astype(np.float32)
    return Detections(20, 20, boxes, np.array(scores, np.float32), truth.class_indices, truth.masks)


def in_order(truth: GroundTruth, order: list[int]) -> GroundTruth:
    masks = tuple(truth.masks[number] for number in order)
    return replace(
        truth, masks=masks, class_indices=truth.class_indices[order], is_crowd=truth.is_crowd[order]
    )


@settings(deadline=None)
@given(pictures())
def test_a_model_that_finds_every_label_exactly_suspects_none(truth: GroundTruth) -> None:
    scores = score_labels(answer(truth, [1.0] * len(truth.masks)), truth, num_classes=2)
    assert scores.missing.tolist() == [0.0] * len(truth.masks)
    for kind in KINDS_OF_LABELS:
        assert scores.of_labels[kind] == pytest.approx(np.zeros(len(truth.masks)))


@settings(deadline=None)
@given(pictures(), pictures(), st.data())
def test_scores_are_shares_and_follow_labels_and_classes_wherever_they_are_listed(
    truth: GroundTruth, seen: GroundTruth, data: st.DataObject
) -> None:
    """Shuffling the labels shuffles their scores; renaming the classes on both sides changes none."""
    levels = [number / 8 for number in range(9)]
    ranked = sorted(data.draw(st.lists(st.sampled_from(levels), min_size=6, max_size=6)), reverse=True)
    found = answer(seen, ranked[: len(seen.masks)])
    scores = score_labels(found, truth, num_classes=2)
    order = data.draw(st.permutations(range(len(truth.masks))))
    renamed = replace(found, class_indices=1 - found.class_indices)
    other = in_order(replace(truth, class_indices=1 - truth.class_indices), order)
    shuffled = score_labels(renamed, other, num_classes=2)
    assert shuffled.missing == pytest.approx(scores.missing)
    for kind in KINDS_OF_LABELS:
        assert shuffled.of_labels[kind] == pytest.approx(scores.of_labels[kind][order])
        assert ((scores.of_labels[kind] >= 0) & (scores.of_labels[kind] <= 1)).all()


def test_every_suspicion_is_of_a_kind_that_is_listed(annotated, detected):
    truth = annotated((BOLT, A), (NUT, B))
    found = errors_of(detected((BOLT, B, 0.9), (BOLT, FAR, 0.9)), truth, min_score=0.1)
    assert {error.kind for error in found} == {"missing", "class", "spurious"}
    assert {error.kind for error in found} <= set(LABEL_ERROR_KINDS)
