"""What the points of an outline tell about the program that wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_ROUNDING_PX: Final = 0.02
"""Six decimals of a share of 20,000 px."""
FACTS: Final = np.dtype(
    [
        ("num_polygons", np.int64),
        ("is_whole", np.bool_),
        ("is_eight_way", np.bool_),
        ("has_diagonals", np.bool_),
        ("x0", np.float64),
        ("y0", np.float64),
        ("x1", np.float64),
        ("y1", np.float64),
        ("area_px2", np.float64),
        ("num_painted_px", np.float64),
    ]
)
"""A row of a table of `OutlineFacts`, which takes a fifth of the memory."""


@dataclass(frozen=True, slots=True)
class OutlineFacts:
    """What is to be seen in an annotation's polygons.

    Attributes:
        num_polygons: At least 1.
        is_whole: All coordinates are whole numbers, or were before somebody wrote them as shares of a side.
        is_eight_way: And all lines run along a row, a column or a diagonal, as a contour tracer's do.
        has_diagonals: Some line is not along a row or column; an outline of pixel edges has none.
        box: x0, y0, x1, y1 around the points, px.
        area_px2: Areas inside the polygons, added up.
        num_painted_px: Pixels of one polygon if its outline is part of the object (Pick's theorem: 1899); 0
            where there are several, or the coordinates are not whole.
    """

    num_polygons: int
    is_whole: bool
    is_eight_way: bool
    has_diagonals: bool
    box: tuple[float, float, float, float]
    area_px2: float
    num_painted_px: float

    def to_row(self) -> tuple[float, ...]:
        """Return the values of a row of `FACTS`."""
        flags = (self.num_polygons, self.is_whole, self.is_eight_way, self.has_diagonals)
        return *flags, *self.box, self.area_px2, self.num_painted_px

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> OutlineFacts:
        """Return what `to_row` took apart."""
        number, is_whole, is_eight_way, has_diagonals, x0, y0, x1, y1, area_px2, painted = row
        return cls(number, is_whole, is_eight_way, has_diagonals, (x0, y0, x1, y1), area_px2, painted)


def look_at(polygons: Sequence[NDArray[np.float64]]) -> OutlineFacts:
    """Return the facts about an annotation's polygons, x, y in px, float64 (N, 2) each; at least one."""
    points = np.concatenate(polygons)
    is_whole = bool(np.abs(points - np.rint(points)).max() <= _ROUNDING_PX)
    if is_whole:
        points, polygons = np.rint(points), [np.rint(polygon) for polygon in polygons]
    steps = np.concatenate([np.diff(polygon, axis=0, append=polygon[:1]) for polygon in polygons])
    across, down = np.abs(steps[:, 0]), np.abs(steps[:, 1])
    is_straight = (across == 0) | (down == 0)
    area = sum(map(_area_px2, polygons))
    painted = 0.0
    if is_whole and len(polygons) == 1:
        painted = area + int(np.gcd(across.astype(np.int64), down.astype(np.int64)).sum()) / 2 + 1
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return OutlineFacts(
        num_polygons=len(polygons),
        is_whole=is_whole,
        is_eight_way=is_whole and bool((is_straight | (across == down)).all()),
        has_diagonals=not bool(is_straight.all()),
        box=(x0, y0, x1, y1),
        area_px2=area,
        num_painted_px=painted,
    )


def _area_px2(polygon_N2: NDArray[np.float64]) -> float:
    x, y = polygon_N2[:, 0], polygon_N2[:, 1]
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
