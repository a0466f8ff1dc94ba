"""Masks straight from their regions are torchvision's pasted ones, on every pixel."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torchvision.models.detection.roi_heads import paste_masks_in_image

from maskloop.masks import areas_px, decode_masks
from models.operations.pasting import paste_masks

HEIGHT_PX, WIDTH_PX = 50, 70
BELOW, ABOVE = np.nextafter(np.array([0.5, 0.5], np.float32), np.array([0.0, 1.0], np.float32)).tolist()
near_the_threshold = st.sampled_from([0.0, 0.25, BELOW, 0.5, ABOVE, 0.75, 1.0])
probabilities = st.one_of(near_the_threshold, st.floats(0.0, 1.0, width=32))
corners = st.one_of(st.integers(-40, 110).map(float), st.floats(-40.0, 110.0, width=32))
lengths = st.one_of(st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.floats(0.0, 150.0, width=32))


def paste_as_torchvision(masks, boxes):
    """Return bool (N, H, W); nothing for a box on which torchvision raises because it lies outside."""
    pasted = torch.zeros(len(masks), HEIGHT_PX, WIDTH_PX, dtype=torch.bool)
    for index in range(len(masks)):
        left, top, right, bottom = boxes[index].tolist()
        try:
            whole = paste_masks_in_image(masks[index, None, None], boxes[index, None], (HEIGHT_PX, WIDTH_PX))
        except RuntimeError:
            assert right < 0 or bottom < 0 or left > WIDTH_PX or top > HEIGHT_PX
            continue
        pasted[index] = whole[0, 0] > 0.5
    return pasted.numpy()


def assert_equal_on_every_pixel(masks, boxes):
    ours = decode_masks(paste_masks(masks, boxes, HEIGHT_PX, WIDTH_PX))
    np.testing.assert_array_equal(ours, paste_as_torchvision(masks, boxes))


@st.composite
def regions(draw):
    side = draw(st.sampled_from([1, 2, 3, 7, 28]))
    if side > 3:
        random = np.random.default_rng(draw(st.integers(0, 2**32)))
        pool = np.array(draw(st.lists(probabilities, min_size=1, max_size=8)), dtype=np.float32)
        mask = random.choice(pool, (side, side))
    else:
        numbers = draw(st.lists(probabilities, min_size=side**2, max_size=side**2))
        mask = np.array(numbers, dtype=np.float32).reshape(side, side)
    x0, y0, width, height = draw(corners), draw(corners), draw(lengths), draw(lengths)
    return torch.from_numpy(mask)[None], torch.tensor([[x0, y0, x0 + width, y0 + height]])


@settings(max_examples=1000, deadline=None)
@given(regions())
@example((torch.full((1, 28, 28), 0.5), torch.tensor([[0.0, 0.0, 70.0, 50.0]])))
@example((torch.full((1, 28, 28), ABOVE), torch.tensor([[-5.0, -5.0, 75.0, 55.0]])))
@example((torch.ones(1, 28, 28), torch.tensor([[-30.0, 0.0, 110.0, 50.0]])))
@example((torch.ones(1, 28, 28), torch.tensor([[20.0, -30.0, 20.0, 90.0]])))
def test_any_mask_in_any_box_is_the_one_torchvision_pastes(region):
    assert_equal_on_every_pixel(*region)


def test_many_masks_at_once_are_those_torchvision_pastes():
    random = torch.Generator().manual_seed(0)
    masks = torch.rand(200, 14, 14, generator=random)
    starts = torch.rand(200, 2, generator=random) * torch.tensor([90.0, 70.0]) - 20.0
    boxes = torch.cat([starts, starts + torch.rand(200, 2, generator=random) * 60.0], dim=1)
    assert_equal_on_every_pixel(masks, boxes)


@pytest.mark.parametrize(
    "box",
    [(-40, 10, -20, 30), (90, 10, 130, 30), (10, -40, 30, -20), (10, 70, 30, 110), (900, 900, 990, 990)],
)
def test_a_box_outside_the_picture_has_an_empty_mask(box):
    masks = paste_masks(torch.ones(1, 28, 28), torch.tensor([box], dtype=torch.float32), HEIGHT_PX, WIDTH_PX)
    assert areas_px(masks).tolist() == [0]


def test_a_mask_of_one_pixel_is_where_its_box_is():
    masks = paste_masks(torch.ones(1, 28, 28), torch.tensor([[30.2, 20.2, 30.9, 20.9]]), HEIGHT_PX, WIDTH_PX)
    assert np.argwhere(decode_masks(masks)[0]).tolist() == [[20, 30]]


def test_no_regions_are_no_masks():
    assert paste_masks(torch.zeros(0, 28, 28), torch.zeros(0, 4), HEIGHT_PX, WIDTH_PX) == ()


def test_memory_follows_the_boxes_and_not_the_picture():
    starts = torch.arange(50)[:, None] * torch.tensor([100.0, 40.0, 100.0, 40.0])
    boxes = starts + torch.tensor([0.0, 0.0, 90.0, 90.0])
    tracemalloc.start()
    masks = paste_masks(torch.ones(50, 28, 28), boxes, 5_000, 10_000)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert areas_px(masks).min() > 7_000
    assert peak_bytes < 5_000_000 < 5_000 * 10_000
