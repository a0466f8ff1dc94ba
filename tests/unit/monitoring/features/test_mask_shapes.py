"""Shapes of masks, computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from maskloop.masks import encode_masks
from monitoring.features.mask_shapes import MAX_CROP_SIDE_PX, MaskShapes, largest_overlaps, measure_shapes

DISK = np.hypot(*np.mgrid[-45:46, -45:46]) <= 40.3


def shapes_of(*masks: NDArray[np.bool_]) -> MaskShapes:
    return measure_shapes(encode_masks(np.stack(masks)))


def drawn(*rows: str) -> NDArray[np.bool_]:
    return np.array([[cell == "#" for cell in row] for row in rows])


def test_a_single_pixel_has_two_crossings_in_each_of_four_directions() -> None:
    """Crofton: π/8 · (2 + 2 + (2 + 2)/√2) = 2.68 px around one px²."""
    perimeter = math.pi / 8 * (4 + 4 / math.sqrt(2))
    found = shapes_of(drawn("...", ".#.", "..."))
    assert found.complexity[0] == pytest.approx(perimeter**2 / (4 * math.pi))


def test_a_square_has_as_many_crossings_as_lines_meet_it_twice() -> None:
    """Three rows, three columns, and five diagonals each way, spaced by 1/√2."""
    perimeter = math.pi / 8 * (6 + 6 + 20 / math.sqrt(2))
    found = shapes_of(drawn(".....", ".###.", ".###.", ".###.", "....."))
    assert found.complexity[0] == pytest.approx(perimeter**2 / (4 * math.pi * 9))


def test_a_disk_has_a_complexity_of_one_and_a_ragged_outline_more() -> None:
    ragged = DISK.copy()
    ragged[::4] = False
    assert shapes_of(DISK).complexity[0] == pytest.approx(1.0, abs=0.03)
    assert shapes_of(ragged).complexity[0] > 4.0


def test_a_turned_bar_keeps_its_complexity() -> None:
    rows, columns = np.mgrid[-60:61, -60:61]
    level = (abs(rows) <= 10) & (abs(columns) <= 40)
    turned = (abs(rows + columns) / math.sqrt(2) <= 10.5) & (abs(rows - columns) / math.sqrt(2) <= 40.5)
    complexities = shapes_of(level, turned).complexity
    assert complexities[0] == pytest.approx(complexities[1], rel=0.1)


@pytest.mark.parametrize(
    ("mask", "num_fragments", "num_holes"),
    [
        (drawn("#..", "...", "..#"), 2, 0),
        (drawn("#..", ".#.", "..#"), 1, 0),
        (drawn("###", "#.#", "###"), 1, 1),
        (drawn(".#.", "#.#", ".#."), 1, 1),
        (drawn("#####", "#.#.#", "#####"), 1, 2),
        (drawn("#####", "#...#", "#.#.#", "#...#", "#####"), 2, 1),
        (drawn("##.", "#.."), 1, 0),
    ],
)
def test_fragments_and_holes_are_counted(mask: NDArray[np.bool_], num_fragments: int, num_holes: int) -> None:
    found = shapes_of(mask)
    assert (found.num_fragments[0], found.num_holes[0]) == (num_fragments, num_holes)


@pytest.mark.parametrize(
    ("mask", "touches"),
    [
        (drawn("...", ".#.", "..."), False),
        (drawn(".#.", "...", "..."), True),
        (drawn("...", "#..", "..."), True),
        (drawn("...", "...", ".#."), True),
        (drawn("...", "..#", "..."), True),
        (drawn("...", "...", "..."), False),
    ],
)
def test_a_mask_touches_the_border_on_any_side(mask: NDArray[np.bool_], touches: bool) -> None:
    assert bool(shapes_of(mask).touches_border[0]) == touches


def test_an_empty_mask_has_no_shape() -> None:
    found = shapes_of(np.zeros((4, 5), bool))
    assert (found.complexity[0], found.num_fragments[0], found.num_holes[0]) == (0.0, 0.0, 0.0)
    assert not len(measure_shapes(()).complexity)


def test_a_large_mask_is_as_complex_as_a_small_one_of_its_shape() -> None:
    large = np.hypot(*np.mgrid[-330:331, -330:331]) <= 322.4
    assert max(large.shape) > 4 * MAX_CROP_SIDE_PX
    found = measure_shapes((*encode_masks(DISK[np.newaxis]), *encode_masks(large[np.newaxis])))
    assert found.complexity[0] == pytest.approx(found.complexity[1], abs=0.05)
    assert found.num_holes.tolist() == [0.0, 0.0]


@given(st.integers(0, 2**35 - 1))
def test_holes_are_the_background_that_no_way_leads_out_of(bits: int) -> None:
    from scipy.ndimage import label

    mask = np.array([bits >> place & 1 for place in range(35)], bool).reshape(5, 7)
    outside = np.pad(~mask, 1, constant_values=True)
    expected = label(outside)[1] - 1
    assert shapes_of(mask).num_holes[0] == (expected if mask.any() else 0)


def test_an_overlap_is_the_share_of_the_smaller_mask_that_is_covered() -> None:
    """6 px and 4 px share 2: a half of the smaller. The third lies inside the first."""
    masks = np.zeros((4, 3, 8), bool)
    masks[0, 0, 0:6], masks[1, 0, 4:8], masks[2, 0, 0:1], masks[3, 2, :] = True, True, True, True
    assert largest_overlaps(encode_masks(masks)).tolist() == pytest.approx([1.0, 0.5, 1.0, 0.0])


def test_one_mask_alone_and_an_empty_one_overlap_nothing() -> None:
    masks = encode_masks(np.stack([DISK, np.zeros_like(DISK)]))
    assert largest_overlaps(masks[:1]).tolist() == [0.0]
    assert largest_overlaps(masks).tolist() == [0.0, 0.0]
    assert not largest_overlaps(()).size
