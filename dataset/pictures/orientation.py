"""Boxes and masks, turned as a picture's EXIF orientation turns its pixels (`decoding.orient`)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.pictures.decoding import orient
from maskloop.masks import Rle, crop_mask, place_mask

_UNDONE_BY: Final = {6: 8, 8: 6}
_SIDEWAYS: Final = frozenset({5, 6, 7, 8})
_FLIPS_X: Final = frozenset({2, 3, 6, 7})
_FLIPS_Y: Final = frozenset({3, 4, 7, 8})


def undo(orientation: int) -> int:
    """Return the EXIF orientation that undoes another one; all but 6 and 8 undo themselves."""
    return _UNDONE_BY.get(orientation, orientation)


def is_sideways(orientation: int) -> bool:
    """Tell whether an EXIF orientation swaps width and height."""
    return orientation in _SIDEWAYS


def orient_size(height_px: int, width_px: int, orientation: int) -> tuple[int, int]:
    """Return height and width of a picture, px, after it is turned."""
    return (width_px, height_px) if orientation in _SIDEWAYS else (height_px, width_px)


def orient_boxes(
    boxes_xyxy: NDArray[np.float32], orientation: int, height_px: int, width_px: int
) -> NDArray[np.float32]:
    """Turn boxes, float32 (N, 4), that lie in a picture of that height and width."""
    boxes = boxes_xyxy[:, [1, 0, 3, 2]] if orientation in _SIDEWAYS else boxes_xyxy
    height, width = orient_size(height_px, width_px, orientation)
    if orientation in _FLIPS_X:
        boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
    if orientation in _FLIPS_Y:
        boxes = np.stack([boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]], axis=1)
    return boxes


def orient_mask(mask: Rle, orientation: int) -> Rle:
    """Turn a mask; only its tight box is ever decoded."""
    if orientation == 1:
        return mask
    left, top, pixels = crop_mask(mask)
    box = np.array([[left, top, left + pixels.shape[1], top + pixels.shape[0]]], np.float32)
    left, top, *_ = orient_boxes(box, orientation, mask.height_px, mask.width_px)[0].astype(int)
    height, width = orient_size(mask.height_px, mask.width_px, orientation)
    turned = orient(pixels, orientation).astype(bool)
    return place_mask(turned, left_px=left, top_px=top, height_px=height, width_px=width)
