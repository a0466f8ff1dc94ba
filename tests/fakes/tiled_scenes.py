"""Label pictures, a model that sees each number as one object, and the tiles that it is asked about."""

from __future__ import annotations

import numpy as np

from evaluation.instances import Detections
from maskloop.masks import encode_masks
from models.answering.tile_grid import TileBox, TileGrid, cut_pixels


def find_numbers(pixels: np.ndarray, *, num_classes: int = 2) -> Detections:
    """Find what a perfect model would: one instance for each number, or what is seen of it.

    Args:
        pixels: (H, W, 3); the first channel counts.
        num_classes: The class is the number modulo this.
    """
    labels = pixels[..., 0]
    numbers = [int(number) for number in np.unique(labels) if number]
    masks = np.stack([labels == number for number in numbers]) if numbers else np.zeros((0, *labels.shape))
    height_px, width_px = labels.shape
    return Detections(
        height_px,
        width_px,
        np.array([box_of(mask) for mask in masks], np.float32).reshape(-1, 4),
        np.linspace(0.9, 0.6, len(numbers), dtype=np.float32),
        np.array(numbers, dtype=np.int64) % num_classes,
        encode_masks(masks) if numbers else (),
    )


def find_in_tiles(
    labels: np.ndarray, grid: TileGrid, *, num_classes: int = 2
) -> list[tuple[TileBox, Detections]]:
    """Find the numbers of a picture, (H, W), tile by tile."""
    pixels = np.repeat(labels[..., None].astype(np.uint8), 3, axis=2)
    return [(box, find_numbers(cut_pixels(pixels, box), num_classes=num_classes)) for box in grid.tiles()]


def box_of(mask: np.ndarray) -> list[int]:
    """Return the tight box of a mask: left, top, right, bottom."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
