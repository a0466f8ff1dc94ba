"""Tiles beside whole pictures: the same model on strips that it also sees whole, at the same scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import linear_sum_assignment

from evaluation.instances import Detections
from flows.workspace.wiring import open_app
from maskloop.masks import mask_iou
from models.answering.tile_grid import TileGrid, cut_pixels
from models.answering.tile_merging import merge_tiles
from models.ports import Predictor

_SAME_IOU: Final = 0.5

Answer = Callable[[NDArray[np.uint8]], Detections]
"""Finds the instances of a picture, uint8 (H, W, 3), by way of its tiles."""


def compare_with_whole_pictures(
    workspace: Path, pictures: Path, *, tile_px: int, strip_px: int, overlap_px: int
) -> dict[str, Any]:
    """Return how many instances of whole strips come out of tiles, how well, and out of SAHI if it is there.

    Args:
        workspace: Whose champion answers; its network must not resize such strips and tiles.
        pictures: A folder of pictures, from which the strips are laid together.
        tile_px: Side of a tile, and height of a strip.
        strip_px: Width of a strip.
        overlap_px: Shared by neighbouring tiles.
    """
    app = open_app(workspace)
    served = app.copies.fetch_champion(app.state())
    model = app.copies.load(served.directory, served.weights_digest)
    strips = _lay_strips(pictures, height_px=tile_px, width_px=strip_px)
    whole = [_find(model, [strip])[0] for strip in strips]
    ways = _ways(model, tile_px=tile_px, overlap_px=overlap_px)
    told = {name: _compare(whole, [answer(strip) for strip in strips]) for name, answer in ways.items()}
    return {"strips": len(strips), "found_whole": sum(map(len, whole)), **told}


def _ways(model: Predictor, *, tile_px: int, overlap_px: int) -> Mapping[str, Answer]:
    def in_tiles(strip: NDArray[np.uint8]) -> Detections:
        height, width = strip.shape[:2]
        tiles = [*TileGrid(height, width, tile_px, overlap_px).tiles()]
        found = _find(model, [cut_pixels(strip, tile) for tile in tiles])
        return merge_tiles([*zip(tiles, found, strict=True)], height_px=height, width_px=width)

    if find_spec("sahi") is None:
        return {"maskloop": in_tiles}
    from benchmarks.batch.sahi_peer import answer_with_sahi

    def with_sahi(strip: NDArray[np.uint8]) -> Detections:
        return answer_with_sahi(model, strip, tile_px=tile_px, overlap_px=overlap_px)

    return {"maskloop": in_tiles, "sahi": with_sahi}


def _find(model: Predictor, pictures: list[NDArray[np.uint8]]) -> list[Detections]:
    """Return what reaches the model's own threshold in each picture."""
    found = [one.detections for one in model.predict(pictures)]
    return [one.select(one.reach(model.score_threshold)) for one in found]


def _compare(whole: list[Detections], tiled: list[Detections]) -> dict[str, Any]:
    matched: list[float] = []
    for expected, told in zip(whole, tiled, strict=True):
        iou = mask_iou(expected.masks, told.masks)
        iou *= expected.class_indices[:, None] == told.class_indices
        rows, columns = linear_sum_assignment(-iou)
        matched += [value for value in iou[rows, columns].tolist() if value >= _SAME_IOU]
    return {
        "found_in_tiles": sum(map(len, tiled)),
        "found_in_both": len(matched),
        "mean_mask_iou": round(float(np.mean(matched)), 4),
    }


def _lay_strips(pictures: Path, *, height_px: int, width_px: int) -> list[NDArray[np.uint8]]:
    """Cut the upper left corner of each picture that is wide enough; lay those of the others side by side."""
    tops = [
        np.asarray(Image.open(file).convert("RGB"))[:height_px, :width_px]
        for file in sorted(pictures.rglob("*"))
        if file.is_file()
    ]
    wide = [one for one in tops if one.shape[:2] == (height_px, width_px)]
    squares = [one[:, :height_px] for one in tops if height_px <= one.shape[1] < width_px]
    fitting = [one for one in squares if one.shape[:2] == (height_px, height_px)]
    together = -(-width_px // height_px)
    wide += [
        np.concatenate(fitting[first : first + together], axis=1)[:, :width_px]
        for first in range(0, len(fitting) - together + 1, together)
    ]
    return [np.ascontiguousarray(one) for one in wide]
