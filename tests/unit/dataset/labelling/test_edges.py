from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_fill_holes, label

from dataset.labelling.edges import trace_edges
from maskloop.masks import decode_masks, encode_masks, rle_from_coco


def corners_of(*rows: str) -> list[tuple[int, int]] | None:
    mask = np.array([[character == "x" for character in row] for row in rows])
    return trace_edges(encode_masks(mask[None])[0])


def test_a_single_pixel_has_its_four_corners() -> None:
    assert set(corners_of("...", "..x") or ()) == {(2, 1), (3, 1), (3, 2), (2, 2)}


def test_an_l_has_six_corners_in_order() -> None:
    corners = corners_of("x..", "xx.")
    assert corners is not None
    assert len(corners) == 6
    steps = zip(corners, corners[1:] + corners[:1], strict=True)
    assert all((x == u) != (y == v) for (x, y), (u, v) in steps)


@pytest.mark.parametrize(
    "rows",
    [("...", "..."), ("xxx", "x.x", "xxx"), ("x.x",), ("x.", ".x")],
    ids=["empty", "hole", "two parts", "parts that touch at a corner"],
)
def test_a_mask_that_no_single_polygon_holds_has_no_outline(rows: tuple[str, ...]) -> None:
    assert corners_of(*rows) is None


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_an_outline_is_drawn_as_exactly_its_mask(mask: np.ndarray) -> None:
    (rle,) = encode_masks(mask[None])
    corners = trace_edges(rle)
    _, num_parts = label(mask)
    is_whole = num_parts == 1 and bool((binary_fill_holes(mask, np.ones((3, 3), dtype=bool)) == mask).all())
    assert (corners is not None) == is_whole or touches_itself(mask)
    if corners is not None:
        drawn = rle_from_coco([[side for corner in corners for side in corner]], *mask.shape)
        assert np.array_equal(decode_masks([drawn])[0], mask)


def touches_itself(mask: np.ndarray) -> bool:
    """Tell whether two pixels meet at a corner alone."""
    a, b, c, d = mask[:-1, :-1], mask[:-1, 1:], mask[1:, :-1], mask[1:, 1:]
    return bool(((a & d & ~b & ~c) | (b & c & ~a & ~d)).any())
