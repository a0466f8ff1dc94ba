"""Shapes as labelling tools mean them, drawn as masks or taken apart into polygons.

COCO's outlines run along the edges of pixels; `maskloop.masks.rle_from_coco` draws those. Here are others:
outlines whose points are pixels that belong to the object, ellipses, and parts joined to one outline.

Shape suffixes: N points, H height in px, W width in px.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskloop.errors import MaskError
from maskloop.masks import MAX_AREA_PX, MAX_COORDINATE_PX, MAX_VERTICES, Rle, place_mask

Point = tuple[float, float]
_MAX_CROSSINGS: Final = 20_000_000


def fill_closed(points_N2: NDArray[np.float64]) -> tuple[int, int, NDArray[np.bool_]]:
    """Draw a polygon together with its border, pixel for pixel as OpenCV's ``fillPoly`` does.

    Args:
        points_N2: x and y in px, where whole numbers are the middles of pixels; rounded to them. The last
            point is joined to the first. One point draws one pixel, two draw a line.

    Returns:
        Left and top in px of the box that it fills, which may lie outside a picture, and its pixels, bool
        (h, w).

    Raises:
        MaskError: if there is no point, too many, or one that is not finite or far outside any picture.
    """
    if not 1 <= len(points_N2) <= MAX_VERTICES:
        raise MaskError(f"an outline has {len(points_N2)} points; 1 to {MAX_VERTICES} are accepted")
    if not np.all(np.abs(points_N2) <= MAX_COORDINATE_PX):  # false for NaN too
        raise MaskError("an outline holds a coordinate that is not finite or far outside any picture")
    points = np.rint(points_N2).astype(np.int64)
    left, top = points.min(axis=0)
    width, height = (int(side) for side in points.max(axis=0) - (left, top) + 1)
    if width * height > MAX_AREA_PX:
        raise MaskError("an outline spans more than any picture")
    starts = points - (left, top)
    ends = np.roll(starts, -1, axis=0)
    if np.abs(ends - starts).sum() > _MAX_CROSSINGS:
        raise MaskError("an outline is absurdly long")
    pixels_hw = _inside(starts, ends, height, width)
    rows, columns = _border(starts, ends)
    pixels_hw[rows, columns] = True
    return int(left), int(top), pixels_hw


def trace_closed(points_N2: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the pixels of the border that `fill_closed` draws, x and y, int64 (M, 2); some may be repeated.

    Args:
        points_N2: float64 (N, 2), px; see there.
    """
    points = np.rint(points_N2).astype(np.int64)
    rows, columns = _border(points, np.roll(points, -1, axis=0))
    return np.stack([columns, rows], axis=1)


def draw_closed(
    outline_N2: NDArray[np.float64], holes: Sequence[NDArray[np.float64]], height_px: int, width_px: int
) -> Rle:
    """Draw an outline into a picture and take holes with their borders out; what lies outside is cut off.

    Args:
        outline_N2: float64 (N, 2), px; see `fill_closed`.
        holes: Each likewise.
        height_px: Of the picture.
        width_px: Of the picture.

    Raises:
        MaskError: as `fill_closed` does, or if the picture's size is impossible.
    """
    left, top, pixels_hw = fill_closed(outline_N2)
    for hole_N2 in holes:
        hole_left, hole_top, hole_hw = fill_closed(hole_N2)
        theirs = _overlap(pixels_hw.shape, left - hole_left, top - hole_top, hole_hw.shape)
        ours = _overlap(hole_hw.shape, hole_left - left, hole_top - top, pixels_hw.shape)
        pixels_hw[ours] &= ~hole_hw[theirs]
    inside = pixels_hw[_overlap((height_px, width_px), -left, -top, pixels_hw.shape)]
    at = {"left_px": max(left, 0), "top_px": max(top, 0)} if inside.size else {"left_px": 0, "top_px": 0}
    return place_mask(inside, **at, height_px=height_px, width_px=width_px)


def draw_ellipse(
    centre_xy: tuple[float, float],
    radii_xy: tuple[float, float],
    height_px: int,
    width_px: int,
    *,
    turned_deg: float = 0.0,
) -> Rle:
    """Draw an ellipse into a picture; what lies outside is cut off.

    Args:
        centre_xy: In px; the picture's upper left corner is (0, 0).
        radii_xy: In px, above 0.
        height_px: Of the picture.
        width_px: Of the picture.
        turned_deg: Clockwise, as one looks at the picture.

    Raises:
        MaskError: if a number is not finite, a radius is not above 0, or the picture's size is impossible.
    """
    numbers = (*centre_xy, *radii_xy, turned_deg)
    if not all(abs(number) <= MAX_COORDINATE_PX for number in numbers) or min(radii_xy) <= 0:
        raise MaskError("an ellipse needs a centre in or near the picture and two radii above 0 px")
    cos, sin = math.cos(math.radians(turned_deg)), math.sin(math.radians(turned_deg))
    reach_x = math.hypot(radii_xy[0] * cos, radii_xy[1] * sin)
    reach_y = math.hypot(radii_xy[0] * sin, radii_xy[1] * cos)
    left, right = (round(min(max(centre_xy[0] + side, 0), width_px)) for side in (-reach_x - 1, reach_x + 1))
    top, bottom = (round(min(max(centre_xy[1] + side, 0), height_px)) for side in (-reach_y - 1, reach_y + 1))
    x_w = np.arange(left, right) + 0.5 - centre_xy[0]
    y_h1 = (np.arange(top, bottom) + 0.5 - centre_xy[1])[:, None]
    along, across = (x_w * cos + y_h1 * sin) / radii_xy[0], (y_h1 * cos - x_w * sin) / radii_xy[1]
    return place_mask(
        along**2 + across**2 <= 1, left_px=left, top_px=top, height_px=height_px, width_px=width_px
    )


