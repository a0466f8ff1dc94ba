"""What one picture, and what the model said about it, look like in a few comparable numbers.

Every figure is a mean, quantile or share over pixels or detections at the picture's own scale, so the number
of pixels does not enter. Pictures above 1 Mpx are read through sixteen evenly spread native 256-px tiles: the
cost is bounded and nothing is resampled, which would hide noise and blur.

A figure that does not exist (the mean score of no detections) is absent, never NaN. Figures are rounded to
six decimals: ranks are compared later, and the last bits of a sum are no property of a picture.

Shape suffixes: T tiles, H and W px, N detections.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections
from maskloop.errors import PictureError
from maskloop.masks import areas_px

FeatureGroup = Literal[
    "light", "colour", "sharpness", "noise", "detections", "confidence", "shape", "embedding"
]

FEATURE_GROUPS: Final[Mapping[str, FeatureGroup]] = {
    "brightness": "light",
    "contrast": "light",
    "red_green": "colour",
    "yellow_blue": "colour",
    "saturation": "colour",
    "sharpness": "sharpness",
    "entropy": "sharpness",
    "noise": "noise",
    "count": "detections",
    "mean_score": "confidence",
    "max_score": "confidence",
    "low_score_share": "confidence",
    "mean_relative_area": "shape",
    "mean_fill": "shape",
    "mean_aspect": "shape",
}
"""The group of every feature but the counts of single classes, which are ``detections``."""

PICTURE_FEATURES: Final = tuple(list(FEATURE_GROUPS)[:8])
CLASS_COUNT_PREFIX: Final = "count of "
LOW_SCORE: Final = 0.5
_NEEDS_DETECTIONS: Final = frozenset(
    name for name, group in FEATURE_GROUPS.items() if group in ("confidence", "shape")
)
_DECIMALS: Final = 6
_MAX_PIXELS: Final = 1024 * 1024
_TILES_PER_SIDE: Final = 4
_TILE_PX: Final = 256
_LUMA_WEIGHTS: Final = np.array([299, 587, 114], dtype=np.float32)
_PER_LEVEL: Final = np.float32(1000)
_NOISE_SHARE: Final = 0.75
_LOWER_MEAN_OF_STANDARD_NORMAL: Final = 0.514903
"""Mean of the lower three quarters of ``|z|``: ``2 (φ(0) - φ(q)) / 0.75`` with ``q = Φ⁻¹(0.875)``."""

Pause = Callable[[], None]


def go_on() -> None:
    """Pause for no time."""


class Observed(Protocol):
    """Anything that was measured: a production sample, or a validation picture of the champion."""

    @property
    def features(self) -> Mapping[str, float | None]:
        """Feature values by name."""
        ...

    @property
    def embedding(self) -> tuple[float, ...] | None:
        """The pooled backbone embedding."""
        ...


@dataclass(frozen=True)
class Observation:
    """One measured picture.

    Attributes:
        features: Value by feature name; None where it could not be measured. NaN and infinity become None.
        embedding: Pooled backbone embedding, float32 values, or None. One that is not finite becomes None.
    """

    features: Mapping[str, float | None]
    embedding: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", finite_features(self.features))
        object.__setattr__(self, "embedding", finite_embedding(self.embedding))


def observe(
    picture: NDArray[np.uint8],
    detections: Detections,
    class_names: Sequence[str],
    embedding: NDArray[np.float32] | Sequence[float] | None = None,
    *,
    pause: Pause = go_on,
) -> Observation:
    """Measure a picture (uint8 (H, W, 3) RGB) together with what the model found in it.

    Raises:
        PictureError: if it is not such a picture.
    """
    features = picture_features(picture, pause=pause) | prediction_features(detections, class_names)
    return Observation(features, finite_embedding(embedding))


def picture_features(picture: NDArray[np.uint8], *, pause: Pause = go_on) -> dict[str, float]:
    """Return the properties of a picture, uint8 (H, W, 3) RGB.

    Args:
        picture: The pixels.
        pause: Is called between steps that take about a millisecond each for 512 x 512 px.

    Returns:
        - brightness, contrast: mean and standard deviation of the luma (ITU-R BT.601), 0..1.
        - red_green, yellow_blue: mean opponent colours ``R - G`` and ``(R + G) / 2 - B`` (Hasler and
          Süsstrunk 2003), -1..1.
        - saturation: HSV saturation weighted by value, ``sum(max - min) / sum(max)``, 0..1; 0 for black.
        - sharpness: ``log10(1 + variance of the Laplacian)`` (Pech-Pacheco et al. 2000), grey levels squared.
        - entropy: of the luma histogram, 0..8 bits.
        - noise: standard deviation in grey levels: Immerkaer's mask (1996), with the mean of the lower three
          quarters of the absolute responses, so that edges hardly count. (The median would be robust too, but
          takes few values in 8-bit pictures.)

        sharpness and noise are absent for pictures with a side below 3 px.

    Raises:
        PictureError: if it is empty, or not uint8 of that shape.

    >>> grey = np.full((8, 8, 3), 51, dtype=np.uint8)
    >>> round(picture_features(grey)["brightness"], 3), picture_features(grey)["noise"]
    (0.2, 0.0)
    """
    planes = _planes(picture)
    features = _colour_features(planes)
    pause()
    luma_THW = _luma(planes)
    features |= _light_features(luma_THW)
    if min(luma_THW.shape[1:]) >= 3:
        down = _second_difference(luma_THW, axis=1)
        pause()
        features["sharpness"] = _sharpness(luma_THW, down)
        pause()
        features["noise"] = _noise(down)
    return _rounded(features)


def prediction_features(detections: Detections, class_names: Sequence[str]) -> dict[str, float]:
    """Return statistics of what a model found in one picture.

    - count, and ``count of <class>`` for each class.
    - mean_score, max_score, low_score_share (below 0.5): 0..1.
    - mean_relative_area: mask area over picture area; mean_fill: mask area over box area, at most 1;
      mean_aspect: the box's longer over its shorter side, at least 1 (sides below 1 px count as 1 px).

    Without detections only the counts exist.
    """
    counts = np.bincount(detections.class_indices, minlength=len(class_names))
    features = {"count": float(len(detections))}
    features |= {f"{CLASS_COUNT_PREFIX}{name}": float(counts[i]) for i, name in enumerate(class_names)}
    if len(detections) == 0:
        return features
    scores = detections.scores.astype(np.float64)
    features["mean_score"] = float(scores.mean())
    features["max_score"] = float(scores.max())
    features["low_score_share"] = float((scores < LOW_SCORE).mean())
    return _rounded(features | _shape_features(detections))


def feature_group(name: str) -> FeatureGroup:
    """Return the group a feature belongs to.

    >>> feature_group("noise"), feature_group("count of bolt")
    ('noise', 'detections')
    """
    return FEATURE_GROUPS.get(name, "detections")


def is_expected(name: str, features: Mapping[str, float | None]) -> bool:
    """Tell whether a feature should have a value: scores and shapes need detections.

    >>> is_expected("mean_score", {"count": 0.0}), is_expected("noise", {"count": 0.0})
    (False, True)
    """
    return name not in _NEEDS_DETECTIONS or features.get("count") != 0.0


def finite_features(features: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the values as plain floats, with None for NaN and infinity."""
    return {
        name: float(value) if value is not None and math.isfinite(value) else None
        for name, value in features.items()
    }


