"""One colour for each class, wherever people see it: on pages, in overlays and in the labelling tool."""

from __future__ import annotations

import colorsys
from typing import Final

_GOLDEN_RATIO: Final = 0.618034


def class_colour(class_index: int) -> tuple[int, int, int]:
    """Return a class's colour: hues a golden ratio apart, so that neighbours differ and none moves later."""
    hue = (0.02 + class_index * _GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
