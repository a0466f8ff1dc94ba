"""What was found in overlapping tiles becomes the instances of the whole picture. Pure.

Everything that `models.answering.tile_pairing` joins, over any number of tiles, is one instance. Its mask is
that of the detection farthest from the inner borders of its tile, and of others only if they show more of it;
where a border cuts all of them, it is their union.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evaluation.instances import Detections
from maskloop.masks import MAX_AREA_PX, MAX_SIDE_PX, Rle, encode_masks, place_masks
from models.answering.tile_grid import TileBox, TileGrid
from models.answering.tile_pairing import (
    CONTAINED,
    EDGE_PX,
    Box,
    Piece,
    crop_pixels,
    find_outvoted,
    find_pieces,
    pair_pieces,
    share_inside,
)


class Groups:
    """Keys that belong together, as a forest: R. E. Tarjan, Efficiency of a good but not linear set union
    algorithm, Journal of the ACM 22, 1975, with path halving. SciPy's takes a second to import.
    """

    def __init__(self, keys: Iterable[int]) -> None:
        self._above = {key: key for key in keys}

    def __getitem__(self, key: int) -> int:
        """Return the key that stands for all of a group."""
        while key != (above := self._above[key]):
            key = self._above[key] = self._above[above]
        return key

    def add(self, key: int) -> None:
        """Take a key, alone in its group."""
        self._above.setdefault(key, key)

    def merge(self, one: int, other: int) -> None:
        """Make one group of two; the smaller key stands for it."""
        low, high = sorted((self[one], self[other]))
        self._above[high] = low


@dataclass(frozen=True, eq=False)
class MergedInstance:
    """One instance of the whole picture.

    Attributes:
        first: The detection that saw it best; class and insides are its.
        score: The best score of all that were joined, 0..1.
        box_xyxy: Around what was taken of them.
        left_px: First column of the mask.
        top_px: First row of the mask.
        mask: The pixels, in the smallest rectangle that holds them.
    """

    first: Piece
    score: float
    box_xyxy: Box
    left_px: int
    top_px: int
    mask: Rle


def merge_rows(rows: Iterable[Sequence[Piece]], grid: TileGrid) -> Iterator[MergedInstance]:
    """Merge row after row of tiles; an instance is yielded as soon as no later row can show more of it.

    So memory holds what reaches into the next row, however large the picture is.

    Args:
        rows: The pieces of each row of tiles, from the top; every row of the grid comes, empty ones too.
        grid: The tiles.
    """
    underway = _Underway()
    for number, row in enumerate(rows):
        underway.add(row)
        is_last = number + 1 >= grid.num_rows
        next_top = None if is_last else grid.tile((number + 1) * grid.num_columns).top_px
        yield from (_unite(group) for group in underway.take_finished(next_top))


def merge_detections(
    found: Sequence[tuple[TileBox, Detections]], *, height_px: int, width_px: int
) -> list[MergedInstance]:
    """Merge the detections of all tiles of a picture at once, best score first.

    A piece's ``number`` counts through the detections of all tiles.
    """
    underway, before = _Underway(), 0
    for tile, detections in found:
        pieces = find_pieces(tile, detections, height_px=height_px, width_px=width_px)
        underway.add([replace(piece, number=piece.number + before) for piece in pieces])
        before += len(detections)
    return sorted(map(_unite, underway.take_finished(None)), key=lambda one: -one.score)


def merge_tiles(found: Sequence[tuple[TileBox, Detections]], *, height_px: int, width_px: int) -> Detections:
    """Do what `merge_detections` does, for a picture whose masks fit `maskloop.masks`."""
    if len(found) == 1:
        return found[0][1]
    merged = merge_detections(found, height_px=height_px, width_px=width_px)
    insides = [detections.insides for _, detections in found]
    known = [one for one in insides if one is not None]
    numbers = [one.first.number for one in merged]
    return Detections(
        height_px,
        width_px,
        np.array([one.box_xyxy for one in merged], np.float32).reshape(-1, 4),
        np.array([one.score for one in merged], np.float32),
        np.array([one.first.class_index for one in merged], np.int64),
        place_masks(
            ((one.left_px, one.top_px, crop_pixels(one.mask)) for one in merged),
            height_px=height_px,
            width_px=width_px,
        ),
        np.concatenate(known)[numbers] if len(known) == len(found) else None,
    )


@dataclass
class _Underway:
    """Pieces of which more may come."""

    pieces: list[Piece] = field(default_factory=list)
    joined: Groups = field(default_factory=lambda: Groups([]))
    next_key: int = 0
    keys: dict[int, int] = field(default_factory=dict)
    """By identity of a piece: its key in the set."""
    outvoted: set[int] = field(default_factory=set)
    """Keys of pieces that another tile knows better."""

    def add(self, new: Sequence[Piece]) -> None:
        """Take the pieces of further tiles, all of each tile, and join those that are one object."""
        by_tile: dict[TileBox, list[Piece]] = defaultdict(list)
        for piece in self.pieces:
            by_tile[piece.tile].append(piece)
        known = list(by_tile)
        for piece in new:
            by_tile[piece.tile].append(piece)
            self.keys[id(piece)] = self.next_key
            self.joined.add(self.next_key)
            self.next_key += 1
        self.pieces += new
        fresh = [tile for tile in by_tile if tile not in set(known)]
        for number, tile in enumerate(fresh):
            for other in (*known, *fresh[:number]):
                if shared := tile.intersect(other):
                    self._compare(by_tile[tile], by_tile[other], shared)

    def take_finished(self, next_top_px: int | None) -> list[list[Piece]]:
        """Return the groups of which nothing reaches the row of tiles that begins there, and forget them."""
        groups: dict[int, list[Piece]] = defaultdict(list)
        for piece in self.pieces:
            groups[self.joined[self.keys[id(piece)]]].append(piece)
        finished, self.pieces = [], []
        for group in groups.values():
            if next_top_px is None or all(piece.place.bottom_px <= next_top_px for piece in group):
                if not all(self.keys[id(piece)] in self.outvoted for piece in group):
                    finished.append(group)
            else:
                self.pieces += group
        kept = {id(piece): self.keys[id(piece)] for piece in self.pieces}
        if len(kept) < len(self.keys):
            self._forget_others(kept)
        return finished

    def _compare(self, ours: Sequence[Piece], theirs: Sequence[Piece], shared: TileBox) -> None:
        pairs = pair_pieces(ours, theirs, shared)
        for i, j in pairs:
            self.joined.merge(self.keys[id(ours[i])], self.keys[id(theirs[j])])
        for one, other, paired in (
            (ours, theirs, {i for i, _ in pairs}),
            (theirs, ours, {j for _, j in pairs}),
        ):
            known_better = find_outvoted(one, other, paired)
            self.outvoted.update(self.keys[id(one[number])] for number in known_better)

    def _forget_others(self, kept: dict[int, int]) -> None:
        old, self.joined, self.keys = self.joined, Groups(kept.values()), kept
        self.outvoted &= {*kept.values()}
        first: dict[int, int] = {}
        for key in kept.values():
            self.joined.merge(key, first.setdefault(old[key], key))


def _unite(group: Sequence[Piece]) -> MergedInstance:
    """Return the instance that a group of pieces shows."""
    first, *others = sorted(group, key=lambda piece: (-piece.margin_px, -piece.score))
    is_whole = first.margin_px > EDGE_PX
    taken = [first]
    place = first.place
    for other in others:
        if is_whole and share_inside(other, first) >= CONTAINED:
            continue
        around = _around(place, other.place)
        if max(around.height_px, around.width_px) <= MAX_SIDE_PX and (
            around.height_px * around.width_px <= MAX_AREA_PX
        ):
            taken.append(other)
            place = around
    mask = first.mask if len(taken) == 1 else _union(taken, place)
    sides = np.array([piece.box_xyxy for piece in taken])
    x0, y0 = sides[:, :2].min(axis=0).tolist()
    x1, y1 = sides[:, 2:].max(axis=0).tolist()
    score = max(piece.score for piece in group)
    return MergedInstance(first, score, (x0, y0, x1, y1), place.left_px, place.top_px, mask)


def _union(pieces: Sequence[Piece], place: TileBox) -> Rle:
    pixels = np.zeros((place.height_px, place.width_px), np.bool_)
    for piece in pieces:
        top, left = piece.top_px - place.top_px, piece.left_px - place.left_px
        height, width = piece.pixels_hw.shape
        pixels[top : top + height, left : left + width] |= piece.pixels_hw
    return encode_masks(pixels[np.newaxis])[0]


def _around(one: TileBox, other: TileBox) -> TileBox:
    """Return the smallest rectangle around two."""
    top, left = min(one.top_px, other.top_px), min(one.left_px, other.left_px)
    bottom, right = max(one.bottom_px, other.bottom_px), max(one.right_px, other.right_px)
    return TileBox(top, left, bottom - top, right - left)
