"""Detections in overlapping tiles, and which of them are the same object. Pure.

Two tiles both saw the pixels that they share. There, one object has about the same mask in both, however
little of it that is, while two objects that touch have different ones. So detections of one class are
compared in the shared pixels alone, and at most one of each tile is paired with one of the other: those with
the largest intersection over union (IoU) first, from `SAME_IOU` on. A part that its tile's border cut off,
and that found no partner, joins the detection that covers nearly all of its shared pixels (intersection over
the smaller mask, IoM, from `CONTAINED` on). Half of a gear may look like a bolt: a part without a partner
that lies in a detection of another class, which its own tile shows whole, is outvoted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections
from maskloop.masks import Rle, crop_mask, encode_masks
from models.answering.tile_grid import TileBox

SAME_IOU: Final = 0.5
CONTAINED: Final = 0.8
EDGE_PX: Final = 2.0
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
        is_ours_in_theirs = i not in taken_ours and ours[i].margin_px <= EDGE_PX
        is_theirs_in_ours = j not in taken_theirs and theirs[j].margin_px <= EDGE_PX
        if is_ours_in_theirs and ("ours", i) not in joined and overlap.share_of_one >= CONTAINED:
            pairs.append((i, j))
            joined.add(("ours", i))
        elif is_theirs_in_ours and ("theirs", j) not in joined and overlap.share_of_other >= CONTAINED:
            pairs.append((i, j))
            joined.add(("theirs", j))
    return pairs


def find_outvoted(one: Sequence[Piece], other: Sequence[Piece], paired: Collection[int]) -> list[int]:
    """Return which pieces of one tile another tile knows better, as indices.

    Args:
        one: The pieces of the tile.
        other: The pieces of the other.
        paired: Which pieces of the tile are the same object as one of the other.
    """
    whole = [piece for piece in other if piece.margin_px > EDGE_PX]
    return [
        number
        for number, piece in enumerate(one)
        if number not in paired
        and piece.margin_px <= EDGE_PX
        and any(share_inside(piece, seen) >= CONTAINED for seen in whole)
    ]


def share_inside(piece: Piece, other: Piece) -> float:
    """Return the share of a piece's pixels that another one has too, 0..1."""
    common = piece.place.intersect(other.place)
    if common is None:
        return 0.0
    return int((piece.inside(common) & other.inside(common)).sum()) / piece.area_px


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
