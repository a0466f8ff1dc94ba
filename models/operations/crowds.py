"""Crowd regions are left out of the losses: which of their pixels are instances was not annotated.

A box that is background but lies mostly in crowd regions is neither background nor an instance, as COCO's
evaluation neither counts nor forgives what is found there (Lin et al., "Microsoft COCO: Common Objects in
Context", 2014, arXiv:1405.0312; a detection is ignored by its overlap over its own area). Detectron filters
proposals so in training, by the boxes of crowds (Girshick et al., 2018, ``CROWD_FILTER_THRESH``). Here the
masks count, since the box of a ragged region holds much that is none. An annotated instance is learned
wherever it lies.

Shape suffixes: B pictures, N boxes of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.operations.crops import MaskCrop

CROWD_AREA: Final = "crowd_area"
"""The name of `sum_crowds` in a target; only pictures with crowd regions have one."""
_MOSTLY: Final = 0.5


def sum_crowds(crowds: Sequence[MaskCrop], *, height_px: int, width_px: int) -> Tensor:
    """Return int32 (H + 1, W + 1): how many px above and left of each corner lie in any of the regions."""
    is_crowd = np.zeros((height_px, width_px), dtype=bool)
    for crop in crowds:
        height, width = crop.pixels.shape
        is_crowd[crop.top_px : crop.top_px + height, crop.left_px : crop.left_px + width] |= crop.pixels
    summed: NDArray[np.int32] = np.zeros((height_px + 1, width_px + 1), dtype=np.int32)
    np.cumsum(np.cumsum(is_crowd, axis=0, dtype=np.int32), axis=1, out=summed[1:, 1:])
    return torch.from_numpy(summed)


def leave_out_crowds(
    labels_BN: Tensor,
    boxes_BN4: Tensor,
    targets: Sequence[Mapping[str, Tensor]],
    sizes: Sequence[tuple[int, int]],
) -> None:
    """Set the labels of background boxes that lie mostly in crowd regions to -1, in place.

    Args:
        labels_BN: int64; 0 is the background.
        boxes_BN4: x0, y0, x1, y1 in px of the resized pictures; (1, N, 4) if they are the same in all.
        targets: Of each picture; those without `CROWD_AREA` are left as they are.
        sizes: Each picture's height and width after resizing, px.
    """
    boxes_BN4 = boxes_BN4.expand(len(targets), -1, -1)
    for labels_N, boxes_N4, target, size in zip(labels_BN, boxes_BN4, targets, sizes, strict=True):
        if CROWD_AREA in target:
            shares_N = crowd_shares(target[CROWD_AREA], boxes_N4, size)
            labels_N.masked_fill_((labels_N == 0) & (shares_N > _MOSTLY), -1)


def crowd_shares(summed: Tensor, boxes_N4: Tensor, size_px: tuple[int, int]) -> Tensor:
    """Return float32 (N,), 0..1: the share of each box that lies in crowd regions.

    A box is taken in whole px and inside the picture.

    Args:
        summed: What `sum_crowds` returns, of the picture before it was resized.
        boxes_N4: float32, x0, y0, x1, y1 in px of the resized picture.
        size_px: Its height and width.
    """
    height_px, width_px = (side - 1 for side in summed.shape)
    down, across = height_px / size_px[0], width_px / size_px[1]
    x0, y0 = (boxes_N4[:, 0] * across).floor(), (boxes_N4[:, 1] * down).floor()
    x1, y1 = (boxes_N4[:, 2] * across).ceil(), (boxes_N4[:, 3] * down).ceil()
    (x0, x1), (y0, y1) = (
        (low.clamp(0, side).long(), high.clamp(0, side).long())
        for low, high, side in ((x0, x1, width_px), (y0, y1, height_px))
    )
    inside = summed[y1, x1] - summed[y0, x1] - summed[y1, x0] + summed[y0, x0]
    return inside / ((x1 - x0) * (y1 - y0)).clamp(min=1)
