"""Outlines along the edges of pixels, which COCO's rasterisation draws as exactly the same pixels.

Outer rings run clockwise on the screen, holes the other way round: the mask is always on the right.
Shape suffixes: N corners, H height in px, W width in px.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from maskloop.masks import Rle, crop_mask

Corner = tuple[int, int]
_RIGHT, _DOWN, _LEFT, _UP = range(4)
_HEADINGS: Final = (_RIGHT, _DOWN, _LEFT, _UP)


def trace_rings(mask: Rle) -> list[NDArray[np.int64]]:
    """Return the corners of every outline and hole, x and y in px, int64 (N, 2), 4 or more each.

    Pixels that touch at a corner alone are not connected: each has its own ring, or a ring touches itself.
    """
    left, top, pixels_hw = crop_mask(mask)
    corners, following = _link_corners(np.pad(pixels_hw, 1))
    rings, seen = [], np.zeros(len(corners), dtype=bool)
    for first in range(len(corners)):
        ring, at = [], first
        while not seen[at]:
            seen[at] = True
            ring.append(at)
            at = following[at]
        if ring:
            rings.append(corners[ring] + (left, top))
    return rings


def trace_outline(mask: Rle) -> list[Corner] | None:
    """Return the corners of a mask's only ring; None for a mask with holes or several parts.

    Also None where the ring touches itself, which would make it several to some tools.
    """
    rings = trace_rings(mask)
    if len(rings) != 1:
        return None
    corners = [(x, y) for x, y in rings[0].tolist()]
    return corners if len({*corners}) == len(corners) else None


def join_rings(rings: Sequence[NDArray[np.int64]]) -> list[Corner]:
    """Join one or more rings to one outline by lines there and back between their nearest corners.

    Such a line surrounds no pixel, so the outline draws what the rings draw, holes included.

    Args:
        rings: As `trace_rings` returns them, int64 (N, 2) each.
    """
    bridges = _find_bridges(rings)
    outline: list[Corner] = []
    underway = [
        (0, [*range(len(rings[0]) - 1, -1, -1)])
    ]  # a ring, and which of its corners are due, backwards
    while underway:
        number, due = underway[-1]
        if not due:
            underway.pop()
            continue
        at = due.pop()
        x, y = rings[number][at].tolist()
        outline.append((x, y))
        if across := bridges.get((number, at)):
            child, entry = across.pop()
            due.append(at)  # the way leads back to it
            length = len(rings[child])
            underway.append(
                (child, [entry, *((entry + step) % length for step in range(length - 1, -1, -1))])
            )
    return outline


def _link_corners(framed: NDArray[np.bool_]) -> tuple[NDArray[np.int64], list[int]]:
    """Return where outlines turn, int64 (N, 2), relative to the inside of the frame, and what follows each.

    Args:
        framed: A mask, bool (H, W), within a frame of one pixel that does not belong to it.
    """
    above_left, above_right = framed[:-1, :-1], framed[:-1, 1:]
    below_left, below_right = framed[1:, :-1], framed[1:, 1:]
    ahead = (
        (below_right, above_right),
        (below_left, below_right),
        (above_left, below_left),
        (above_right, above_left),
    )
    behind = (
        (below_left, above_left),
        (above_left, above_right),
        (above_right, below_right),
        (below_right, below_left),
    )
    numbers = np.full((4, *above_left.shape), -1)
    starts: list[NDArray[np.int64]] = []
    ends: list[NDArray[np.int64]] = []
    for heading in _HEADINGS:
        leaves, arrives = (inside & ~outside for inside, outside in (ahead[heading], behind[heading]))
        begun, ended = _along(leaves & ~arrives, heading), _along(arrives & ~leaves, heading)
        numbers[heading, begun[:, 1], begun[:, 0]] = sum(len(each) for each in starts) + np.arange(len(begun))
        starts.append(begun)
        ends.append(ended)
    following = []
    for heading, ended in zip(_HEADINGS, ends, strict=True):
        to_right, to_left = (numbers[(heading + turn) % 4, ended[:, 1], ended[:, 0]] for turn in (1, -1))
        following += np.where(to_right >= 0, to_right, to_left).tolist()
    return np.concatenate(starts), following


def _along(corners: NDArray[np.bool_], heading: int) -> NDArray[np.int64]:
    """Return x and y of corners, line by line: starts and ends of edges of one heading are then in step."""
    if heading in (_RIGHT, _LEFT):
        return np.argwhere(corners)[:, ::-1]
    return np.argwhere(corners.T)


def _find_bridges(rings: Sequence[NDArray[np.int64]]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Return the shortest lines that connect all rings: by ring and corner, the rings and corners beyond."""
    lengths = [len(ring) for ring in rings]
    owners = np.repeat(np.arange(len(rings)), lengths)
    places = np.concatenate([np.arange(length) for length in lengths])
    points = np.concatenate(rings)
    distances, nearest = np.full(len(points), np.inf), np.zeros(len(points), dtype=np.int64)
    bridges: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    newest, waiting = 0, owners > 0
    while waiting.any():
        due, own = np.flatnonzero(waiting), np.flatnonzero(owners == newest)
        answer = KDTree(points[own]).query(points[due])
        found, which = np.asarray(answer[0]), np.asarray(answer[1])
        is_nearer = found < distances[due]
        distances[due[is_nearer]], nearest[due[is_nearer]] = found[is_nearer], own[which[is_nearer]]
        there = due[np.argmin(distances[due])]
        here = nearest[there]
        bridges[int(owners[here]), int(places[here])].append((int(owners[there]), int(places[there])))
        newest = int(owners[there])
        waiting &= owners != newest
    return bridges
