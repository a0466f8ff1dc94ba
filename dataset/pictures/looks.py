"""What a picture looks like, in two sizes small enough to compare with every other picture.

The 64-bit difference hash finds pictures that may be alike. It says little about even ground, where most
cells are as bright as their neighbours and any two pictures agree: 16 x 16 grey cells decide whether two of
those that it finds are alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from math import comb, exp2
from typing import Final

import numpy as np
from numpy.typing import NDArray

_GREY: Final = (299, 587, 114)
_ROWS, _COLUMNS = 8, 9
_CELLS: Final = 16
_MIN_CONTRAST: Final = 1.0
"""Grey levels between the darkest and the brightest cell; below it a picture shows nothing."""
_PAIRS_AT_ONCE: Final = 4096
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


def near_pairs_between(
    hashes: NDArray[np.uint64], others: NDArray[np.uint64], distance_bits: int
) -> NDArray[np.int64]:
    """Return all pairs of a hash, uint64 (N,), and another, uint64 (M,), that differ in at most so many bits.

    All are compared: a nanosecond each, while `near_pairs` would sort the N for every choice of bands.

    Returns:
        int64 (K, 2), positions in ``hashes`` and in ``others``.
    """
    pairs = [np.zeros((0, 2), np.int64)]
    for number, other in enumerate(others.tolist()):
        rows = np.flatnonzero(are_near(hashes, other, distance_bits))
        if rows.size:
            pairs.append(np.stack([rows, np.full(len(rows), number)], axis=1))
    return np.concatenate(pairs)


def near_pairs(hashes: NDArray[np.uint64], distance_bits: int) -> Iterator[NDArray[np.int64]]:
    """Yield every pair of hashes, uint64 (N,), that differ in at most that many bits, each pair once.

    Exact, and without comparing all with all. The bits are cut into bands: a pair that differs in d bits
    agrees in all but d of them, so it is found among the hashes that agree in one of the choices of bands.
    For evenly spread hashes the time grows with N.

    Args:
        hashes: In any order; equal ones are pairs too.
        distance_bits: 0..63; nothing is near below 0.

    Yields:
        int64 (K, 2), positions in ``hashes``, the smaller one first; in blocks, so that memory stays small.
    """
    if distance_bits < 0 or len(hashes) < 2:
        return
    different, counts = np.unique(hashes, return_counts=True)
    by_hash = np.argsort(hashes, kind="stable").astype(np.int64)
    firsts = np.cumsum(counts) - counts
    for left, right in _pairs_in_runs(np.repeat(np.arange(len(counts)), counts)):
        yield _in_order(by_hash[left], by_hash[right])
    for one, other in _near_pairs_of_different(different, distance_bits):
        sizes = counts[one] * counts[other]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        rows, columns = np.divmod(within, np.repeat(counts[other], sizes))
        yield _in_order(
            by_hash[np.repeat(firsts[one], sizes) + rows], by_hash[np.repeat(firsts[other], sizes) + columns]
        )


def _near_pairs_of_different(
    hashes: NDArray[np.uint64], distance_bits: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield positions of near pairs of hashes that are all different, each pair once."""
    bands = _bands(distance_bits, len(hashes))
    for chosen in itertools.combinations(range(len(bands)), len(bands) - distance_bits):
        keys = hashes & np.bitwise_or.reduce([bands[band] for band in chosen])
        order = np.argsort(keys, kind="stable").astype(np.int64)
        skipped = [bands[band] for band in range(chosen[-1]) if band not in chosen]
        for left, right in _pairs_in_runs(keys[order]):
            differing = hashes[order[left]] ^ hashes[order[right]]
            is_kept = np.bitwise_count(differing) <= distance_bits
            for band in skipped:  # a pair that agrees there too was found by an earlier choice
                is_kept &= (differing & band) != 0
            yield order[left[is_kept]], order[right[is_kept]]


def _bands(distance_bits: int, num_hashes: int) -> list[np.uint64]:
    """Cut 64 bits into as many bands as make the search cheapest for evenly spread hashes."""

    def cost(num_bands: int) -> float:
        agreeing_bits = 64 * (num_bands - distance_bits) / num_bands
        return comb(num_bands, distance_bits) * (20.0 + num_hashes / exp2(agreeing_bits))

    num_bands = min(range(distance_bits + 1, min(64, distance_bits + 5) + 1), key=cost)
    edges = [64 * band // num_bands for band in range(num_bands + 1)]
    return [np.uint64((1 << stop) - (1 << start)) for start, stop in itertools.pairwise(edges)]


def _pairs_in_runs(keys: NDArray[np.generic]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield positions of all pairs of equal keys, which are sorted; the left one first."""
    left = np.arange(len(keys) - 1, dtype=np.int64)
    for distance in range(1, len(keys)):
        left = left[left < len(keys) - distance]
        left = left[keys[left] == keys[left + distance]]
        if not left.size:
            return
        yield left, left + distance


def _in_order(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack([np.minimum(one, other), np.maximum(one, other)], axis=1)


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


def alike_pairs(pairs: NDArray[np.int64], cells: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return those pairs, int64 (K, 2) of rows of ``cells``, float32 (N, 256), that look alike.

    The cells are from `standardised`. Where those of either are unknown the pair stays: nothing but the hash
    is known, and it agreed.
    """
    kept = [pairs[:0]]
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = pairs[start : start + _PAIRS_AT_ONCE]
        correlation = np.einsum("kc,kc->k", cells[some[:, 0]], cells[some[:, 1]])
        kept.append(some[~(correlation < MIN_CORRELATION)])
    return np.concatenate(kept)


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
