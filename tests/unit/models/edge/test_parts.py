"""Each step in NumPy against the same step in torch, and against cases computed by hand."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskloop.masks import decode_masks
from models.edge.boxes import decode, measure_iou, suppress
from models.edge.pasting import paste_masks
from models.edge.preparing import resize
from models.edge.regions import cut_regions
from models.operations.gathering import gather_regions
from models.operations.pasting import paste_masks as paste_in_torch


def draw_boxes(random, count: int, side_px: float) -> np.ndarray:
    """Return boxes, some of them partly outside, some tiny, float32 (count, 4)."""
    corner = random.uniform(-0.3 * side_px, side_px, (count, 2))
    sides = random.uniform(0.0, side_px, (count, 2)) ** random.uniform(0.2, 1.0, (count, 1))
    return np.concatenate([corner, corner + sides], axis=1).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.sampled_from([7, 14]))
def test_regions_are_cut_as_torch_cuts_them_borders_too(seed, samples, bins):
    random = np.random.default_rng(seed)
    maps = [random.normal(size=(256 // stride, 320 // stride, 5)).astype(np.float32) for stride in (4, 8, 16)]
    boxes = draw_boxes(random, 12, 300.0)
    theirs = gather_regions(
        [torch.from_numpy(each).permute(2, 0, 1)[None] for each in maps],
        [4, 8, 16],
        [torch.from_numpy(boxes)],
        bins,
        samples,
    )
    ours = cut_regions(maps, 256, boxes, bins, samples)
    np.testing.assert_allclose(ours, theirs.permute(0, 2, 3, 1).numpy(), atol=2e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_masks_are_pasted_as_torch_pastes_them_but_for_pixels_at_the_threshold(seed):
    random = np.random.default_rng(seed)
    boxes, masks = draw_boxes(random, 5, 90.0), random.uniform(size=(5, 28, 28)).astype(np.float32)
    ours = decode_masks(paste_masks(masks, boxes, 80, 100))
    theirs = decode_masks(paste_in_torch(torch.from_numpy(masks), torch.from_numpy(boxes), 80, 100))
    assert (ours != theirs).sum() <= 2


def test_values_are_resized_between_the_centres_of_cells():
    column = np.array([[0.0], [4.0]], np.float32)
    np.testing.assert_allclose(resize(column, (4, 1)), [[0.0], [1.0], [3.0], [4.0]])


def test_an_offset_moves_and_grows_a_box():
    anchor = np.array([[10, 10, 30, 20]], np.float32)
    still = decode(np.zeros((1, 4), np.float32), anchor, (1, 1, 1, 1), 4.0)
    np.testing.assert_allclose(still, anchor)
    moved = decode(np.array([[5, 0, 0, np.log(2)]], np.float32), anchor, (10, 10, 1, 1), 4.0)
    np.testing.assert_allclose(moved, [[20, 5, 40, 25]], atol=1e-5)


def test_the_worse_of_two_boxes_goes_and_an_empty_one_takes_nothing_along():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [5, 5, 5, 5]], np.float32)
    np.testing.assert_allclose(measure_iou(boxes)[0], [1.0, 0.9, 0.0, 0.0], rtol=1e-6)
    scores = np.array([0.5, 0.9, 0.7, 0.95], np.float32)
    assert suppress(boxes, scores, 0.5).tolist() == [3, 1, 2]
    assert suppress(boxes, scores, 0.95).tolist() == [3, 1, 2, 0]
    assert suppress(boxes[:0], scores[:0], 0.5).tolist() == []
