"""Where masks end: the last size, coordinate and run that is accepted, and what is said of the next."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskloop.errors import MaskError
from maskloop.masks import (
    MAX_COORDINATE_PX,
    MAX_SIDE_PX,
    Rle,
    areas_px,
    boxes_xyxy,
    crop_mask,
    decode_masks,
    encode_masks,
    mask_iou,
    place_mask,
    rle_from_coco,
)

SQUARE = [1, 1, 3, 1, 3, 3, 1, 3]
"""Covers the four pixels with rows and columns 1 and 2."""


def empty(height_px: int, width_px: int) -> Rle:
    nothing = np.zeros((0, 0), dtype=bool)
    return place_mask(nothing, left_px=0, top_px=0, height_px=height_px, width_px=width_px)


@pytest.mark.parametrize(("height", "width"), [(MAX_SIDE_PX, 1), (1, MAX_SIDE_PX), (10_000, 10_000)])
def test_the_largest_sizes_are_accepted(height: int, width: int) -> None:
    one = empty(height, width)
    assert (one.height_px, one.width_px) == (height, width)
    assert Rle.checked(height, width, one.counts) == one


@pytest.mark.parametrize(
    ("height", "width", "says"),
    [
        (32_769, 1, "a mask's sides must be 1 to 32768 px, not 32769"),
        (1, 0, "a mask's sides must be 1 to 32768 px, not 0"),
        (10_001, 10_000, "a mask of 10000 x 10001 px is too large"),
        (True, 1, "a mask's size must be whole numbers, not True"),
        (2.0, 1, "a mask's size must be whole numbers, not 2.0"),
    ],
)
def test_a_size_beyond_is_refused_with_its_number(height: Any, width: Any, says: str) -> None:
    with pytest.raises(MaskError) as refused:
        rle_from_coco([SQUARE], height, width)
    assert str(refused.value) == says


def test_a_side_may_be_a_number_of_numpy() -> None:
    assert rle_from_coco([SQUARE], np.int64(4), np.int32(4)) == rle_from_coco([SQUARE], 4, 4)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("segmentation", "says"),
    [
        ("0,0,4,4", "a segmentation is a list of polygons or an RLE, not str"),
        ([], "the list of polygons is empty"),
        ([[0, 0, 4, 4]], "a polygon needs three points or more, as pairs; this one has 4 numbers"),
        ([[0, 0, 4, 4, 2, 8, 1]], "a polygon needs three points or more, as pairs; this one has 7 numbers"),
        (["x"], "a polygon is a list of numbers x0, y0, x1, y1, …"),
        ([[0, 0, "4", 0, 4, 4]], "a polygon holds something that is not a number"),
        (
            [[0, 0, 65_536.5, 0, 4, 4]],
            "a polygon holds a coordinate that is not finite or far outside any picture",
        ),
        ([[0.5] * 400_002], "an outline has 200001 points; at most 200000 are accepted"),
        ({"size": [4, 5], "counts": [20]}, "the RLE's size [4, 5] is not the picture's [4, 4]"),
        ({"size": [4, 4], "counts": [8, 8.0]}, "an RLE's counts are text or a list of whole numbers"),
        ({"size": [4, 4], "counts": [8, 9]}, "an RLE's runs do not add up to its 16 pixels"),
        ({"size": [4, 4], "counts": [17, -1]}, "an RLE's runs do not add up to its 16 pixels"),
        ({"size": [4, 4], "counts": []}, "an RLE of 0 runs does not describe 16 pixels"),
        ({"size": [4, 4], "counts": [0] * 17 + [16]}, "an RLE of 18 runs does not describe 16 pixels"),
        ({"size": [4, 4], "counts": "!"}, "an RLE's text holds a character that does not belong there"),
        (
            {"size": [4, 4], "counts": "P"},
            "an RLE's text ends in the middle of a number, or a number is too long",
        ),
    ],
)
def test_what_is_wrong_with_a_segmentation_is_said(segmentation: Any, says: str) -> None:
    with pytest.raises(MaskError) as refused:
        rle_from_coco(segmentation, 4, 4)
    assert str(refused.value) == says


def test_as_many_runs_as_pixels_and_one_more_are_accepted() -> None:
    chequered = {"size": [2, 2], "counts": [0, 1, 1, 1, 1]}
    (pixels,) = decode_masks([rle_from_coco(chequered, 2, 2)])
    assert pixels.tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize("far", [MAX_COORDINATE_PX, -MAX_COORDINATE_PX])
def test_the_farthest_coordinate_is_accepted_and_cut_off_at_the_picture(far: float) -> None:
    (area,) = areas_px([rle_from_coco([[far, -9, far, 9, 2, 9, 2, -9]], 4, 4)])
    assert area == 8


def test_a_square_outline_covers_its_pixels_and_two_outlines_both() -> None:
    one = rle_from_coco([SQUARE], 6, 8)
    assert areas_px([one]).tolist() == [4]
    assert boxes_xyxy([one]).tolist() == [[1.0, 1.0, 3.0, 3.0]]
    both = rle_from_coco([SQUARE, [5, 0, 7, 0, 7, 1, 5, 1]], 6, 8)
    assert areas_px([both]).tolist() == [6]
    assert boxes_xyxy([both]).tolist() == [[1.0, 0.0, 7.0, 3.0]]


def test_a_mask_cut_to_its_box_says_where_the_box_lies() -> None:
    left, top, pixels = crop_mask(rle_from_coco([[5, 2, 7, 2, 7, 3, 5, 3]], 6, 8))
    assert (left, top, pixels.tolist()) == (5, 2, [[True, True]])
    assert crop_mask(empty(6, 8))[2].size == 0


def test_a_mask_is_written_as_coco_writes_it() -> None:
    """Runs, column by column: 7, 2, 4, 2, 33; the fourth and fifth are written as 2 - 2 and 33 - 4."""
    one = rle_from_coco([SQUARE], 6, 8)
    assert one.to_coco() == {"size": [6, 8], "counts": "7240m0"}
    assert Rle.checked(6, 8, "7240m0") == Rle.checked(6, 8, b"7240m0") == one


def test_the_overlap_of_two_squares_is_as_computed_by_hand() -> None:
    """Two squares of four pixels share one: 1 of 7; in a crowd 1 of the first's 4."""
    one, other = rle_from_coco([SQUARE], 6, 8), rle_from_coco([[2, 2, 4, 2, 4, 4, 2, 4]], 6, 8)
    assert mask_iou([one], [other, other], [False, True])[0] == pytest.approx([1 / 7, 1 / 4])
    assert mask_iou([one], []).shape == (1, 0)
    assert mask_iou([], [one, other]).shape == (0, 2)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1600))
def test_a_mask_of_the_first_pixels_of_every_column_has_as_many_pixels(
    height: int, width: int, num: int
) -> None:
    num = min(num, height * width)
    pixels = (np.arange(height * width) < num).reshape(width, height).T
    (one,) = encode_masks(pixels[np.newaxis])
    assert areas_px([one]).tolist() == [num]
    assert (decode_masks([one])[0] == pixels).all()
