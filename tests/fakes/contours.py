"""Masks written as polygons: contours of pixel centres, as OpenCV traces them, and outlines of pixel edges.

The tracer is the border following of Suzuki and Abe, "Topological structural analysis of digitized binary
images by border following", 1985, step 3, for 8-connected objects.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

Mask = NDArray[np.bool_]
Pixel = tuple[int, int]
_CLOCKWISE = ((0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1))
"""Rows and columns of the eight neighbours; rows grow downwards."""


def trace_outer(mask_HW: Mask) -> list[list[float]]:
    """Return the outer contour of each 8-connected part, flat x, y of pixel centres."""
    parts, number = label(mask_HW, structure=np.ones((3, 3)))
    contours = []
    for part in range(1, number + 1):
        row, column = np.argwhere(parts == part)[0].tolist()
        contours.append(_follow(parts == part, (row, column), (row, column - 1)))
    return contours


def trace_holes(mask_HW: Mask) -> list[list[float]]:
    """Return the contour of each hole, on the object's pixels around it."""
    outside, number = label(~np.pad(mask_HW, 1))
    contours = []
    for part in range(1, number + 1):
        hole = (outside == part)[1:-1, 1:-1]
        if part == outside[0, 0]:
            continue
        row, column = np.argwhere(hole)[0].tolist()
        contours.append(_follow(mask_HW, (row, column - 1), (row, column)))
    return contours


def trace_edges(mask_HW: Mask) -> list[list[float]]:
    """Return the outlines along pixel edges, holes included, flat x, y; the object lies to the right."""
    padded = np.pad(mask_HW, 1)
    following: dict[Pixel, list[Pixel]] = {}
    for y, x in np.argwhere(padded).tolist():
        sides = (
            ((y - 1, x), (x, y), (x + 1, y)),
            ((y, x + 1), (x + 1, y), (x + 1, y + 1)),
            ((y + 1, x), (x + 1, y + 1), (x, y + 1)),
            ((y, x - 1), (x, y + 1), (x, y)),
        )
        for beside, start, end in sides:
            if not padded[beside]:
                following.setdefault(start, []).append(end)
    outlines = []
    while following:
        start = here = next(iter(following))
        points: list[Pixel] = []
        while True:
            points.append(here)
            ends = following[here]
            there = ends.pop(0 if len(ends) == 1 else _right_turn(points, ends))
            if not ends:
                del following[here]
            here = there
            if here == start:
                break
        outlines.append(_corners([(x - 1, y - 1) for x, y in points]))
    return outlines


def _right_turn(points: list[Pixel], ends: list[Pixel]) -> int:
    """At a corner where two pixels touch diagonally, stay with the same pixel."""
    if len(points) < 2:
        return 0
    (x0, y0), (x1, y1) = points[-2:]
    turns = [(x1 - x0) * (y - y1) - (y1 - y0) * (x - x1) for x, y in ends]
    return int(np.argmax(turns))


def _follow(mask_HW: Mask, start: Pixel, before: Pixel) -> list[float]:
    def is_set(pixel: Pixel) -> bool:
        row, column = pixel
        return 0 <= row < mask_HW.shape[0] and 0 <= column < mask_HW.shape[1] and bool(mask_HW[pixel])

    def around(centre: Pixel, other: Pixel, step: int) -> list[Pixel]:
        """The neighbours of a pixel in order, from the one after ``other`` to ``other`` itself."""
        first = _CLOCKWISE.index((other[0] - centre[0], other[1] - centre[1]))
        turns = [_CLOCKWISE[(first + step * number) % 8] for number in range(1, 9)]
        return [(centre[0] + down, centre[1] + right) for down, right in turns]

    first = next((pixel for pixel in around(start, before, 1) if is_set(pixel)), None)
    if first is None:
        return [float(start[1]), float(start[0])]
    last, here, points = first, start, [start]
    while True:
        there = next(pixel for pixel in around(here, last, -1) if is_set(pixel))
        if there == start and here == first:
            break
        last, here = here, there
        points.append(here)
    return _corners([(column, row) for row, column in points])


def _corners(points: list[Pixel]) -> list[float]:
    """Leave out points in the middle of a straight line, as CHAIN_APPROX_SIMPLE does."""
    xy = np.array(points)
    steps = np.diff(xy, axis=0, append=xy[:1])
    is_corner = (steps != np.roll(steps, 1, axis=0)).any(axis=1)
    kept = xy[is_corner] if is_corner.any() else xy
    return [float(side) for side in kept.ravel()]


def as_polygons(contours: list[list[float]]) -> list[Any]:
    """Keep what tools keep: contours of three points or more."""
    return [contour for contour in contours if len(contour) >= 6]
