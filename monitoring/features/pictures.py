"""The features of a picture, each with its row.

Every figure is a mean, quantile or share over pixels at the picture's own scale, so the number of pixels does
not enter.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from monitoring.features.answered_picture import (
    LUMA_STEPS_PER_LEVEL,
    AnsweredPicture,
    moments,
    second_difference,
)
from monitoring.features.feature import Feature

_WHITE: Final = 255.0 * LUMA_STEPS_PER_LEVEL
_NOISE_SHARE: Final = 0.75
_LOWER_MEAN_OF_STANDARD_NORMAL: Final = 0.514903
"""Mean of the lower three quarters of ``|z|``: ``2 (φ(0) - φ(q)) / 0.75`` with ``q = Φ⁻¹(0.875)``."""


def brightness(seen: AnsweredPicture) -> float:
    """Return the mean of the luma (ITU-R BT.601), 0..1."""
    return seen.luma_moments[0] / _WHITE


def contrast(seen: AnsweredPicture) -> float:
    """Return the standard deviation of the luma, 0..0.5."""
    return math.sqrt(seen.luma_moments[1]) / _WHITE


def red_green(seen: AnsweredPicture) -> float:
    """Return the mean opponent colour ``R - G`` (Hasler and Süsstrunk 2003), -1..1."""
    red, green, _ = seen.mean_rgb
    return red - green


def yellow_blue(seen: AnsweredPicture) -> float:
    """Return the mean opponent colour ``(R + G) / 2 - B`` (Hasler and Süsstrunk 2003), -1..1."""
    red, green, blue = seen.mean_rgb
    return (red + green) / 2.0 - blue


def saturation(seen: AnsweredPicture) -> float:
    """Return the HSV saturation weighted by value, ``sum(max - min) / sum(max)``, 0..1; 0 for black."""
    total = int(seen.planes.max(axis=0).sum(dtype=np.int64))
    spread = total - int(seen.planes.min(axis=0).sum(dtype=np.int64))
    return spread / total if total else 0.0


def entropy(seen: AnsweredPicture) -> float:
    """Return the entropy of the luma's histogram, 0..8 bits."""
    levels = seen.luma * (np.float32(1) / np.float32(LUMA_STEPS_PER_LEVEL))
    levels += np.float32(0.5)
    counts = np.bincount(levels.astype(np.uint8).ravel(), minlength=256)
    shares = counts[counts > 0] / seen.luma.size
    return float(max(0.0, -(shares * np.log2(shares)).sum()))


def sharpness(seen: AnsweredPicture) -> float | None:
    """Return ``log10(1 + variance of the Laplacian)`` in grey levels squared (Pech-Pacheco et al. 2000).

    The outermost pixels are left out. None for a picture with a side below 3 px.
    """
    down = seen.luma_second_difference
    if down is None:
        return None
    laplacian = second_difference(seen.luma[:, 1:-1], axis=2)
    laplacian += down[:, :, 1:-1]
    return math.log10(1.0 + moments(laplacian)[1] / LUMA_STEPS_PER_LEVEL**2)


def noise(seen: AnsweredPicture) -> float | None:
    """Return the standard deviation of the noise, in grey levels; None for a side below 3 px.

    Immerkaer's mask (1996), (1 -2 1; -2 4 -2; 1 -2 1) with a norm of 6, with the mean of the lower three
    quarters of the absolute responses, so that edges hardly count. (The median would be robust too, but takes
    few values in 8-bit pictures.)
    """
    down = seen.luma_second_difference
    if down is None:
        return None
    responses = np.abs(second_difference(down, axis=2)).ravel()
    num_kept = max(1, round(responses.size * _NOISE_SHARE))
    lower_mean = float(np.partition(responses, num_kept - 1)[:num_kept].mean(dtype=np.float64))
    return lower_mean / LUMA_STEPS_PER_LEVEL / (6.0 * _LOWER_MEAN_OF_STANDARD_NORMAL)


PICTURE_FEATURES: Final = (
    Feature(
        "brightness",
        "light",
        "picture",
        unit="",
        falls="the pictures are darker",
        rises="the pictures are brighter",
        measure=brightness,
        lower="is darker",
        higher="is brighter",
    ),
    Feature(
        "contrast",
        "light",
        "picture",
        unit="",
        falls="the pictures have less contrast",
        rises="the pictures have more contrast",
        measure=contrast,
        lower="has less contrast",
        higher="has more contrast",
    ),
    Feature(
        "red_green",
        "colour",
        "picture",
        unit="",
        falls="the colours moved towards green",
        rises="the colours moved towards red",
        measure=red_green,
        lower="is greener",
        higher="is redder",
    ),
    Feature(
        "yellow_blue",
        "colour",
        "picture",
        unit="",
        falls="the colours moved towards blue",
        rises="the colours moved towards yellow",
        measure=yellow_blue,
        lower="is bluer",
        higher="is yellower",
    ),
    Feature(
        "saturation",
        "colour",
        "picture",
        unit="",
        falls="the colours are paler",
        rises="the colours are stronger",
        measure=saturation,
        lower="has paler colours",
        higher="has stronger colours",
    ),
    Feature(
        "sharpness",
        "sharpness",
        "picture",
        unit="log10 grey levels²",
        falls="the pictures are smoother or blurred",
        rises="the pictures show more fine structure",
        measure=sharpness,
        lower="is smoother or more blurred",
        higher="shows more fine structure",
    ),
    Feature(
        "entropy",
        "sharpness",
        "picture",
        unit="bits",
        falls="the pictures are plainer",
        rises="the pictures are busier",
        measure=entropy,
        lower="is plainer",
        higher="is busier",
    ),
    Feature(
        "noise",
        "noise",
        "picture",
        unit="grey levels",
        falls="there is less noise",
        rises="there is more noise",
        measure=noise,
        lower="has less noise",
        higher="has more noise",
    ),
)
