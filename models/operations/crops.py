"""Masks cut to their boxes: what a training step needs of them, without the empty rest of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class MaskCrop:
    """One instance's mask inside its tight box.

    Attributes:
        left_px: Of the box, in whole px of the picture.
        top_px: Of the box.
        pixels: bool (h, w); each side touches the object.
    """

    left_px: int
    top_px: int
    pixels: NDArray[np.bool_]

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in px; right and bottom lie behind the last pixel."""
        height_px, width_px = self.pixels.shape
        return self.left_px, self.top_px, self.left_px + width_px, self.top_px + height_px
