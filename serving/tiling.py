"""Large pictures in overlapping tiles, and their parts put together again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections
from maskloop.masks import Rle, decode_masks, encode_masks, mask_iou

_EDGE_PX: Final = 2.0
_SAME_IOU: Final = 0.5
_CONTAINED: Final = 0.8


@dataclass(frozen=True)
class Tile:
    """One part of a picture: its top left corner and its pixels, uint8 (h, w, 3)."""

    left_px: int
    top_px: int
    pixels: NDArray[np.uint8]


def cut_tiles(pixels: NDArray[np.uint8], *, tile_px: int, overlap_px: int) -> list[Tile]:
    """Cut a picture, uint8 (H, W, 3), into overlapping tiles of one size; a small one is a single tile.

    Raises:
        ValueError: if the overlap is not smaller than the tile.
    """
    if not 0 <= overlap_px < tile_px:
        raise ValueError("the overlap must be smaller than the tile")
    height, width = pixels.shape[:2]
    return [
        Tile(left, top, np.ascontiguousarray(pixels[top : top + tile_px, left : left + tile_px]))
        for top in _starts(height, tile_px, tile_px - overlap_px)
        for left in _starts(width, tile_px, tile_px - overlap_px)
    ]


def merge_tiles(found: list[tuple[Tile, Detections]], *, height_px: int, width_px: int) -> Detections:
    """Put the tiles' detections together in the whole picture, best score first.

    An instance cut by an inner border is left to the neighbour that sees it whole, unless nobody does. Two
    detections of one class that cover each other (mask IoU above 0.5, or one nearly inside the other) are
    one.
    """
    if len(found) == 1:
        return found[0][1]
    whole, cut = [], []
    for tile, detections in found:
        moved = _move(tile, detections, height_px, width_px)
        is_cut = _touches_inner_border(tile, detections, height_px, width_px)
        whole.append(moved.select(~is_cut))
        cut.append(moved.select(is_cut))
    kept = _drop_repeated(_concatenate([*whole], height_px, width_px))
    return _drop_repeated(_concatenate([kept, *cut], height_px, width_px), num_first=len(kept))


def _starts(side: int, tile: int, stride: int) -> list[int]:
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
    )


def _move_mask(tile: Tile, mask: Rle, height_px: int, width_px: int) -> Rle:
    """Move one mask at a time: all of a large picture's at once would fill the memory."""
    whole = np.zeros((1, height_px, width_px), dtype=bool)
    bottom, right = tile.top_px + mask.height_px, tile.left_px + mask.width_px
    whole[0, tile.top_px : bottom, tile.left_px : right] = decode_masks([mask])[0]
    return encode_masks(whole)[0]


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
    return Detections(
        height_px,
        width_px,
        np.concatenate([part.boxes_xyxy for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.class_indices for part in parts]),
        tuple(mask for part in parts for mask in part.masks),
    )


def _drop_repeated(detections: Detections, *, num_first: int = 0) -> Detections:
    """Keep one of each group of repeated detections: one of the first ``num_first``, else the best score."""
    order = np.lexsort((-detections.scores, np.arange(len(detections)) >= num_first))
    iou = mask_iou(detections.masks, detections.masks)
    inside = mask_iou(detections.masks, detections.masks, [True] * len(detections))
    kept: list[int] = []
    for index in order:
        same_class = [k for k in kept if detections.class_indices[k] == detections.class_indices[index]]
        is_repeated = any(iou[index, k] > _SAME_IOU or inside[index, k] > _CONTAINED for k in same_class)
        if not is_repeated:
            kept.append(int(index))
    best_first = sorted(kept, key=lambda index: -detections.scores[index])
    picked = np.array(best_first, dtype=np.int64)
    return Detections(
        detections.height_px,
        detections.width_px,
        detections.boxes_xyxy[picked],
        detections.scores[picked],
        detections.class_indices[picked],
        tuple(detections.masks[index] for index in best_first),
    )
