"""Outlines as labelling tools write them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dataset.coco.outlines import UnusableMaskError, read_mask, share_inside
from maskloop.masks import decode_masks, rle_from_coco
from tests.fakes.coco_batches import HEIGHT_PX, WIDTH_PX, rectangle


def read(segmentation):
    mask, remarks = read_mask(segmentation, HEIGHT_PX, WIDTH_PX)
    return decode_masks([mask])[0], [remark.code for remark in remarks]


def test_a_sound_outline_is_read_without_a_remark():
    pixels, remarks = read(rectangle())
    assert (int(pixels.sum()), remarks) == (80, [])


@pytest.mark.parametrize("stray", [[], [5.0, 6.0], [5.0, 6.0, 9.0, 6.0]])
def test_a_stray_point_or_line_beside_a_sound_outline_is_dropped_and_told(stray):
    pixels, remarks = read([*rectangle(), stray])
    assert (int(pixels.sum()), remarks) == (80, ["stray-part"])


@pytest.mark.parametrize("stray", [[5.0], [5.0, 6.0, 7.0], ["a", "b"], [5.0, float("nan")] * 4])
def test_a_broken_part_still_costs_the_object(stray):
    with pytest.raises(UnusableMaskError):
        read([*rectangle(), stray])


def test_a_point_alone_is_no_object():
    with pytest.raises(UnusableMaskError, match="three points") as caught:
        read([[5.0, 6.0]])
    assert caught.value.code == "bad-mask"


def test_a_flat_list_is_one_polygon():
    pixels, remarks = read(rectangle()[0])
    assert (int(pixels.sum()), remarks) == (80, ["flat-outline"])


def test_an_outline_a_little_beyond_the_edge_is_cut_off_there():
    pixels, remarks = read(rectangle(x=WIDTH_PX - 10, y=3, width=14, height=8))
    expected = np.zeros((HEIGHT_PX, WIDTH_PX), dtype=bool)
    expected[3:11, WIDTH_PX - 10 :] = True
    assert np.array_equal(pixels, expected)
    assert remarks == ["mask-clipped"]


def test_rounding_at_the_edge_is_not_worth_a_word():
    assert read(rectangle(x=WIDTH_PX - 10, width=12))[1] == []


def test_an_outline_mostly_outside_is_refused_with_the_share():
    with pytest.raises(UnusableMaskError, match="75% of the mask lies outside") as caught:
        read(rectangle(x=WIDTH_PX - 5, width=20))
    assert caught.value.code == "mask-outside-picture"


def test_outlines_are_stretched_before_they_are_read():
    mask, _ = read_mask(rectangle(x=4, y=4, width=8, height=8), 40, 40, stretch_xy=(0.5, 2.0))
    expected, _ = read_mask(rectangle(x=2, y=8, width=4, height=16), 40, 40)
    assert mask == expected


@given(x=st.integers(-60, 60), y=st.integers(-60, 60), width=st.integers(1, 60), height=st.integers(1, 60))
def test_the_share_of_a_rectangle_inside_is_that_of_its_cut(x, y, width, height):
    inside_x = max(0, min(x + width, WIDTH_PX) - max(x, 0))
    inside_y = max(0, min(y + height, HEIGHT_PX) - max(y, 0))
    share = share_inside(rectangle(x, y, width, height), HEIGHT_PX, WIDTH_PX)
    assert share == pytest.approx(inside_x * inside_y / (width * height), abs=1e-9)


@given(x=st.integers(-4, 30), y=st.integers(-4, 20), width=st.integers(8, 40), height=st.integers(8, 40))
def test_what_is_kept_of_an_outline_beyond_the_edge_are_its_pixels_inside(x, y, width, height):
    outline = rectangle(x, y, width, height)
    assume(share_inside(outline, HEIGHT_PX, WIDTH_PX) >= 0.5)
    pixels, _ = read(outline)
    padded = decode_masks([rle_from_coco(rectangle(x + 50, y + 50, width, height), 150, 150)])[0]
    assert np.array_equal(pixels, padded[50 : 50 + HEIGHT_PX, 50 : 50 + WIDTH_PX])
