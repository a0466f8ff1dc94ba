"""Outlines whose border belongs to them, ellipses, and parts joined by a bridge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dataset.formats.filled_shapes import draw_closed, draw_ellipse, fill_closed, split_bridged
from maskloop.errors import MaskError
from maskloop.masks import areas_px, decode_masks, rle_from_coco

HEIGHT_PX, WIDTH_PX = 12, 15
points = arrays(np.float64, st.tuples(st.integers(1, 7), st.just(2)), elements=st.integers(-4, 18))


def drawn(points: Any) -> tuple[int, int, list[str]]:
    left, top, pixels_hw = fill_closed(np.array(points, float))
    return left, top, ["".join(".#"[pixel] for pixel in row) for row in pixels_hw.astype(int)]


@pytest.mark.parametrize(
    ("outline", "rows"),
    [
        ([(3, 4)], ["#"]),
        ([(3, 4), (6, 4)], ["####"]),
        ([(0, 0), (0, 3)], ["#"] * 4),
        ([(1, 1), (4, 1), (4, 3), (1, 3)], ["####"] * 3),
        ([(0, 0), (3, 0), (0, 3)], ["####", "###.", "##..", "#..."]),
        ([(0, 0), (4, 2)], ["##...", "..##.", "....#"]),
        ([(0, 0), (4, 0), (0, 4), (4, 4)], ["#####", ".###.", "..#..", ".###.", "#####"]),
    ],
)
def test_an_outline_is_filled_with_its_border(outline: Any, rows: list[str]) -> None:
    assert drawn(outline) == (min(x for x, _ in outline), min(y for _, y in outline), rows)


def test_points_are_rounded_to_the_middles_of_pixels() -> None:
    assert drawn([(0.4, 0.4), (2.6, 0.4), (2.6, 1.6), (0.4, 1.6)]) == (0, 0, ["####"] * 3)


@given(points)
def test_where_an_outline_starts_and_which_way_it_runs_changes_nothing_inside(outline: Any) -> None:
    left, top, pixels_hw = fill_closed(outline)
    turned = fill_closed(np.roll(outline, 1, axis=0))
    assert turned[:2] == (left, top)
    assert np.array_equal(turned[2], pixels_hw)
    for x, y in outline.astype(int):
        assert pixels_hw[y - top, x - left]


@given(points, st.lists(points, max_size=2))
@settings(deadline=None)
def test_holes_are_taken_out_and_what_leaves_the_picture_is_cut_off(outline: Any, holes: list[Any]) -> None:
    canvas = np.zeros((40, 40), bool)
    for number, each in enumerate([outline, *holes]):
        left, top, pixels_hw = fill_closed(each)
        height, width = pixels_hw.shape
        target = canvas[top + 8 : top + 8 + height, left + 8 : left + 8 + width]
        target[pixels_hw] = number == 0
    mask = decode_masks([draw_closed(outline, holes, HEIGHT_PX, WIDTH_PX)])[0]
    assert np.array_equal(mask, canvas[8 : 8 + HEIGHT_PX, 8 : 8 + WIDTH_PX])


@pytest.mark.parametrize(
    ("outline", "message"),
    [
        (np.zeros((0, 2)), "0 points"),
        ([(np.nan, 0)], "not finite"),
        ([(0, np.inf)], "not finite"),
        ([(1e6, 0)], "far outside"),
        ([(-60_000, -60_000), (60_000, 60_000)], "more than any picture"),
        ([(0, 0), (9000, 0)] * 3000, "absurdly long"),
    ],
)
def test_what_is_no_outline_is_refused(outline: Any, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        fill_closed(np.array(outline, float))


def test_an_ellipse_holds_the_pixels_whose_middles_it_surrounds() -> None:
    mask = decode_masks([draw_ellipse((5, 4), (2.5, 1.1), HEIGHT_PX, WIDTH_PX)])[0]
    expected = np.zeros((HEIGHT_PX, WIDTH_PX), bool)
    expected[3:5, 3:7] = True  # x of 2.5 has (2.5 / 2.5)² + (0.5 / 1.1)² = 1.21
    assert np.array_equal(mask, expected)


def test_a_turned_ellipse_is_turned_clockwise_and_cut_off_at_the_edge() -> None:
    mask = decode_masks([draw_ellipse((0, 0), (8, 1), HEIGHT_PX, WIDTH_PX, turned_deg=45)])[0]
    assert all(mask[at, at] for at in range(5))
    assert not mask[0, 5:].any()
    assert areas_px([draw_ellipse((-20, 5), (3, 3), HEIGHT_PX, WIDTH_PX)])[0] == 0


@pytest.mark.parametrize("radii", [(0, 1), (1, -1), (np.nan, 1), (1e9, 1)])
def test_an_ellipse_of_no_size_is_refused(radii: tuple[float, float]) -> None:
    with pytest.raises(MaskError, match="radii above 0"):
        draw_ellipse((5, 5), radii, HEIGHT_PX, WIDTH_PX)


def square(left: float, top: float, side: float = 2) -> list[tuple[float, float]]:
    return [(left, top), (left + side, top), (left + side, top + side), (left, top + side)]


def flat(parts: list[list[tuple[float, float]]]) -> list[list[float]]:
    return [[side for point in part for side in point] for part in parts]


def test_three_parts_joined_by_bridges_come_apart() -> None:
    """The second part is walked half on the way to the third, and half on the way back."""
    first, second, third = square(0, 0), square(4, 0), square(8, 0)
    joined = [
        *(first[1], first[2], first[3], first[0], first[1]),
        *(second[0], second[1]),
        *(third[0], third[1], third[2], third[3], third[0]),
        *(second[1], second[2], second[3], second[0]),
    ]
    parts = split_bridged(joined)
    assert sorted(map(sorted, parts)) == sorted(map(sorted, (first, second, third)))
    assert rle_from_coco(flat(parts), HEIGHT_PX, WIDTH_PX) == rle_from_coco(
        flat([joined]), HEIGHT_PX, WIDTH_PX
    )


def test_a_hole_joined_by_a_bridge_stays_a_hole() -> None:
    hole = square(3, 3)[::-1]
    joined = [*square(0, 0, 9), (0, 0), hole[-1], *hole]
    assert split_bridged(joined) == [joined]
    assert areas_px([rle_from_coco(flat([joined]), HEIGHT_PX, WIDTH_PX)])[0] == 81 - 4


@pytest.mark.parametrize(
    "outline",
    [
        square(1, 1),
        [*square(1, 1), (1, 1)],
        [(0, 0), (4, 0), (0, 4), (4, 4)],
        [(0, 0), (3, 3), (0, 0)],
        [(1, 1)] * 3,
    ],
)
def test_an_outline_without_a_bridge_covers_the_same(outline: list[tuple[float, float]]) -> None:
    ours = rle_from_coco(flat(split_bridged(outline)), HEIGHT_PX, WIDTH_PX)
    assert ours == rle_from_coco(flat([outline]), HEIGHT_PX, WIDTH_PX)


def test_a_spike_of_no_width_is_dropped() -> None:
    (part,) = split_bridged([*square(0, 0)[:2], (9, 9), *square(0, 0)[1:]])
    assert sorted(part) == sorted(square(0, 0))
