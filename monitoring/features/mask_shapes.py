"""The shapes of masks, each read from a crop of its own box; a large mask from every k-th pixel of it.

Perimeters are Crofton's: crossings of the outline with lines in four directions (D. Legland, K. Kiêu and
M.-F. Devaux, Computation of Minkowski measures on 2D and 3D binary images, Image Analysis & Stereology 26,
2007), so that a turned object keeps its perimeter. Euler numbers come from the same 2 x 2 neighbourhoods
(S. B. Gray, Local properties of binary images in two dimensions, IEEE Transactions on Computers C-20, 1971).
Pixels that touch at a corner belong together; background that touches at a corner alone does not.

Shape suffixes: N masks, h and w a crop in px.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskloop.masks import Rle, areas_px, boxes_xyxy, crop_mask, mask_iou

MAX_CROP_SIDE_PX: Final = 128
"""The masks of a Mask R-CNN are 28 x 28 before they are enlarged: more pixels tell nothing more."""
_CODES: Final = np.arange(16)
_TOP_LEFT, _TOP_RIGHT, _LEFT, _RIGHT = (_CODES >> bit & 1 for bit in range(4))
_AXIS_CROSSINGS: Final = (
    (_TOP_LEFT != _TOP_RIGHT).astype(float)
    + (_LEFT != _RIGHT)
    + (_TOP_LEFT != _LEFT)
    + (_TOP_RIGHT != _RIGHT)
) / 2.0
"""Each pair of neighbours in a row or column lies in two neighbourhoods, each diagonal pair in one."""
_DIAGONAL_CROSSINGS: Final = (_TOP_LEFT != _RIGHT).astype(float) + (_TOP_RIGHT != _LEFT)
_NUM_SET: Final = _TOP_LEFT + _TOP_RIGHT + _LEFT + _RIGHT
_EULER: Final = ((_NUM_SET == 1) * 1.0 - (_NUM_SET == 3) - 2.0 * ((_CODES == 6) | (_CODES == 9))) / 4.0


@dataclass(frozen=True, eq=False)
class MaskShapes:
    """What the outlines of N masks are like; an empty mask has 0 everywhere.

    Attributes:
        complexity: float64 (N,), perimeter² / (4 π area): 1 for a disk, 1.15 for a square, more for ragged
            ones; down to 0.57 for single pixels, whose perimeter is hardly defined.
        num_fragments: float64 (N,), connected parts.
        num_holes: float64 (N,), parts of the background inside.
        touches_border: bool (N,), whether it reaches the picture's edge.
    """

    complexity: NDArray[np.float64]
    num_fragments: NDArray[np.float64]
    num_holes: NDArray[np.float64]
    touches_border: NDArray[np.bool_]


def measure_shapes(masks: Sequence[Rle]) -> MaskShapes:
    """Measure the masks of one picture."""
    rows = np.array([_measure(crop_mask(mask)[2]) for mask in masks], np.float64).reshape(len(masks), 3)
    boxes = boxes_xyxy(masks)
    sizes = np.array([(mask.width_px, mask.height_px) for mask in masks]).reshape(len(masks), 2)
    is_empty = boxes[:, 2] <= boxes[:, 0]
    touches = (boxes[:, :2] <= 0).any(axis=1) | (boxes[:, 2:] >= sizes).any(axis=1)
    return MaskShapes(rows[:, 0], rows[:, 1], rows[:, 2], touches & ~is_empty)


def largest_overlaps(masks: Sequence[Rle]) -> NDArray[np.float64]:
    """Return how much of each mask, or of the other if that is smaller, a further mask covers at most.

    float64 (N,), 0..1: intersection over the smaller of two areas, the largest over all other masks of the
    picture. It is 1 for a part inside its whole, whatever their sizes.
    """
    if len(masks) < 2:
        return np.zeros(len(masks))
    iou_NN = mask_iou(masks, masks)
    np.fill_diagonal(iou_NN, 0.0)
    areas_N = areas_px(masks).astype(np.float64)
    union_NN = areas_N[:, np.newaxis] + areas_N
    smaller_NN = np.maximum(np.minimum(areas_N[:, np.newaxis], areas_N), 1.0)
    return np.asarray((iou_NN * union_NN / (1.0 + iou_NN) / smaller_NN).max(axis=1).clip(0.0, 1.0))


def _measure(mask_hw: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return complexity, fragments and holes of one crop."""
    from scipy.ndimage import label

    step = max(1, math.ceil(max(mask_hw.shape) / MAX_CROP_SIDE_PX))
    mask_hw = mask_hw[::step, ::step]
    area = float(mask_hw.sum())
    if not area:
        return 0.0, 0.0, 0.0
    framed = np.zeros((mask_hw.shape[0] + 2, mask_hw.shape[1] + 2), np.uint8)
    framed[1:-1, 1:-1] = mask_hw
    codes = framed[:-1, :-1] | framed[:-1, 1:] << 1 | framed[1:, :-1] << 2 | framed[1:, 1:] << 3
    counts = np.bincount(codes.ravel(), minlength=16)
    perimeter = math.pi / 8.0 * float(counts @ (_AXIS_CROSSINGS + _DIAGONAL_CROSSINGS / math.sqrt(2.0)))
    num_fragments = label(framed, structure=np.ones((3, 3)))[1]
    num_holes = num_fragments - round(float(counts @ _EULER))
    return perimeter**2 / (4.0 * math.pi * area), float(num_fragments), float(num_holes)
