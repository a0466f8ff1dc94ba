"""What was found in overlapping tiles becomes the instances of the whole picture. Pure.

Two tiles both saw the pixels that they share. There, one object has about the same mask in both, however
little of it that is, while two objects that touch have different ones. So detections of one class are
compared in the shared pixels alone, and at most one of each tile is paired with one of the other: those with
the largest intersection over union (IoU) first, from `SAME_IOU` on. A part that its tile's border cut off,
and that found no partner, joins the detection that covers nearly all of its shared pixels (intersection over
the smaller mask, IoM, from `CONTAINED` on). Everything that is joined, over any number of tiles, is one
instance.

Its mask is that of the detection farthest from the inner borders of its tile, and of others only if they show
more of it; where a border cuts all of them, it is their union.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections
from maskloop.masks import MAX_AREA_PX, MAX_SIDE_PX, Rle, crop_mask, encode_masks, place_masks
from models.answering.tile_grid import TileBox, TileGrid

if TYPE_CHECKING:
    from scipy.cluster.hierarchy import DisjointSet

SAME_IOU: Final = 0.5
CONTAINED: Final = 0.8
_EDGE_PX: Final = 2.0
"""A box that ends so close to an inner border of its tile was cut by it."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in px of the whole picture."""


@dataclass(frozen=True, eq=False)
class Piece:
    """One detection in one tile, in px of the whole picture.

    Attributes:
        tile: The tile.
        margin_px: From its box to the nearest border of the tile that lies inside the picture.
        class_index: What it is.
        score: 0..1.
        box_xyxy: As the network said, moved to the picture.
        left_px: First column of the mask.
        top_px: First row of the mask.
        mask: The pixels, in the smallest rectangle that holds them; not empty.
        number: Its place among the detections that were given.
    """

    tile: TileBox
    margin_px: float
    class_index: int
    score: float
    box_xyxy: Box
    left_px: int
    top_px: int
    mask: Rle
    number: int = 0

    @cached_property
    def pixels_hw(self) -> NDArray[np.bool_]:
        """The mask's pixels, bool (h, w)."""
        return crop_pixels(self.mask)

    @cached_property
    def area_px(self) -> int:
        """Its number of pixels."""
        return int(self.pixels_hw.sum())

    @property
    def place(self) -> TileBox:
        """The rectangle of its mask."""
        return TileBox(self.top_px, self.left_px, self.mask.height_px, self.mask.width_px)

    def inside(self, region: TileBox) -> NDArray[np.bool_]:
        """Return the mask's pixels in a region that lies within its rectangle, bool (h, w)."""
        top, left = region.top_px - self.top_px, region.left_px - self.left_px
        return self.pixels_hw[top : top + region.height_px, left : left + region.width_px]


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


def find_pieces(tile: TileBox, found: Detections, *, height_px: int, width_px: int) -> list[Piece]:
    """Return the detections of one tile; those without a pixel are left out.

    Args:
        tile: The tile.
        found: What was found in its pixels.
        height_px: The whole picture's height.
        width_px: The whole picture's width.
    """
    pieces = []
    for number, mask in enumerate(found.masks):
        left, top, pixels = crop_mask(mask)
        if not pixels.size:
            continue
        x0, y0, x1, y1 = (float(side) for side in found.boxes_xyxy[number])
        to_borders = (
            (x0, tile.left_px > 0),
            (y0, tile.top_px > 0),
            (tile.width_px - x1, tile.right_px < width_px),
            (tile.height_px - y1, tile.bottom_px < height_px),
        )
        pieces.append(
            Piece(
                tile,
                min((px for px, is_inner in to_borders if is_inner), default=float("inf")),
                int(found.class_indices[number]),
                float(found.scores[number]),
                (x0 + tile.left_px, y0 + tile.top_px, x1 + tile.left_px, y1 + tile.top_px),
                left + tile.left_px,
                top + tile.top_px,
                encode_masks(pixels[np.newaxis])[0],
                number,
            )
        )
    return pieces


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


def crop_pixels(mask: Rle) -> NDArray[np.bool_]:
    """Return the pixels of a mask of which no border row or column is empty, bool (H, W)."""
    return crop_mask(mask)[2]


def pair_pieces(ours: Sequence[Piece], theirs: Sequence[Piece], shared: TileBox) -> list[tuple[int, int]]:
    """Return which pieces of two tiles are the same object, as indices into both.

    Args:
        ours: The pieces of one tile.
        theirs: The pieces of the other.
        shared: The pixels that both tiles saw.
    """
    overlaps = [
        (overlap, i, j)
        for i, j in _find_candidates(ours, theirs, shared)
        if (overlap := _compare(ours[i], theirs[j], shared))
    ]
    pairs: list[tuple[int, int]] = []
    taken_ours, taken_theirs = set[int](), set[int]()
    for overlap, i, j in sorted(overlaps, key=lambda each: -each[0].iou):
        if overlap.iou >= SAME_IOU and i not in taken_ours and j not in taken_theirs:
            pairs.append((i, j))
            taken_ours.add(i)
            taken_theirs.add(j)
    joined = set[tuple[str, int]]()
    for overlap, i, j in sorted(overlaps, key=lambda each: -each[0].common_px):
        is_ours_in_theirs = i not in taken_ours and ours[i].margin_px <= _EDGE_PX
        is_theirs_in_ours = j not in taken_theirs and theirs[j].margin_px <= _EDGE_PX
        if is_ours_in_theirs and ("ours", i) not in joined and overlap.share_of_one >= CONTAINED:
            pairs.append((i, j))
            joined.add(("ours", i))
        elif is_theirs_in_ours and ("theirs", j) not in joined and overlap.share_of_other >= CONTAINED:
            pairs.append((i, j))
            joined.add(("theirs", j))
    return pairs


