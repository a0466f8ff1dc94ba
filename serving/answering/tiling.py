"""Large pictures in overlapping tiles, and their parts put together again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections
from maskloop.errors import DataError
from models.answering.tile_grid import TileBox, TileGrid, cut_pixels
from models.answering.tile_merging import merge_tiles

MAX_TILES: Final = 64
_MAX_MERGED: Final = 1000


@dataclass(frozen=True)
class Tile:
    """One part of a picture: where it lies, and its pixels, uint8 (h, w, 3)."""

    box: TileBox
    pixels: NDArray[np.uint8]


def cut_tiles(pixels: NDArray[np.uint8], *, tile_px: int, overlap_px: int) -> list[Tile]:
    """Cut a picture, uint8 (H, W, 3), into overlapping tiles of one size; a small one is a single tile.

    Raises:
        DataError: if the overlap is not smaller than the tile, or the tiles would be too many.
    """
    height_px, width_px = pixels.shape[:2]
    grid = TileGrid(height_px, width_px, tile_px, overlap_px)
    if grid.num_tiles > MAX_TILES:
        raise DataError(
            f"that makes {grid.num_tiles} tiles, more than {MAX_TILES}",
            hint="use larger tiles, or less overlap",
        )
    return [Tile(box, cut_pixels(pixels, box)) for box in grid.tiles()]


def merge_best(found: list[tuple[Tile, Detections]], *, height_px: int, width_px: int) -> Detections:
    """Merge the detections of all tiles into those of the whole picture, best score first.

    Only the best 1000 detections are looked at. See `models.answering.tile_merging`.
    """
    scores = np.sort(np.concatenate([detections.scores for _, detections in found]))
    lowest = scores[-_MAX_MERGED:].min(initial=1.0)
    best = [(tile.box, detections.select(detections.scores >= lowest)) for tile, detections in found]
    return merge_tiles(best, height_px=height_px, width_px=width_px)
