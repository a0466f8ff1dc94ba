"""RoIAlign in NumPy: bilinear sampling on a grid is separable, so a region is two small matrix products.

Equal to `models.operations.gathering` up to rounding. Only the window of a map that a region reaches is read.

Shape suffixes: K regions, P bins along a side, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.edge.boxes import Boxes

_CANONICAL_SIDE_PX: Final = 224
_CANONICAL_LEVEL: Final = 4
_LEVEL_TOLERANCE: Final = 1e-6


def cut_regions(
    maps: Sequence[NDArray[np.float32]], padded_height_px: int, boxes_K4: Boxes, bins: int, samples: int
) -> NDArray[np.float32]:
    """Return float32 (K, P, P, C).

    He et al., "Mask R-CNN", 2017, arXiv:1703.06870, section 3; borders as torchvision treats them.

    Args:
        maps: Of one picture, (h, w, C) each, finest first.
        padded_height_px: That the maps cover.
        boxes_K4: x0, y0, x1, y1 in px.
        bins: P.
        samples: Along each side of a bin.
    """
    strides_px = [2 ** round(math.log2(padded_height_px / each.shape[0])) for each in maps]
    level_K = choose_levels(boxes_K4, strides_px)
    regions = np.empty((len(boxes_K4), bins, bins, maps[0].shape[2]), np.float32)
    for level, (own, stride_px) in enumerate(zip(maps, strides_px, strict=True)):
        chosen = np.flatnonzero(level_K == level)
        if not len(chosen):
            continue
        scaled = boxes_K4[chosen] / np.float32(stride_px)
        rows = _weigh(scaled[:, 1], scaled[:, 3], bins, samples, own.shape[0])
        columns = _weigh(scaled[:, 0], scaled[:, 2], bins, samples, own.shape[1])
        for place, (top, of_rows), (left, of_columns) in zip(chosen.tolist(), rows, columns, strict=True):
            window = own[top : top + of_rows.shape[1], left : left + of_columns.shape[1]]
            height, width, channels = window.shape
            by_row = (of_rows @ window.reshape(height, -1)).reshape(bins, width, channels)
            np.matmul(of_columns, by_row, out=regions[place])
    return regions


def choose_levels(boxes_K4: Boxes, strides_px: Sequence[int]) -> NDArray[np.int64]:
    """Return int64 (K,): which map each region is cut from, larger regions from coarser maps.

    Lin et al., "Feature Pyramid Networks", 2017, arXiv:1612.03144, equation 1.

    >>> boxes = np.array([[0, 0, 9, 9], [0, 0, 224, 224], [0, 0, 999, 999]], np.float32)
    >>> choose_levels(boxes, [4, 8, 16, 32]).tolist()
    [0, 2, 3]
    """
    sides_px = np.sqrt((boxes_K4[:, 2] - boxes_K4[:, 0]) * (boxes_K4[:, 3] - boxes_K4[:, 1]))
    with np.errstate(divide="ignore"):
        exact = _CANONICAL_LEVEL + np.log2(sides_px / _CANONICAL_SIDE_PX) + _LEVEL_TOLERANCE
    finest, coarsest = (math.log2(stride) for stride in (strides_px[0], strides_px[-1]))
    levels: NDArray[np.int64] = (np.clip(np.floor(exact), finest, coarsest) - finest).astype(np.int64)
    return levels


def _weigh(
    low_K: NDArray[np.float32], high_K: NDArray[np.float32], bins: int, samples: int, length: int
) -> list[tuple[int, NDArray[np.float32]]]:
    """Return of each region the first cell it reaches along a side, and float32 (P, cells): their weights."""
    bin_size = np.maximum(high_K - low_K, np.float32(1.0)) / np.float32(bins)
    places = (np.arange(bins * samples, dtype=np.float32) + np.float32(0.5)) / np.float32(samples)
    at = low_K[:, None] + places * bin_size[:, None]
    inside = (at >= -1.0) & (at <= length)
    at = np.clip(at, 0.0, length - 1)
    below = np.floor(at).astype(np.int64)
    above = np.minimum(below + 1, length - 1)
    share = (at - below).astype(np.float32)
    part = inside / np.float32(samples)
    firsts, lasts = below.min(axis=1), above.max(axis=1)
    bin_of = np.arange(bins * samples) // samples
    found = []
    for number in range(len(low_K)):
        first = int(firsts[number])
        weights = np.zeros((bins, int(lasts[number]) - first + 1), np.float32)
        np.add.at(weights, (bin_of, below[number] - first), (1.0 - share[number]) * part[number])
        np.add.at(weights, (bin_of, above[number] - first), share[number] * part[number])
        found.append((first, weights))
    return found