def _find_candidates(ours: Sequence[Piece], theirs: Sequence[Piece], shared: TileBox) -> list[list[int]]:
    """Return the pairs of one class whose rectangles meet in the shared pixels, as indices into both."""
    if not ours or not theirs:
        return []
    (top, left, bottom, right, label), others = (_corners(pieces, shared) for pieces in (ours, theirs))
    meet = (
        (np.maximum(top[:, None], others[0]) < np.minimum(bottom[:, None], others[2]))
        & (np.maximum(left[:, None], others[1]) < np.minimum(right[:, None], others[3]))
        & (label[:, None] == others[4])
    )
    pairs: list[list[int]] = np.argwhere(meet).tolist()
    return pairs


def _corners(pieces: Sequence[Piece], shared: TileBox) -> NDArray[np.int64]:
    """Return top, left, bottom and right of what lies in the shared pixels, and the class, int64 (5, N)."""
    rows = [(*_sides(piece.place), piece.class_index) for piece in pieces]
    corners = np.array(rows, np.int64).T
    top, left, bottom, right = _sides(shared)
    corners[0], corners[1] = np.maximum(corners[0], top), np.maximum(corners[1], left)
    corners[2], corners[3] = np.minimum(corners[2], bottom), np.minimum(corners[3], right)
    return corners


def _sides(box: TileBox) -> tuple[int, int, int, int]:
    return box.top_px, box.left_px, box.bottom_px, box.right_px


@dataclass(frozen=True, slots=True)
class _Overlap:
    """Two masks in the pixels that both tiles saw."""

    common_px: int
    one_px: int
    other_px: int

    @property
    def iou(self) -> float:
        return self.common_px / (self.one_px + self.other_px - self.common_px)

    @property
    def share_of_one(self) -> float:
        return self.common_px / self.one_px

    @property
    def share_of_other(self) -> float:
        return self.common_px / self.other_px


def _compare(one: Piece, other: Piece, shared: TileBox) -> _Overlap | None:
    """Return how two masks overlap in the shared pixels; None if they do not."""
    seen_one, seen_other = one.place.intersect(shared), other.place.intersect(shared)
    common = seen_one and seen_other and seen_one.intersect(seen_other)
    if not common or not seen_one or not seen_other:
        return None
    common_px = int((one.inside(common) & other.inside(common)).sum())
    if not common_px:
        return None
    return _Overlap(common_px, int(one.inside(seen_one).sum()), int(other.inside(seen_other).sum()))


@dataclass
class _Underway:
    """Pieces of which more may come."""

    pieces: list[Piece] = field(default_factory=list)
    joined: DisjointSet = field(default_factory=lambda: _start_groups([]))
    next_key: int = 0
    keys: dict[int, int] = field(default_factory=dict)
    """By identity of a piece: its key in the set."""

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
                    for i, j in pair_pieces(by_tile[tile], by_tile[other], shared):
                        self._join(by_tile[tile][i], by_tile[other][j])

    def take_finished(self, next_top_px: int | None) -> list[list[Piece]]:
        """Return the groups of which nothing reaches the row of tiles that begins there, and forget them."""
        groups: dict[int, list[Piece]] = defaultdict(list)
        for piece in self.pieces:
            groups[self.joined[self.keys[id(piece)]]].append(piece)
        finished, self.pieces = [], []
        for group in groups.values():
            if next_top_px is None or all(piece.place.bottom_px <= next_top_px for piece in group):
                finished.append(group)
            else:
                self.pieces += group
        kept = {id(piece): self.keys[id(piece)] for piece in self.pieces}
        if len(kept) < len(self.keys):
            self._forget_others(kept)
        return finished

    def _join(self, one: Piece, other: Piece) -> None:
        self.joined.merge(self.keys[id(one)], self.keys[id(other)])

    def _forget_others(self, kept: dict[int, int]) -> None:
        old, self.joined, self.keys = self.joined, _start_groups(kept.values()), kept
        first: dict[int, int] = {}
        for key in kept.values():
            self.joined.merge(key, first.setdefault(old[key], key))


def _start_groups(keys: Iterable[int]) -> DisjointSet:
    from scipy.cluster.hierarchy import DisjointSet  # a second of CPU: services seldom see large pictures

    return DisjointSet(keys)


def _unite(group: Sequence[Piece]) -> MergedInstance:
    """Return the instance that a group of pieces shows."""
    first, *others = sorted(group, key=lambda piece: (-piece.margin_px, -piece.score))
    is_whole = first.margin_px > _EDGE_PX
    taken = [first]
    place = first.place
    for other in others:
        if is_whole and _share_inside(other, first) >= CONTAINED:
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


def _share_inside(piece: Piece, other: Piece) -> float:
    """Return the share of a piece's pixels that another one has too."""
    common = piece.place.intersect(other.place)
    if common is None:
        return 0.0
    return int((piece.inside(common) & other.inside(common)).sum()) / piece.area_px


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
