"""From a picture to what the first network is given: resized, normalised, padded.

As `models.network.preparation` does it in torch.

Shape suffixes: H and W a picture in px, R and Q resized.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.exports.steps import Steps

_STRIDE_PX: Final = 32


@dataclass(frozen=True)
class Prepared:
    """A picture as the first network gets it.

    Attributes:
        pixels: float32 (1, R, Q, 3), sides multiples of 32.
        size: Height and width of the resized picture without padding, px.
        whole: Height and width of the picture as it came, px.
    """

    pixels: NDArray[np.float32]
    size: tuple[int, int]
    whole: tuple[int, int]


def prepare(picture_HW3: NDArray[np.uint8], steps: Steps) -> Prepared:
    """Return a picture, uint8 (H, W, 3) RGB, as the first network gets it."""
    height, width = picture_HW3.shape[:2]
    size = choose_size(height, width, steps)
    scaled = picture_HW3.astype(np.float32)
    scaled /= np.float32(255.0)
    scaled -= np.asarray(steps.mean, np.float32)
    scaled /= np.asarray(steps.spread, np.float32)
    resized = resize(scaled, size)
    padded = [-(-side // _STRIDE_PX) * _STRIDE_PX for side in size]
    pixels = np.zeros((1, *padded, 3), np.float32)
    pixels[0, : size[0], : size[1]] = resized
    return Prepared(pixels, size, (height, width))


def choose_size(height_px: int, width_px: int, steps: Steps) -> tuple[int, int]:
    """Return the height and width that a picture is resized to; rounded down as torchvision rounds them."""
    short, long = sorted((height_px, width_px))
    scale = min(steps.min_size_px / short, steps.max_size_px / long)
    return math.floor(height_px * scale), math.floor(width_px * scale)


def resize(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return values, float32 (H, W) or (H, W, C), on another grid, bilinear between cell centres."""
    for axis, length in enumerate(size):
        if values.shape[axis] != length:
            low, high, share = _between(values.shape[axis], length)
            shape = [1] * values.ndim
            shape[axis] = length
            weight = share.reshape(shape)
            below = values.take(low, axis=axis)
            above = values.take(high, axis=axis)
            above -= below
            above *= weight
            above += below
            values = above
    return values


def _between(given: int, wanted: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return the cells that each new cell's centre lies between, and its share of the upper one."""
    scale = np.float32(given / wanted)
    at = np.maximum((np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5), 0)
    low = np.minimum(at.astype(np.int64), given - 1)
    return low, np.minimum(low + 1, given - 1), (at - low).astype(np.float32)
