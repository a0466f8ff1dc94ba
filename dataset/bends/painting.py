"""Polygons painted as tools mean them: contours with their outline, inner polygons as holes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataset.formats.filled_shapes import fill_closed, trace_closed
from dataset.label_json import unfolded
from maskloop.masks import Rle, areas_px, crop_mask, mask_iou, place_mask, rle_from_coco

_NUM_OF_A_TRIANGLE: Final = 6


def read_polygons(segmentation: Any) -> list[NDArray[np.float64]]:
    """Return the polygons of a COCO segmentation as x, y in px, float64 (N, 2) each; none for an RLE.

    Points and lines beside them are left out, as they are when the mask is read.
    """
    segmentation = unfolded(segmentation)
    if not isinstance(segmentation, list) or not segmentation:
        return []
    parts = segmentation if isinstance(segmentation[0], list) else [segmentation]
    sound = [part for part in parts if isinstance(part, list) and len(part) >= _NUM_OF_A_TRIANGLE]
    return [np.asarray(part, dtype=np.float64).reshape(-1, 2) for part in sound]


def paint_inclusively(polygons: Sequence[NDArray[np.float64]], *, height_px: int, width_px: int) -> Rle:
    """Paint contours whose points are pixel centres; the inverse of tracing a mask's contours.

    The pixels of an outline belong to the object. A polygon whose outline lies wholly on what larger ones
    painted is the contour of a hole, drawn on the object's pixels around it: what it encloses is removed.

    Args:
        polygons: x, y, float64 (N, 2) each.
        height_px: Of the picture; what lies outside is cut off.
        width_px: The same.
    """
    outlines = [trace_closed(polygon) for polygon in polygons]
    left, top = np.min([outline.min(axis=0) for outline in outlines], axis=0)
    right, bottom = np.max([outline.max(axis=0) for outline in outlines], axis=0) + 1
    canvas = np.zeros((bottom - top, right - left), dtype=bool)
    for number in _largest_first(polygons, outlines):
        x, y = outlines[number][:, 0] - left, outlines[number][:, 1] - top
        is_hole = canvas[y, x].all()
        inner_left, inner_top, filled = fill_closed(polygons[number])
        x0, y0 = inner_left - left, inner_top - top
        window = canvas[y0 : y0 + filled.shape[0], x0 : x0 + filled.shape[1]]
        if is_hole:
            filled[y - y0, x - x0] = False
        window[:] = window & ~filled if is_hole else window | filled
    return _placed(canvas, left, top, height_px, width_px)


def rasterise(polygons: Sequence[NDArray[np.float64]], height_px: int, width_px: int) -> tuple[Rle, ...]:
    """Return the mask of each polygon alone, as COCO paints it. Polygons are x, y, float64 (N, 2)."""
    return tuple(rle_from_coco([polygon.ravel().tolist()], height_px, width_px) for polygon in polygons)


def measure_depths(masks: Sequence[Rle]) -> tuple[int, ...]:
    """Return how many larger masks of the same annotation each mask lies wholly inside.

    Odd numbers are holes. A mask without a pixel is inside none; equal masks are not inside each other.
    """
    areas = areas_px(masks)
    shares_inside = mask_iou(masks, masks, [True] * len(masks))
    is_inside = (shares_inside >= 1.0) & (areas[:, None] < areas[None, :]) & (areas[:, None] > 0)
    return tuple(is_inside.sum(axis=1).tolist())


def are_boxes_nested(polygons: Sequence[NDArray[np.float64]]) -> bool:
    """Say whether the box of any polygon lies in that of another: a quick look before masks are compared.

    Polygons are x, y, float64 (N, 2) each.
    """
    if len(polygons) < 2:
        return False
    low = np.array([polygon.min(axis=0) for polygon in polygons])
    high = np.array([polygon.max(axis=0) for polygon in polygons])
    is_inside = (low[:, None] >= low[None, :]).all(axis=2) & (high[:, None] <= high[None, :]).all(axis=2)
    return bool(is_inside.sum() > len(polygons))


def paint_with_holes(polygons: Sequence[NDArray[np.float64]], height_px: int, width_px: int) -> Rle:
    """Paint polygons of pixel edges: one inside another is a hole, one inside a hole is none.

    Args:
        polygons: x, y, float64 (N, 2) each.
        height_px: Of the picture.
        width_px: The same.
    """
    masks = rasterise(polygons, height_px, width_px)
    depths = measure_depths(masks)
    canvas = np.zeros((height_px, width_px), dtype=bool)
    for depth, mask in sorted(zip(depths, masks, strict=True), key=lambda one: one[0]):
        left, top, pixels = crop_mask(mask)
        window = canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]]
        window[:] = window & ~pixels if depth % 2 else window | pixels
    return place_mask(canvas, left_px=0, top_px=0, height_px=height_px, width_px=width_px)


def _largest_first(
    polygons: Sequence[NDArray[np.float64]], outlines: Sequence[NDArray[np.int64]]
) -> list[int]:
    """Sort by the area of the box around each, then by the area inside; repeated outlines are left out.

    A hole that is one pixel wide may have the outline of its object, but is traced the other way round.
    """
    once: dict[tuple[bytes, bool], tuple[int, float, int]] = {}
    for number, (polygon, outline) in enumerate(zip(polygons, outlines, strict=True)):
        area = _signed_area_px2(polygon)
        pixels = np.unique(outline, axis=0).tobytes()
        box = int(np.prod(np.ptp(outline, axis=0) + 1))
        once.setdefault((pixels, area < 0), (-box, -abs(area), number))
    return [number for *_, number in sorted(once.values())]


def _signed_area_px2(polygon_N2: NDArray[np.float64]) -> float:
    x, y = polygon_N2[:, 0], polygon_N2[:, 1]
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _placed(canvas: NDArray[np.bool_], left: int, top: int, height_px: int, width_px: int) -> Rle:
    inside = canvas[max(0, -top) : height_px - top, max(0, -left) : width_px - left]
    return place_mask(
        inside, left_px=max(0, left), top_px=max(0, top), height_px=height_px, width_px=width_px
    )
