"""Tiles beside whole pictures: the same model on strips that it also sees whole, at the same scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.optimize import linear_sum_assignment

from flows.workspace.wiring import open_app
from maskloop.masks import mask_iou
from models.answering.tile_grid import TileGrid, cut_pixels
from models.answering.tile_merging import merge_tiles

_STRIP_PX = (256, 640)
_OVERLAP_PX = 64
_SAME_IOU = 0.5


def compare_with_whole_pictures(workspace: Path, pictures: Path) -> dict[str, Any]:
    """Return how many instances of whole strips of 256 x 640 px come out of tiles of 256 px, and how well.

    Args:
        workspace: Whose champion answers; its network must not resize such pictures and tiles.
        pictures: A folder of pictures, from which the strips are laid together.
    """
    app = open_app(workspace)
    served = app.copies.fetch_champion(app.state())
    model = app.copies.load(served.directory, served.weights_digest)
    num_whole = num_tiled = 0
    matched: list[float] = []
    for strip in _lay_strips(pictures):
        height, width = strip.shape[:2]
        grid = TileGrid(height, width, height, _OVERLAP_PX)
        (whole,) = model.predict([strip])
        tiles = [*grid.tiles()]
        answers = model.predict([cut_pixels(strip, tile) for tile in tiles])
        kept = [one.detections.select(one.detections.reach(model.score_threshold)) for one in answers]
        tiled = merge_tiles([*zip(tiles, kept, strict=True)], height_px=height, width_px=width)
        expected = whole.detections.select(whole.detections.reach(model.score_threshold))
        iou = mask_iou(expected.masks, tiled.masks)
        rows, columns = linear_sum_assignment(-iou)
        matched += [value for value in iou[rows, columns].tolist() if value >= _SAME_IOU]
        num_whole += len(expected)
        num_tiled += len(tiled)
    return {
        "found_whole": num_whole,
        "found_in_tiles": num_tiled,
        "found_in_both": len(matched),
        "mean_mask_iou": round(float(np.mean(matched)), 4),
    }


def _lay_strips(pictures: Path) -> list[np.ndarray]:
    """Lay the upper left corners of the pictures side by side."""
    height, width = _STRIP_PX
    corners = [
        np.asarray(Image.open(file).convert("RGB"))[:height, :height] for file in sorted(pictures.iterdir())
    ]
    fitting = [one for one in corners if one.shape[:2] == (height, height)]
    wide = [np.concatenate(fitting[first : first + 3], axis=1) for first in range(0, len(fitting) - 2, 3)]
    return [np.ascontiguousarray(one[:, :width]) for one in wide]
