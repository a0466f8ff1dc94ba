"""From the small masks of regions to masks of the picture's size.

Shape suffixes: N instances, S side of a region's mask, H and W the picture in px.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from maskloop.masks import Rle, place_masks

MASK_THRESHOLD: Final = 0.5
_PADDING: Final = 1  # a border of zeros, so that a mask may end inside its box


def paste_masks(
    probabilities_NSS: Tensor, boxes_N4: Tensor, height_px: int, width_px: int
) -> tuple[Rle, ...]:
    """Resize region masks to their boxes, cut them at 0.5 and encode them where they lie in the picture.

    Pixel for pixel what torchvision's ``paste_masks_in_image`` gives on a CPU, cut at 0.5, because the same
    kernel resizes each region. Its copy of the whole picture for every instance is never made, so time and
    memory follow the boxes and not the picture. A box wholly outside the picture has an empty mask, where
    torchvision sometimes raises.

    Args:
        probabilities_NSS: float32 (N, S, S) in 0..1, on the CPU.
        boxes_N4: float32 (N, 4), x0, y0, x1, y1 in px, on the CPU.
        height_px: Of the picture.
        width_px: Of the picture.
    """
    side = probabilities_NSS.shape[-1]
    padded = F.pad(probabilities_NSS, (_PADDING,) * 4)
    outer = _expand(boxes_N4, (side + 2 * _PADDING) / side).to(torch.int64).tolist()
    parts = (_cut(mask, box, height_px, width_px) for mask, box in zip(padded, outer, strict=True))
    return place_masks(parts, height_px=height_px, width_px=width_px)


def _expand(boxes_N4: Tensor, factor: float) -> Tensor:
    centre = (boxes_N4[:, :2] + boxes_N4[:, 2:]) * 0.5
    half = (boxes_N4[:, 2:] - boxes_N4[:, :2]) * 0.5 * factor
    return torch.cat([centre - half, centre + half], dim=1)


def _cut(
    mask_SS: Tensor, box: Sequence[int], height_px: int, width_px: int
) -> tuple[int, int, NDArray[np.bool_]]:
    """Return left, top and pixels of the part of a region's mask that lies in the picture."""
    left, top, right, bottom = box
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right + 1, width_px), min(bottom + 1, height_px)
    if x1 <= x0 or y1 <= y0:
        return 0, 0, np.zeros((0, 0), dtype=bool)
    size = (bottom - top + 1, right - left + 1)
    resized = F.interpolate(mask_SS[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    part = resized[y0 - top : y1 - top, x0 - left : x1 - left] > MASK_THRESHOLD
    return x0, y0, part.numpy()
