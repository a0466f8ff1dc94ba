"""Known changes of labelled pictures, with which the estimate of quality learns what a fall looks like.

Each changes the champion's own held-out pictures and, where objects move, their masks, so that the true
figures under the change are known. The kinds are those of D. Hendrycks and T. Dietterich, Benchmarking
Neural Network Robustness to Common Corruptions and Perturbations (2019), with colour and zoom beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import GroundTruth
from maskloop.masks import decode_masks, encode_masks

Pixels = NDArray[np.uint8]
"""uint8 (H, W, 3), RGB."""

REFERENCE: Final = "as it is"


@dataclass(frozen=True)
class Shift:
    """One change, of one strength.

    Attributes:
        kind: What is changed; shifts of one kind differ in strength.
        strength: In the unit of its kind; as people read it.
        change: Returns changed pixel values, float64 (H, W, 3), of such values in 0..255; chance comes from
            the generator.
        zoom: The middle of the picture, enlarged so many times; below 1 the picture shrinks inside its frame.
    """

    kind: str
    strength: str = ""
    change: Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]] | None = None
    zoom: float = 1.0

    @property
    def name(self) -> str:
        """Kind and strength."""
        return f"{self.kind} {self.strength}".strip()

    def show(self, pixels: Pixels, *, seed: int) -> Pixels:
        """Return a picture as it looks after the change; the same seed gives the same pixels."""
        shown = pixels
        if self.zoom != 1.0:
            shown = np.stack([_zoom(shown[..., one], self.zoom) for one in range(3)], axis=-1)
        if self.change is not None:
            changed = self.change(shown.astype(np.float64), np.random.default_rng(seed))
            shown = np.clip(np.rint(changed), 0.0, 255.0).astype(np.uint8)
        return np.ascontiguousarray(shown)

    def move(self, truth: GroundTruth) -> GroundTruth:
        """Return the annotated instances where the change has put them, without those it has pushed out."""
        if self.zoom == 1.0 or not truth.masks:
            return truth
        moved = [_zoom(mask.astype(np.uint8), self.zoom, is_mask=True) for mask in decode_masks(truth.masks)]
        before = [int(mask.sum()) for mask in decode_masks(truth.masks)]
        scale = self.zoom**2
        kept = np.array(
            [
                after.any() and after.sum() >= _MIN_VISIBLE_SHARE * scale * area
                for after, area in zip(moved, before, strict=True)
            ],
            bool,
        )
        masks = encode_masks(np.stack(moved)[kept]) if kept.any() else ()
        return replace(
            truth,
            class_indices=truth.class_indices[kept],
            masks=masks,
            is_crowd=truth.is_crowd[kept],
        )


_MIN_VISIBLE_SHARE: Final = 0.2
"""An instance of which less is left in the frame counts as pushed out."""


def blur(share: float) -> Shift:
    """Return a Gaussian blur whose standard deviation is a share of the picture's shorter side."""

    def change(values: NDArray[np.float64], _: np.random.Generator) -> NDArray[np.float64]:
        from scipy.ndimage import gaussian_filter  # half a second of CPU that the service never spends

        sigma_px = share * min(values.shape[:2])
        blurred: NDArray[np.float64] = gaussian_filter(values, (sigma_px, sigma_px, 0.0))
        return blurred

    return Shift("blur", f"{100 * share:g} %", change)


def light(gain: float) -> Shift:
    """Return another exposure: every value is multiplied."""
    return Shift("light", f"x{gain:g}", lambda values, _: values * gain)


def contrast(share: float) -> Shift:
    """Return a flatter or steeper picture: the distance of every value from the mean is multiplied."""
    return Shift(
        "contrast", f"x{share:g}", lambda values, _: values.mean() + share * (values - values.mean())
    )


def noise(std: float) -> Shift:
    """Return a picture with normal noise of a standard deviation in grey levels."""
    return Shift("noise", f"{std:g}", lambda values, rng: values + rng.normal(0.0, std, values.shape))


def colour(strength: str, gains: tuple[float, float, float], gamma: float, saturation: float) -> Shift:
    """Return another white balance, tone curve and saturation."""

    def change(values: NDArray[np.float64], _: np.random.Generator) -> NDArray[np.float64]:
        grey = values.mean(axis=2, keepdims=True)
        pale = np.clip((grey + saturation * (values - grey)) / 255.0, 0.0, 1.0)
        changed: NDArray[np.float64] = 255.0 * pale**gamma * np.array(gains)
        return changed

    return Shift("colour", strength, change)


def invert() -> Shift:
    """Return the negative: dark objects on light ground become light ones on dark ground."""
    return Shift("negative", "", lambda values, _: 255.0 - values)


def zoom(factor: float) -> Shift:
    """Return another distance to the objects."""
    return Shift("zoom", f"x{factor:g}", zoom=factor)


CALIBRATION_SHIFTS: Final = (
    Shift(REFERENCE),
    blur(0.006),
    blur(0.015),
    blur(0.03),
    light(0.6),
    light(0.3),
    light(1.6),
    contrast(0.5),
    noise(8.0),
    noise(25.0),
    colour("warm", (1.15, 1.0, 0.7), 1.0, 1.2),
    colour("cold", (0.6, 0.85, 1.1), 1.6, 0.5),
    invert(),
    zoom(1.5),
    zoom(0.65),
)


def _zoom(plane: NDArray[np.uint8], factor: float, *, is_mask: bool = False) -> NDArray[np.uint8]:
    """Return a plane, (H, W), with its middle enlarged; what lies outside is its border's median, or 0."""
    height, width = plane.shape
    edge = np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])
    fill = 0 if is_mask else int(np.median(edge))
    rows = (np.arange(height) + 0.5 - height / 2) / factor + height / 2 - 0.5
    columns = (np.arange(width) + 0.5 - width / 2) / factor + width / 2 - 0.5
    is_inside = ((rows >= -0.5) & (rows < height - 0.5))[:, None] & (
        (columns >= -0.5) & (columns < width - 0.5)
    )
    if is_mask:
        near = plane[np.ix_(_nearest(rows, height), _nearest(columns, width))]
        return np.where(is_inside, near, 0).astype(np.uint8)
    if factor < 1.0:  # an average of what falls into a pixel, or fine structure would turn into noise
        from scipy.ndimage import gaussian_filter

        plane = gaussian_filter(plane, 0.5 / factor - 0.5)
    low_rows, row_shares = _between(rows, height)
    low_columns, column_shares = _between(columns, width)
    corners = plane.astype(np.float64)
    top, bottom = corners[low_rows], corners[np.minimum(low_rows + 1, height - 1)]
    lines = top + (bottom - top) * row_shares[:, None]
    left, right = lines[:, low_columns], lines[:, np.minimum(low_columns + 1, width - 1)]
    seen = left + (right - left) * column_shares
    return np.where(is_inside, np.rint(seen), fill).astype(np.uint8)


def _nearest(places: NDArray[np.float64], length: int) -> NDArray[np.int64]:
    return np.clip(np.rint(places), 0, length - 1).astype(np.int64)


def _between(places: NDArray[np.float64], length: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    inside = np.clip(places, 0.0, length - 1.0)
    low = np.floor(inside).astype(np.int64)
    return low, inside - low
