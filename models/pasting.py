"""From the small masks of regions to masks of the picture's size.

Shape suffixes: N instances, S side of a region's mask, H and W the picture in px.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from maskloop.masks import Rle, encode_masks

MASK_THRESHOLD: Final = 0.5
_MAX_PASTED_BYTES: Final = 64 * 2**20
_PADDING: Final = 1  # a border of zeros, so that a mask may end inside its box


def paste_masks(
    probabilities_NSS: Tensor, boxes_N4: Tensor, height_px: int, width_px: int
) -> tuple[Rle, ...]:
    """Paste region masks into the picture, cut them at 0.5 and encode them, a bounded number at a time.

    Pixel for pixel what torchvision's ``paste_masks_in_image`` gives, without its float copy of the picture
    for every instance.

    Args:
        probabilities_NSS: float32 (N, S, S) in 0..1, on the CPU.
        boxes_N4: float32 (N, 4), x0, y0, x1, y1 in px, on the CPU.
        height_px: Of the picture.
        width_px: Of the picture.
    """
    side = probabilities_NSS.shape[-1]
    padded = F.pad(probabilities_NSS, (_PADDING,) * 4)
    outer = _expand(boxes_N4, (side + 2 * _PADDING) / side).to(torch.int64).tolist()
    rles: list[Rle] = []
    for start, stop in _chunks(len(outer), height_px * width_px):
        canvas = np.zeros((stop - start, height_px, width_px), dtype=np.uint8)
        for row in range(start, stop):
            _paste(canvas[row - start], padded[row], outer[row])
        rles.extend(encode_masks(canvas))
    return tuple(rles)


def _chunks(count: int, bytes_each: int) -> Iterator[tuple[int, int]]:
    step = max(1, _MAX_PASTED_BYTES // bytes_each)
    return ((start, min(start + step, count)) for start in range(0, count, step))


def _expand(boxes_N4: Tensor, factor: float) -> Tensor:
    centre = (boxes_N4[:, :2] + boxes_N4[:, 2:]) * 0.5
    half = (boxes_N4[:, 2:] - boxes_N4[:, :2]) * 0.5 * factor
    return torch.cat([centre - half, centre + half], dim=1)


def _paste(canvas_HW: NDArray[np.uint8], mask_SS: Tensor, box: list[int]) -> None:
    height, width = canvas_HW.shape
    left, top, right, bottom = box
    size = (max(bottom - top + 1, 1), max(right - left + 1, 1))
    resized = F.interpolate(mask_SS[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right + 1, width), min(bottom + 1, height)
    if x1 > x0 and y1 > y0:
        part = resized[y0 - top : y1 - top, x0 - left : x1 - left] > MASK_THRESHOLD
        canvas_HW[y0:y1, x0:x1] = part.numpy()
