"""Region masks resized to their boxes, cut at 0.5 and encoded where they lie. As `models.operations.pasting`.

Shape suffixes: N instances, S side of a region's mask.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskloop.masks import Rle, place_masks
from models.edge.boxes import Boxes
from models.edge.preparing import resize

MASK_THRESHOLD: Final = 0.5
_PADDING: Final = 1  # a border of zeros, so that a mask may end inside its box


def paste_masks(
    probabilities_NSS: NDArray[np.float32], boxes_N4: Boxes, height_px: int, width_px: int
) -> tuple[Rle, ...]:
    """Return each mask in a picture of this size.

    Args:
        probabilities_NSS: float32 (N, S, S) in 0..1.
        boxes_N4: x0, y0, x1, y1 in px.
        height_px: Of the picture.
        width_px: Of the picture.
    """
    side = probabilities_NSS.shape[-1]
    padded = np.pad(probabilities_NSS, ((0, 0), (_PADDING, _PADDING), (_PADDING, _PADDING)))
    factor = np.float32((side + 2 * _PADDING) / side)
    centre = (boxes_N4[:, :2] + boxes_N4[:, 2:]) * np.float32(0.5)
    half = (boxes_N4[:, 2:] - boxes_N4[:, :2]) * np.float32(0.5) * factor
    outer = np.concatenate([centre - half, centre + half], axis=1).astype(np.int64).tolist()
    parts = (_cut(mask, box, height_px, width_px) for mask, box in zip(padded, outer, strict=True))
    return place_masks(parts, height_px=height_px, width_px=width_px)


def _cut(
    mask_SS: NDArray[np.float32], box: list[int], height_px: int, width_px: int
) -> tuple[int, int, NDArray[np.bool_]]:
    """Return left, top and pixels of the part of a region's mask that lies in the picture."""
    left, top, right, bottom = box
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right + 1, width_px), min(bottom + 1, height_px)
    if x1 <= x0 or y1 <= y0:
        return 0, 0, np.zeros((0, 0), dtype=bool)
    resized = resize(mask_SS, (bottom - top + 1, right - left + 1))
    return x0, y0, resized[y0 - top : y1 - top, x0 - left : x1 - left] > MASK_THRESHOLD
