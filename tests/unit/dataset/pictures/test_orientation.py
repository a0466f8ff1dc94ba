"""Boxes and masks turn as the pixels of their picture do."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dataset.pictures.decoding import orient
from dataset.pictures.orientation import orient_boxes, orient_mask, orient_size, undo
from maskloop.masks import boxes_xyxy, decode_masks, encode_masks, place_mask

ORIENTATIONS = range(1, 9)
bitmaps = arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@settings(max_examples=25, deadline=None)
@given(bitmap=bitmaps)
def test_a_mask_turns_as_its_pixels_do_and_back(orientation: int, bitmap: np.ndarray) -> None:
    (mask,) = encode_masks(bitmap[None])
    turned = orient_mask(mask, orientation)
    expected = orient(bitmap, orientation)
    assert decode_masks([turned])[0].tolist() == expected.tolist()
    assert orient_mask(turned, undo(orientation)) == mask
    height_px, width_px = bitmap.shape
    assert orient_size(height_px, width_px, orientation) == expected.shape


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_box_stays_around_its_mask(orientation: int) -> None:
    mask = place_mask(np.ones((2, 5), bool), left_px=3, top_px=1, height_px=10, width_px=20)
    turned = orient_boxes(boxes_xyxy([mask]).astype(np.float32), orientation, 10, 20)
    assert turned.tolist() == boxes_xyxy([orient_mask(mask, orientation)]).tolist()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_small_mask_in_a_large_picture_is_turned_without_the_large_picture(orientation: int) -> None:
    mask = place_mask(np.ones((9, 5), bool), left_px=3000, top_px=100, height_px=4000, width_px=6000)
    tracemalloc.start()
    orient_mask(mask, orientation)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 4000 * 6000 / 10
