"""Large pictures in overlapping tiles, and their parts put together again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections
from maskloop.errors import DataError
from maskloop.masks import Rle, crop_mask, mask_iou, place_mask

MAX_TILES: Final = 64
_EDGE_PX: Final = 2.0
_SAME_IOU: Final = 0.5
_CONTAINED: Final = 0.8
_MAX_MERGED: Final = 1000


@dataclass(frozen=True)
class Tile:
    """One part of a picture: its top left corner and its pixels, uint8 (h, w, 3)."""

    left_px: int
    top_px: int
    pixels: NDArray[np.uint8]


def cut_tiles(pixels: NDArray[np.uint8], *, tile_px: int, overlap_px: int) -> list[Tile]:
    """Cut a picture, uint8 (H, W, 3), into overlapping tiles of one size; a small one is a single tile.

    Raises:
        DataError: if the overlap is not smaller than the tile, or the tiles would be too many.
    """
    if not 0 <= overlap_px < tile_px:
        raise DataError("the overlap must be smaller than the tile")
    tops, lefts = (_starts(side, tile_px, tile_px - overlap_px) for side in pixels.shape[:2])
    if len(tops) * len(lefts) > MAX_TILES:
        raise DataError(
            f"that makes {len(tops) * len(lefts)} tiles, more than {MAX_TILES}",
            hint="use larger tiles, or less overlap",
        )
    return [
        Tile(left, top, np.ascontiguousarray(pixels[top : top + tile_px, left : left + tile_px]))
        for top in tops
        for left in lefts
    ]


def merge_tiles(found: list[tuple[Tile, Detections]], *, height_px: int, width_px: int) -> Detections:
    """Merge the detections of all tiles into those of the whole picture, best score first.

    An instance cut by an inner border comes from the neighbouring tile that contains it whole, if one does.
    Two detections of one class that cover each other (mask IoU above 0.5, or one nearly inside the other) are
    one. Only the best 1000 detections are looked at.
    """
    if len(found) == 1:
        return found[0][1]
    scores = np.sort(np.concatenate([detections.scores for _, detections in found]))
    lowest = scores[-_MAX_MERGED:].min(initial=1.0)
    whole, cut = [], []
    for tile, every in found:
        detections = every.select(every.scores >= lowest)
        moved = _move(tile, detections, height_px, width_px)
        is_cut = _touches_inner_border(tile, detections, height_px, width_px)
        whole.append(moved.select(~is_cut))
        cut.append(moved.select(is_cut))
    kept = _drop_repeated(_concatenate(whole, height_px, width_px))
    return _drop_repeated(_concatenate([kept, *cut], height_px, width_px), num_first=len(kept))


def _starts(side: int, tile: int, stride: int) -> Sequence[int]:
    if side <= tile:
        return [0]
    return [*range(0, side - tile, stride), side - tile]


def _move(tile: Tile, detections: Detections, height_px: int, width_px: int) -> Detections:
    offset = np.array([tile.left_px, tile.top_px] * 2, dtype=np.float32)
    return Detections(
        height_px,
        width_px,
        detections.boxes_xyxy + offset,
        detections.scores,
        detections.class_indices,
        tuple(_move_mask(tile, mask, height_px, width_px) for mask in detections.masks),
        detections.insides,
    )


def _move_mask(tile: Tile, mask: Rle, height_px: int, width_px: int) -> Rle:
    left, top, pixels = crop_mask(mask)
    return place_mask(
        pixels,
        left_px=tile.left_px + left,
        top_px=tile.top_px + top,
        height_px=height_px,
        width_px=width_px,
    )


def _touches_inner_border(
    tile: Tile, detections: Detections, height_px: int, width_px: int
) -> NDArray[np.bool_]:
    left, top, right, bottom = detections.boxes_xyxy.T if len(detections) else np.zeros((4, 0))
    at_left = (tile.left_px > 0) & (left <= _EDGE_PX)
    at_top = (tile.top_px > 0) & (top <= _EDGE_PX)
    ends_right = tile.left_px + detections.width_px < width_px
    ends_bottom = tile.top_px + detections.height_px < height_px
    at_right = ends_right & (right >= detections.width_px - _EDGE_PX)
    at_bottom = ends_bottom & (bottom >= detections.height_px - _EDGE_PX)
    touches: NDArray[np.bool_] = at_left | at_top | at_right | at_bottom
    return touches


def _concatenate(parts: list[Detections], height_px: int, width_px: int) -> Detections:
    insides = [part.insides for part in parts if part.insides is not None]
    return Detections(
        height_px,
        width_px,
        np.concatenate([part.boxes_xyxy for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.class_indices for part in parts]),
        tuple(mask for part in parts for mask in part.masks),
        np.concatenate(insides) if len(insides) == len(parts) else None,
    )


def _drop_repeated(detections: Detections, *, num_first: int = 0) -> Detections:
    """Keep one of each group of repeated detections: one of the first ``num_first``, else the best score."""
    iou = mask_iou(detections.masks, detections.masks)
    inside = mask_iou(detections.masks, detections.masks, [True] * len(detections))
    is_same_class = detections.class_indices[:, None] == detections.class_indices
    repeats = is_same_class & ((iou > _SAME_IOU) | (inside > _CONTAINED))
    is_kept = np.zeros(len(detections), dtype=bool)
    for index in np.lexsort((-detections.scores, np.arange(len(detections)) >= num_first)):
        is_kept[index] = not (repeats[index] & is_kept).any()
    return _best_first(detections.select(is_kept))


def _best_first(detections: Detections) -> Detections:
    order = np.argsort(-detections.scores, kind="stable")
    return Detections(
        detections.height_px,
        detections.width_px,
        detections.boxes_xyxy[order],
        detections.scores[order],
        detections.class_indices[order],
        tuple(detections.masks[index] for index in order),
        None if detections.insides is None else detections.insides[order],
    )