def split_bridged(outline: Sequence[Point]) -> list[list[Point]]:
    """Take an outline apart where it runs along a line there and back: ultralytics joins parts so.

    A part that lies in another one and turns the other way is a hole; such an outline is left whole, because
    its pixels are right as they are.

    >>> joined = [(0, 0), (2, 0), (2, 2), (9, 9), (8, 9), (9, 8), (9, 9), (2, 2)]
    >>> [len(part) for part in split_bridged(joined)]
    [3, 3]
    """
    loops, due = [], [_without_repeats(outline)]
    while due:
        loop = due.pop()
        inner, outer = _split_once(loop)
        if inner is None:
            loops.append(loop)
        else:
            due += [_without_repeats(outer), _without_repeats(inner)]
    parts = [loop for loop in loops if len(loop) >= 3]
    if not parts or any(_is_hole(part, other) for part in parts for other in parts if part is not other):
        return [list(outline)]
    return parts


def _overlap(
    other_hw: tuple[int, ...], other_left: int, other_top: int, own_hw: tuple[int, ...]
) -> tuple[slice, slice]:
    """Return which part of an array lies under another one, whose place in it is given."""
    rows = slice(min(max(other_top, 0), own_hw[0]), min(max(other_top + other_hw[0], 0), own_hw[0]))
    columns = slice(min(max(other_left, 0), own_hw[1]), min(max(other_left + other_hw[1], 0), own_hw[1]))
    return rows, columns


def _inside(starts: NDArray[np.int64], ends: NDArray[np.int64], height: int, width: int) -> NDArray[np.bool_]:
    """Return the pixels whose middles the outline surrounds an odd number of times, bool (h, w)."""
    lower, upper = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    lengths = upper - lower
    edges = np.repeat(np.arange(len(starts)), lengths)
    rows = np.arange(len(edges)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + lower[edges]
    x0, y0, x1, y1 = starts[edges, 0], starts[edges, 1], ends[edges, 0], ends[edges, 1]
    crossings = x0 + np.ceil((rows - y0) * (x1 - x0) / np.where(y1 == y0, 1, y1 - y0)).astype(np.int64)
    is_turned = np.zeros((height, width + 1), dtype=bool)
    np.logical_xor.at(is_turned, (rows, crossings), True)
    inside: NDArray[np.bool_] = np.logical_xor.accumulate(is_turned, axis=1)[:, :width]
    return inside


def _border(
    starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the lines between points, drawn from left to right as Bresenham does."""
    is_leftwards = (ends[:, 0] < starts[:, 0])[:, None]
    starts, ends = np.where(is_leftwards, ends, starts), np.where(is_leftwards, starts, ends)
    sides, signs = np.abs(ends - starts), np.sign(ends - starts)
    is_steep = sides[:, 1] > sides[:, 0]
    long = np.where(is_steep, sides[:, 1], sides[:, 0])
    short = np.where(is_steep, sides[:, 0], sides[:, 1])
    lines = np.repeat(np.arange(len(starts)), long + 1)
    along = np.arange(len(lines)) - np.repeat(np.cumsum(long + 1) - (long + 1), long + 1)
    across = (2 * short[lines] * along + long[lines] - 1) // np.maximum(1, 2 * long[lines])
    steep = is_steep[lines]
    columns = starts[lines, 0] + signs[lines, 0] * np.where(steep, across, along)
    rows = starts[lines, 1] + signs[lines, 1] * np.where(steep, along, across)
    return rows, columns


def _split_once(loop: list[Point]) -> tuple[list[Point] | None, list[Point]]:
    """Return what lies behind the first bridge, and the rest; None if there is no bridge."""
    steps = {(loop[at], loop[(at + 1) % len(loop)]): at for at in range(len(loop))}
    for (here, there), start in steps.items():
        end = steps.get((there, here), -1)
        if end > start:
            return loop[start + 1 : end + 1], loop[end + 1 :] + loop[: start + 1]
    return None, loop


def _without_repeats(loop: Sequence[Point]) -> list[Point]:
    """Drop points that equal the one before, and a last one that equals the first."""
    once = [point for at, point in enumerate(loop) if at == 0 or point != loop[at - 1]]
    while len(once) > 1 and once[-1] == once[0]:
        once.pop()
    return once


def _is_hole(part: Sequence[Point], other: Sequence[Point]) -> bool:
    inner, outer = _signed_area(part), _signed_area(other)
    return inner * outer < 0 and abs(inner) < abs(outer) and all(_surrounds(other, point) for point in part)


def _signed_area(loop: Sequence[Point]) -> float:
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(loop, [*loop[1:], loop[0]], strict=True)) / 2


def _surrounds(loop: Sequence[Point], point: Point) -> bool:
    """Count the crossings of a ray to the right."""
    x, y = point
    sides = zip(loop, [*loop[1:], loop[0]], strict=True)
    crossed = [
        x0 + (y - y0) * (x1 - x0) / (y1 - y0) > x for (x0, y0), (x1, y1) in sides if (y0 > y) != (y1 > y)
    ]
    return sum(crossed) % 2 == 1
