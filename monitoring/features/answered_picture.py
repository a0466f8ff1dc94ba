"""A picture with what the model found in it, and what several features are computed from.

Pictures above 1 Mpx are read through sixteen evenly spread native 256-px tiles: the cost is bounded and
nothing is resampled, which would hide noise and blur.

Shape suffixes: T tiles, H and W px, N detections.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections
from maskloop.errors import PictureError
from maskloop.masks import areas_px
from monitoring.features.mask_shapes import MaskShapes, largest_overlaps, measure_shapes

LUMA_STEPS_PER_LEVEL: Final = 1000
_LUMA_WEIGHTS: Final = np.array([299, 587, 114], dtype=np.float32)
_MAX_PIXELS: Final = 1024 * 1024
_TILES_PER_SIDE: Final = 4
_TILE_PX: Final = 256


@dataclass(frozen=True, eq=False)
class AnsweredPicture:
    """A picture and its answer. What is derived from them is computed once, when a feature first asks for it.

    Attributes:
        pixels: uint8 (H, W, 3), RGB.
        detections: What the model found.

    Raises:
        PictureError: if the picture is empty, or not uint8 of that shape.
    """

    pixels: NDArray[np.uint8]
    detections: Detections

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or pixels.size == 0:
            raise PictureError(f"a picture is uint8 (H, W, 3), not {pixels.dtype} {pixels.shape}")

    @cached_property
    def planes(self) -> NDArray[np.uint8]:
        """Red, green and blue of the tiles, uint8 (3, T, H, W)."""
        height, width = self.pixels.shape[:2]
        if height * width <= _MAX_PIXELS:
            tiles = self.pixels[np.newaxis]
        else:
            tile_height, tile_width = min(height, _TILE_PX), min(width, _TILE_PX)
            tops = np.linspace(0, height - tile_height, _TILES_PER_SIDE).astype(int)
            lefts = np.linspace(0, width - tile_width, _TILES_PER_SIDE).astype(int)
            corners = [(top, left) for top in tops for left in lefts]
            tiles = np.stack(
                [self.pixels[top : top + tile_height, left : left + tile_width] for top, left in corners]
            )
        return np.ascontiguousarray(np.moveaxis(tiles, -1, 0))

    @cached_property
    def mean_rgb(self) -> tuple[float, float, float]:
        """The mean of red, green and blue, 0..1."""
        red, green, blue = (float(plane.mean(dtype=np.float64)) / 255.0 for plane in self.planes)
        return red, green, blue

    @cached_property
    def luma(self) -> NDArray[np.float32]:
        """ITU-R BT.601 luma in thousandths of grey levels, float32 (T, H, W).

        The values are whole numbers, so that float32 filters them exactly.
        """
        luma_THW: NDArray[np.float32] = self.planes[0] * _LUMA_WEIGHTS[0]
        for plane, weight in zip(self.planes[1:], _LUMA_WEIGHTS[1:], strict=True):
            luma_THW += plane * weight
        return luma_THW

    @cached_property
    def luma_moments(self) -> tuple[float, float]:
        """Mean and variance of the luma, in thousandths of grey levels."""
        return moments(self.luma)

    @cached_property
    def luma_second_difference(self) -> NDArray[np.float32] | None:
        """The luma filtered downwards with (1 -2 1), float32 (T, H - 2, W); None with a side below 3 px."""
        return second_difference(self.luma, axis=1) if min(self.luma.shape[1:]) >= 3 else None

    @cached_property
    def box_sides_px(self) -> NDArray[np.float64]:
        """Width and height of the boxes, float64 (N, 2); sides below 1 px count as 1 px."""
        boxes = self.detections.boxes_xyxy
        sides: NDArray[np.float64] = np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0).astype(np.float64)
        return sides

    @cached_property
    def mask_areas_px(self) -> NDArray[np.float64]:
        """Areas of the masks, float64 (N,)."""
        return areas_px(self.detections.masks).astype(np.float64)

    @cached_property
    def mask_shapes(self) -> MaskShapes:
        """What the outlines of the masks are like."""
        return measure_shapes(self.detections.masks)

    @cached_property
    def mask_overlaps(self) -> NDArray[np.float64]:
        """The largest overlap of each mask with another one, float64 (N,), 0..1."""
        return largest_overlaps(self.detections.masks)


def second_difference(values: NDArray[np.float32], *, axis: int) -> NDArray[np.float32]:
    """Filter float32 (T, H, W) along an axis with (1 -2 1), which shortens it by two."""
    lines = np.moveaxis(values, axis, 0)
    difference = lines[:-2] + lines[2:]
    difference -= lines[1:-1]
    difference -= lines[1:-1]
    turned_back: NDArray[np.float32] = np.moveaxis(difference, 0, axis)
    return turned_back


def moments(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return mean and variance of float32 values (T, H, W), in their unit and its square."""
    exact = values.astype(np.float64)
    mean = float(exact.mean())
    exact -= mean
    return mean, float(np.square(exact, out=exact).mean())
