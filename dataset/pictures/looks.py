"""What a picture looks like, in two sizes small enough to compare with every other picture.

The 64-bit difference hash finds pictures that may be alike. It says little about even ground, where most
cells are as bright as their neighbours and any two pictures agree: 16 x 16 grey cells decide whether two of
those that it finds are alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_GREY: Final = (299, 587, 114)
_ROWS, _COLUMNS = 8, 9
_CELLS: Final = 16
_MIN_CONTRAST: Final = 1.0
"""Grey levels between the darkest and the brightest cell; below it a picture shows nothing."""
MIN_CORRELATION: Final = 0.95
"""Smallest correlation between the cells of two pictures that are alike. Copies saved again, scaled or dimmed
measured 0.95 to 1.0; different pictures of one even ground, whose hashes are equal, below 0.9."""


def difference_hash(pixels: NDArray[np.uint8]) -> int:
    """Return a 64-bit hash of a picture's look that changes little with scale, compression or brightness.

    The picture, uint8 (H, W, 3), is averaged to 8 x 9 grey cells; each bit says whether a cell is brighter
    than its left neighbour. Source: N. Krawetz, "Kind of Like That", 2013 (dHash).
    """
    cells = _average(pixels, _ROWS, _COLUMNS)
    return int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes(), "big")


def grey_cells(pixels: NDArray[np.uint8]) -> bytes:
    """Return the 16 x 16 average greys of a picture (H, W, 3), uint8, stretched from 0 to 255.

    All are 0 if the picture is even.
    """
    cells = _average(pixels, _CELLS, _CELLS)
    darkest, contrast = cells.min(), (cells.max() - cells.min()) / sum(_GREY)
    if contrast < _MIN_CONTRAST:
        return bytes(_CELLS * _CELLS)
    stretched: NDArray[np.uint8] = np.rint((cells - darkest) / (contrast * sum(_GREY)) * 255.0).astype(
        np.uint8
    )
    return stretched.tobytes()


def are_near(hashes: NDArray[np.uint64], one: int, distance_bits: int) -> NDArray[np.bool_]:
    """Say which hashes, uint64 (N,), differ from one in at most that many bits."""
    return np.asarray(np.bitwise_count(hashes ^ np.uint64(one)) <= distance_bits)


def standardised(cells: Sequence[bytes | None]) -> NDArray[np.float32]:
    """Return the cells of N pictures as float32 (N, 256), so that a product of two rows is their correlation.

    Unknown cells (None) become NaN; those of even pictures become 0, so that they correlate with nothing.
    """
    rows = np.full((len(cells), _CELLS * _CELLS), np.nan, np.float32)
    for number, one in enumerate(cells):
        if one is not None:
            rows[number] = np.frombuffer(one, np.uint8)
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    np.divide(rows, lengths, out=rows, where=lengths > 0)
    return rows


def are_alike(one: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return, bool (N,), which of the others, float32 (N, 256) from `standardised`, look like one, (256,).

    Where the cells of either are unknown the answer is yes: nothing but the hash is known, and it agreed.
    """
    return ~(others @ one < MIN_CORRELATION)


def _average(pixels: NDArray[np.uint8], num_rows: int, num_columns: int) -> NDArray[np.float64]:
    """Return the mean of `_GREY` times the channels, float64 (num_rows, num_columns)."""
    height, width = pixels.shape[:2]
    rows = np.arange(num_rows + 1) * height // num_rows
    columns = np.arange(num_columns + 1) * width // num_columns
    bands = [pixels[top : max(bottom, top + 1)] for top, bottom in itertools.pairwise(rows)]
    greys = np.stack([band.sum(axis=0, dtype=np.int64) @ _GREY for band in bands])
    sums = np.add.reduceat(greys, columns[:-1], axis=1)
    sizes = np.maximum(np.diff(rows), 1)[:, np.newaxis] * np.maximum(np.diff(columns), 1)
    return np.asarray(sums / sizes)