def finite_embedding(embedding: NDArray[Any] | Sequence[float] | None) -> tuple[float, ...] | None:
    """Return the embedding as float32 values in a tuple; None if it is empty or any value is not finite."""
    if embedding is None:
        return None
    values = np.asarray(embedding, dtype=np.float32).ravel()
    return tuple(values.tolist()) if values.size and np.isfinite(values).all() else None


def _rounded(features: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, _DECIMALS) for name, value in features.items()}


def _planes(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return red, green and blue of a picture's tiles, uint8 (3, T, H, W)."""
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or picture.size == 0:
        raise PictureError(f"a picture is uint8 (H, W, 3), not {picture.dtype} {picture.shape}")
    height, width = picture.shape[:2]
    if height * width <= _MAX_PIXELS:
        tiles = picture[np.newaxis]
    else:
        tile_height, tile_width = min(height, _TILE_PX), min(width, _TILE_PX)
        tops = np.linspace(0, height - tile_height, _TILES_PER_SIDE).astype(int)
        lefts = np.linspace(0, width - tile_width, _TILES_PER_SIDE).astype(int)
        tiles = np.stack(
            [picture[top : top + tile_height, left : left + tile_width] for top in tops for left in lefts]
        )
    return np.ascontiguousarray(np.moveaxis(tiles, -1, 0))


def _luma(planes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return thousandths of grey levels, (T, H, W): whole numbers, so that float32 filters them exactly."""
    luma_THW: NDArray[np.float32] = planes[0] * _LUMA_WEIGHTS[0]
    for plane, weight in zip(planes[1:], _LUMA_WEIGHTS[1:], strict=True):
        luma_THW += plane * weight
    return luma_THW


def _light_features(luma_THW: NDArray[np.float32]) -> dict[str, float]:
    levels = luma_THW * (1 / _PER_LEVEL)
    levels += np.float32(0.5)
    counts = np.bincount(levels.astype(np.uint8).ravel(), minlength=256)
    shares = counts[counts > 0] / luma_THW.size
    mean, variance = _moments(luma_THW)
    white = 255.0 * float(_PER_LEVEL)
    return {
        "brightness": mean / white,
        "contrast": math.sqrt(variance) / white,
        "entropy": float(max(0.0, -(shares * np.log2(shares)).sum())),
    }


def _colour_features(planes: NDArray[np.uint8]) -> dict[str, float]:
    red, green, blue = (float(plane.mean(dtype=np.float64)) / 255.0 for plane in planes)
    total = int(planes.max(axis=0).sum(dtype=np.int64))
    spread = total - int(planes.min(axis=0).sum(dtype=np.int64))
    return {
        "red_green": red - green,
        "yellow_blue": (red + green) / 2.0 - blue,
        "saturation": spread / total if total else 0.0,
    }


def _sharpness(luma_THW: NDArray[np.float32], down: NDArray[np.float32]) -> float:
    """Add the second differences across to those ``down``; the outermost pixels are left out."""
    laplacian = _second_difference(luma_THW[:, 1:-1], axis=2)
    laplacian += down[:, :, 1:-1]
    _, variance = _moments(laplacian)
    return math.log10(1.0 + variance / float(_PER_LEVEL) ** 2)


def _noise(down: NDArray[np.float32]) -> float:
    """Filter with (1 -2 1; -2 4 -2; 1 -2 1), the second difference both ways, whose norm is 6."""
    responses = np.abs(_second_difference(down, axis=2))
    return _lower_mean(responses) / float(_PER_LEVEL) / (6.0 * _LOWER_MEAN_OF_STANDARD_NORMAL)


def _second_difference(values: NDArray[np.float32], *, axis: int) -> NDArray[np.float32]:
    """Filter along an axis with (1 -2 1), which shortens it by two."""
    lines = np.moveaxis(values, axis, 0)
    difference = lines[:-2] + lines[2:]
    difference -= lines[1:-1]
    difference -= lines[1:-1]
    turned_back: NDArray[np.float32] = np.moveaxis(difference, 0, axis)
    return turned_back


def _moments(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return mean and variance."""
    exact = values.astype(np.float64)
    mean = float(exact.mean())
    exact -= mean
    return mean, float(np.square(exact, out=exact).mean())


def _lower_mean(values: NDArray[np.float32]) -> float:
    num_kept = max(1, round(values.size * _NOISE_SHARE))
    return float(np.partition(values.ravel(), num_kept - 1)[:num_kept].mean(dtype=np.float64))


def _shape_features(detections: Detections) -> dict[str, float]:
    sides = np.maximum(detections.boxes_xyxy[:, 2:] - detections.boxes_xyxy[:, :2], 1.0).astype(np.float64)
    areas = areas_px(detections.masks).astype(np.float64)
    return {
        "mean_relative_area": float(areas.mean()) / (detections.height_px * detections.width_px),
        "mean_fill": float(np.minimum(areas / sides.prod(axis=1), 1.0).mean()),
        "mean_aspect": float((sides.max(axis=1) / sides.min(axis=1)).mean()),
    }
