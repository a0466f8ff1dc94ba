"""What a person drew into a stored picture, in the picture as the model sees it."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime

import numpy as np

from maskloop.masks import boxes_xyxy, place_mask
from monitoring.samples.corrections import Correction
from serving.rollout.corrected import truth_of


def test_a_correction_of_a_large_picture_is_turned_upright_without_decoding_it_whole() -> None:
    mask = place_mask(np.ones((9, 5), bool), left_px=3000, top_px=100, height_px=4000, width_px=6000)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    correction = Correction("s", at, by="anna", verdict="wrong", instances=(("nut", mask),))
    truth_of(correction, ("bolt", "nut"), 1, size_px=(4000, 6000))
    tracemalloc.start()
    truth = truth_of(correction, ("bolt", "nut"), 6, size_px=(6000, 4000))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert boxes_xyxy(truth.masks).tolist() == [[4000 - 109, 3000, 4000 - 100, 3005]]
    assert truth.class_indices.tolist() == [1]
    assert peak_bytes < 4000 * 6000 / 10
