"""The compared ways by hand, and tables that leave out what is no truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.estimate.__main__ import to_markdown
from benchmarks.estimate.methods import ByScore, by_confidence, by_views, signs_of
from benchmarks.estimate.pictures import TEST_SHIFTS, Answered
from evaluation.instances import Detections, GroundTruth
from maskloop.masks import encode_masks
from monitoring.features.observation import Observation
from monitoring.quality.shifts import CALIBRATION_SHIFTS, REFERENCE


def picture(widths: tuple[int, ...], *, scores: tuple[float, ...], agrees: bool = True) -> Answered:
    """Return a picture with an object of ten columns in each row, found so many columns wide; 0 is missed."""
    masks = np.zeros((len(widths), 10 * len(widths), 20), bool)
    true = masks.copy()
    for row, width in enumerate(widths):
        masks[row, 10 * row : 10 * row + 5, :width] = True
        true[row, 10 * row : 10 * row + 5, :10] = True
    kept = [row for row, width in enumerate(widths) if width]
    found = Detections(
        masks.shape[1],
        20,
        np.zeros((len(kept), 4), np.float32),
        np.array(scores, np.float32),
        np.zeros(len(kept), np.int64),
        encode_masks(masks[kept]),
    )
    zeros = np.zeros(len(widths), np.int64)
    truth = GroundTruth("", "", masks.shape[1], 20, zeros, encode_masks(true), zeros.astype(bool))
    other = found if agrees else found.select(np.zeros(len(kept), bool))
    return Answered((found, other), truth, Observation({"sharpness": 1.0}, (0.0,)))


def test_scores_tell_the_iou_of_each_bin_and_the_objects_that_no_score_betrays() -> None:
    own = picture((8, 0), scores=(0.9,))
    estimate = ByScore([own], 1, 0.5)
    assert estimate.estimate([own]) == pytest.approx([0.4])
    assert estimate.estimate([own, own]) == pytest.approx([0.4])


def test_views_and_confidence_scale_what_was_known() -> None:
    own = signs_of([picture((10, 10), scores=(0.9, 0.7))], 1, 0.5)
    worse = signs_of([picture((10,), scores=(0.6,)), picture((10,), scores=(0.6,), agrees=False)], 1, 0.5)
    known = np.array([0.8])
    assert by_views(own, worse, known) == pytest.approx([0.8 * 2 / 3])
    assert by_confidence(own, worse, known) == pytest.approx([0.8 - 0.2])


def test_no_tested_change_is_one_that_the_estimate_learned_from() -> None:
    learned = {shift.name for shift in CALIBRATION_SHIFTS}
    assert {shift.name for shift in TEST_SHIFTS} & learned == {REFERENCE}


def test_tables_leave_out_classes_whose_truth_is_a_guess_and_count_what_was_refused() -> None:
    row: dict[str, Any] = {"shift": "blur", "metric": "mask_iou", "truth": 0.5, "refused": "", "score": 0.4}
    told = {**row, "class": "bolt", "instances": 60, "shifts": 0.52, "low": 0.4, "high": 0.6}
    refused = {**row, "class": "nut", "instances": 60, "shifts": None, "low": None, "high": None}
    few = {**told, "class": "gear", "instances": 3, "shifts": 0.0}
    ap = {**told, "metric": "mask_ap"}
    others = {"views": 0.1, "confidence": 0.2}
    rows = [{**one, **others} for one in (told, refused, few, ap)]
    text = to_markdown({"nuclei": {"rows": rows, "left_out": [{"error": 0.1}], "labels": []}})
    assert "| nuclei | mask iou | shifts | 1 of 2 | 0.020 | 100% | 0.02 | 100% | ±0.10 |" in text
    assert "| blur | 0.50 | 0.020 | 1 of 2 |" in text
