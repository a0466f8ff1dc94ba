from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from models.operations import mask_targets
from models.operations.crops import MaskCrop
from models.operations.mask_targets import Crops, cut_mask_targets, make_target


def draw_crops(random, count, height_px, width_px):
    """Ragged blobs anywhere in the picture, some at its border, and their dense masks."""
    crops, masks = [], np.zeros((count, height_px, width_px), np.uint8)
    for mask in masks:
        height, width = random.integers(1, height_px + 1), random.integers(1, width_px + 1)
        top, left = random.integers(0, height_px - height + 1), random.integers(0, width_px - width + 1)
        pixels = random.random((height, width)) < 0.7
        mask[top : top + height, left : left + width] = pixels
        crops.append(MaskCrop(int(left), int(top), pixels))
    return crops, torch.from_numpy(masks)


def draw_regions(random, count, height_px, width_px):
    corners = random.random((count, 2, 2)) * [width_px, height_px]
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    boxes[: count // 4] = np.round(boxes[: count // 4])
    boxes[-1] = [0.0, 0.0, width_px, height_px]
    return torch.from_numpy(boxes)


def cut_both_ways(random, sizes, resized, side, dtype=torch.float64):
    """Targets of two pictures by torchvision, its masks resized as its transform does, and by ours."""
    targets: list[Any] = []
    theirs, regions, instances, frames = [], [], [], []
    for (height, width), (new_height, new_width) in zip(sizes, resized, strict=True):
        crops, masks = draw_crops(random, 4, height, width)
        boxes = draw_regions(random, 9, new_height, new_width).to(dtype)
        instance = torch.from_numpy(random.integers(0, 4, 9))
        dense = F.interpolate(masks[:, None].float(), size=(new_height, new_width))[:, 0].byte()
        theirs.append(project_masks_on_boxes(dense, boxes, instance, side))
        instances.append(instance + 4 * len(targets))
        targets.append(make_target(crops, np.ones(4, np.int64), height_px=height, width_px=width))
        regions.append(boxes)
        frames += [((height, width), (new_height, new_width))] * 9
    ours = cut_mask_targets(
        Crops.of(targets),
        torch.cat(instances),
        torch.cat(regions),
        original_K2=torch.tensor([original for original, _ in frames]),
        resized_K2=torch.tensor([new for _, new in frames]),
        side=side,
    )
    return torch.cat(theirs), ours


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.tuples(st.integers(2, 90), st.integers(2, 90)), min_size=2, max_size=2),
    side=st.sampled_from([1, 3, 14, 28, 56]),
)
def test_targets_of_pictures_that_keep_their_size_are_those_of_torchvision(seed, sizes, side):
    theirs, ours = cut_both_ways(np.random.default_rng(seed), sizes, sizes, side)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.tuples(st.integers(2, 60), st.integers(2, 60)), min_size=2, max_size=2),
    resized=st.lists(st.tuples(st.integers(2, 90), st.integers(2, 90)), min_size=2, max_size=2),
)
def test_targets_of_resized_pictures_are_those_of_torchvision(seed, sizes, resized):
    theirs, ours = cut_both_ways(np.random.default_rng(seed), sizes, resized, 14)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_float32_is_enough():
    theirs, ours = cut_both_ways(
        np.random.default_rng(0), [(300, 500)] * 2, [(480, 800)] * 2, 28, dtype=torch.float32
    )
    assert (ours - theirs).abs().max() < 1e-3
    assert (ours - theirs).abs().mean() < 1e-5


def test_a_target_is_a_mask_seen_through_its_box():
    """A 4 x 2 px mask, its left half set, as 2 x 2 cells of 2 x 1 px."""
    crop = MaskCrop(3, 5, np.array([[True, True, False, False]] * 2))
    target = make_target([crop], np.array([1]), height_px=20, width_px=20)
    frame = torch.tensor([[20, 20]])
    cut = cut_mask_targets(
        Crops.of([target]),
        torch.tensor([0]),
        torch.tensor([[3.0, 5.0, 7.0, 7.0]]),
        original_K2=frame,
        resized_K2=frame,
        side=2,
    )
    # Samples lie at 0.5 and 1.5 of a cell; RoIAlign counts a pixel's value at its upper left corner.
    assert cut.tolist() == [[[0.75, 0.0], [0.375, 0.0]]]


def test_the_order_of_regions_stays_when_large_crops_are_cut_apart(monkeypatch):
    whole = cut_both_ways(np.random.default_rng(3), [(50, 60)] * 2, [(50, 60)] * 2, 7)[1]
    monkeypatch.setattr(mask_targets, "_CELLS_AT_ONCE", 500)
    in_parts = cut_both_ways(np.random.default_rng(3), [(50, 60)] * 2, [(50, 60)] * 2, 7)[1]
    torch.testing.assert_close(in_parts, whole)


def test_no_regions_have_no_targets():
    target = make_target([], np.zeros(0, np.int64), height_px=9, width_px=9)
    frame = torch.zeros(0, 2)
    nothing = torch.zeros(0, dtype=torch.int64)
    cut = cut_mask_targets(
        Crops.of([target]), nothing, torch.zeros(0, 4), original_K2=frame, resized_K2=frame, side=28
    )
    assert cut.shape == (0, 28, 28)


@pytest.mark.parametrize("count", [0, 2])
def test_a_target_holds_crops_and_nothing_of_the_pictures_size(count):
    crops = [MaskCrop(7, 1, np.ones((2, 3), bool)), MaskCrop(0, 0, np.eye(4, dtype=bool))][:count]
    target = make_target(crops, np.arange(1, count + 1), height_px=3000, width_px=4000)
    assert target["boxes"].tolist() == [[7.0, 1.0, 10.0, 3.0], [0.0, 0.0, 4.0, 4.0]][:count]
    assert target["crop_boxes"].dtype == torch.int64
    assert target["crop_pixels"].dtype == torch.uint8
    assert target["crop_pixels"].tolist() == [*[1] * 6, *np.eye(4, dtype=int).ravel()][: 22 if count else 0]
    assert target["size_px"].tolist() == [3000, 4000]
