"""Changes of production by name, to measure how long it takes until each is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Change = Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]


@dataclass(frozen=True)
class Shift:
    """A change of pictures.

    Attributes:
        name: As tables show it.
        change: Turns a picture, uint8 (H, W, 3), into what would have come instead.
        share: 0..1, of production that changes.
    """

    name: str
    change: Change
    share: float = 1.0


def darken(pixels: NDArray[np.uint8], _rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture, uint8 (H, W, 3), in 60 % of the light."""
    return _rounded(pixels * 0.6)


def blur(pixels: NDArray[np.uint8], _rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture, uint8 (H, W, 3), out of focus: a Gaussian of 1.5 px."""
    from scipy.ndimage import gaussian_filter

    return _rounded(gaussian_filter(pixels.astype(np.float64), (1.5, 1.5, 0.0)))


def recolour(pixels: NDArray[np.uint8], _rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture, uint8 (H, W, 3), in warmer light: red 1.2 times as strong, blue 0.75 times."""
    return _rounded(pixels * np.array([1.2, 1.0, 0.75]))


def add_noise(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture, uint8 (H, W, 3), of a noisier sensor: a standard deviation of 8 levels."""
    return _rounded(pixels + rng.normal(0.0, 8.0, pixels.shape))


def zoom(pixels: NDArray[np.uint8], _rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the middle of a picture, uint8 (H, W, 3), 1.5 times as large."""
    height, width = pixels.shape[:2]
    rows = ((np.arange(height) + 0.5 - height / 2) / 1.5 + height / 2).astype(int)
    columns = ((np.arange(width) + 0.5 - width / 2) / 1.5 + width / 2).astype(int)
    return np.ascontiguousarray(pixels[rows][:, columns])


def change_camera(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture, uint8 (H, W, 3), as a blurred, darker and noisier camera would see it."""
    from scipy.ndimage import gaussian_filter

    seen = gaussian_filter(pixels.astype(np.float64), (1.2, 1.2, 0.0)) * 0.75
    return _rounded(seen + rng.normal(0.0, 2.0, pixels.shape))


PICTURE_SHIFTS: Final = (
    Shift("darker", darken),
    Shift("blurred", blur),
    Shift("new colours", recolour),
    Shift("noisier", add_noise),
    Shift("zoomed in", zoom),
    Shift("new camera", change_camera),
)
NEW_CAMERA_SHARE: Final = 0.2
"""Of production, where a new camera comes beside the known ones."""


def _rounded(pixels: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(pixels), 0, 255), np.uint8)
