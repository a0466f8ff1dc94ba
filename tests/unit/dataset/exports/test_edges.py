"""Outlines along the edges of pixels draw the mask they were traced from, whatever its shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, label

from dataset.exports.edges import join_rings, trace_outline, trace_rings
from dataset.formats.filled_shapes import split_bridged
from maskloop.masks import Rle, decode_masks, encode_masks, rle_from_coco

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.booleans()).filter(
    lambda pixels: bool(pixels.any())
)


def rings_of(*rows: str) -> list[list[tuple[int, int]]]:
    return [[(x, y) for x, y in ring.tolist()] for ring in trace_rings(mask_of(*rows))]


def mask_of(*rows: str) -> Rle:
    return encode_masks(np.array([[[pixel == "#" for pixel in row] for row in rows]]))[0]


def test_a_rectangle_has_four_corners_clockwise() -> None:
    assert rings_of(".....", ".###.", ".###.") == [[(1, 1), (4, 1), (4, 3), (1, 3)]]


def test_a_hole_is_a_ring_that_runs_the_other_way_round() -> None:
    outer, hole = rings_of("###", "#.#", "###")
    assert outer == [(0, 0), (3, 0), (3, 3), (0, 3)]
    assert hole == [(1, 2), (2, 2), (2, 1), (1, 1)]


def test_pixels_that_touch_at_a_corner_are_rings_of_their_own() -> None:
    assert rings_of("#.", ".#") == [[(0, 0), (1, 0), (1, 1), (0, 1)], [(1, 1), (2, 1), (2, 2), (1, 2)]]


def test_an_empty_mask_has_no_rings() -> None:
    assert rings_of("..", "..") == []


def test_the_only_ring_of_a_mask_is_its_outline() -> None:
    assert trace_outline(mask_of(".....", ".###.", ".###.")) == [(1, 1), (4, 1), (4, 3), (1, 3)]


def test_the_outline_of_an_l_has_six_corners_in_order() -> None:
    corners = trace_outline(mask_of("#..", "##."))
    assert corners is not None
    assert len(corners) == 6
    steps = zip(corners, corners[1:] + corners[:1], strict=True)
    assert all((x == u) != (y == v) for (x, y), (u, v) in steps)


@pytest.mark.parametrize(
    "rows",
    [("..", ".."), ("###", "#.#", "###"), ("#.#",), ("#.", ".#"), ("##.", "#.#", "###")],
    ids=["empty", "a hole", "two parts", "two that touch", "one that touches itself"],
)
def test_what_one_outline_cannot_hold_has_none(rows: tuple[str, ...]) -> None:
    assert trace_outline(mask_of(*rows)) is None


def test_two_squares_are_joined_by_a_line_there_and_back() -> None:
    mask = np.zeros((1, 4, 9), dtype=bool)
    mask[0, 1:3, 1:3] = mask[0, 1:3, 6:8] = True
    outline = join_rings(trace_rings(encode_masks(mask)[0]))
    assert [len(part) for part in split_bridged(outline)] == [4, 4]
    assert len(outline) == 4 + 4 + 2


@given(pixels=masks)
def test_rings_add_up_to_the_area(pixels: NDArray[np.bool_]) -> None:
    rings = trace_rings(encode_masks(pixels[None])[0])
    areas = [
        float(ring[:, 0] @ np.roll(ring[:, 1], -1) - ring[:, 1] @ np.roll(ring[:, 0], -1)) / 2
        for ring in rings
    ]
    assert sum(areas) == pixels.sum()


@given(pixels=masks)
def test_the_joined_outline_draws_the_mask_whole_and_taken_apart(pixels: NDArray[np.bool_]) -> None:
    height, width = pixels.shape
    mask = encode_masks(pixels[None])[0]
    outline = join_rings(trace_rings(mask))
    assert rle_from_coco([flat(outline)], height, width) == mask
    assert rle_from_coco([flat(part) for part in split_bridged(outline)], height, width) == mask


def flat(outline: Sequence[tuple[float, float]]) -> list[float]:
    return [float(side) for corner in outline for side in corner]


@given(mask=arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_an_outline_is_drawn_as_exactly_its_mask(mask: NDArray[np.bool_]) -> None:
    (rle,) = encode_masks(mask[None])
    corners = trace_outline(rle)
    _, num_parts = label(mask)
    is_whole = num_parts == 1 and bool((binary_fill_holes(mask, np.ones((3, 3), dtype=bool)) == mask).all())
    assert (corners is not None) == is_whole or touches_itself(mask)
    if corners is not None:
        drawn = rle_from_coco([[side for corner in corners for side in corner]], *mask.shape)
        assert np.array_equal(decode_masks([drawn])[0], mask)


def touches_itself(mask: NDArray[np.bool_]) -> bool:
    """Tell whether two pixels meet at a corner alone."""
    a, b, c, d = mask[:-1, :-1], mask[:-1, 1:], mask[1:, :-1], mask[1:, 1:]
    return bool(((a & d & ~b & ~c) | (b & c & ~a & ~d)).any())
