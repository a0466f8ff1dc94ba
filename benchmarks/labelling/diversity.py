"""Choosing pictures that are good and unlike each other: greedily, the best times the most distant first.

Greedy k-centre (O. Sener and S. Savarese, Active Learning for Convolutional Neural Networks: A Core-Set
Approach, ICLR 2018) with each distance multiplied by the picture's score. Distances count up to the median
distance of the pool and no further, so that a picture of nothing known does not win by being far from all.

Shape suffixes: N pictures, D coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_MOST_FOR_MEDIAN: Final = 500
_SMALLEST_SPREAD: Final = 1e-6


def pick_diverse(
    scores: NDArray[np.float64], points: NDArray[np.float64], names: Sequence[str], num: int
) -> list[int]:
    """Return the indices of up to ``num`` pictures, the first choice first.

    Args:
        scores: float64 (N,), at least 0; what matters beside distance.
        points: float64 (N, D), finite, of comparable coordinates; see `scale_points`.
        names: N different ones, which decide where two pictures are equally good.
        num: How many.
    """
    order = np.lexsort((np.asarray(names), -scores))  # from here on the first of several equals is taken
    scores, points = scores[order], points[order]
    reach = _median_distance(points)
    distance_N = np.ones(len(points))
    is_left_N = np.ones(len(points), bool)
    chosen: list[int] = []
    for _ in range(min(num, len(points))):
        value_N = np.where(is_left_N, scores * distance_N, -1.0)
        best = int(value_N.argmax())
        chosen.append(int(order[best]))
        is_left_N[best] = False
        if reach > 0.0:
            away_N = np.sqrt(np.square(points - points[best]).sum(axis=1)) / reach
            distance_N = np.minimum(distance_N, away_N)
    return chosen


def scale_points(rows: Sequence[Sequence[float] | None]) -> NDArray[np.float64]:
    """Return N rows of D numbers as float64 (N, D) with unit spread; a row that is None lies in the middle.

    Rows of another length than most are treated as None. Without any row the result is (N, 1), all 0.
    """
    lengths = [len(row) for row in rows if row is not None]
    if not lengths:
        return np.zeros((len(rows), 1))
    width = max(sorted(set(lengths)), key=lengths.count)
    known = [number for number, row in enumerate(rows) if row is not None and len(row) == width]
    found = np.array([rows[number] for number in known], np.float64)
    found -= found.mean(axis=0)
    found /= np.maximum(found.std(axis=0), _SMALLEST_SPREAD)
    points = np.zeros((len(rows), width))
    points[known] = found
    return points


def _median_distance(points: NDArray[np.float64]) -> float:
    if len(points) < 2:
        return 0.0
    some = points[:: max(1, len(points) // _MOST_FOR_MEDIAN)].astype(np.float64)
    lengths = np.square(some).sum(axis=1)
    squared = np.maximum(lengths[:, None] + lengths[None, :] - 2.0 * some @ some.T, 0.0)
    return float(np.median(np.sqrt(squared[np.triu_indices(len(some), 1)])))
