"""Polygons painted as tools mean them: contours with their outline, inner polygons as holes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from maskloop.masks import Rle, areas_px, crop_mask, mask_iou, place_mask, rle_from_coco

_NUM_OF_A_TRIANGLE: Final = 6


def read_polygons(segmentation: Any) -> list[NDArray[np.float64]]:
    """Return the polygons of a COCO segmentation as x, y in px, float64 (N, 2) each; none for an RLE.

    Points and lines beside them are left out, as they are when the mask is read.
    """
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
    outlines = [_trace(polygon) for polygon in polygons]
    left, top = np.min([outline.min(axis=0) for outline in outlines], axis=0)
    right, bottom = np.max([outline.max(axis=0) for outline in outlines], axis=0) + 1
    canvas = np.zeros((bottom - top, right - left), dtype=bool)
    for outline in _largest_first(outlines):
        x, y = outline[:, 0] - left, outline[:, 1] - top
        is_hole = canvas[y, x].all()
        x0, y0, x1, y1 = x.min(), y.min(), x.max() + 1, y.max() + 1
        border = np.zeros((y1 - y0, x1 - x0), dtype=bool)
        border[y - y0, x - x0] = True
        enclosed = _enclosed(border)
        window = canvas[y0:y1, x0:x1]
        window[:] = window & ~enclosed if is_hole else window | enclosed | border
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
    """Say whether the box of any polygon lies in that of another: a quick look before masks are compared."""
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


def _trace(polygon_N2: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the pixels of a closed outline, int64 (M, 2), x and y: straight lines from point to point."""
    points = np.rint(polygon_N2).astype(np.int64)
    steps = np.diff(points, axis=0, append=points[:1])
    lengths = np.maximum(np.abs(steps).max(axis=1), 1)
    starts = np.cumsum(lengths) - lengths
    along = (np.arange(lengths.sum()) - np.repeat(starts, lengths)) / np.repeat(lengths, lengths)
    line = np.repeat(points, lengths, axis=0) + along[:, None] * np.repeat(steps, lengths, axis=0)
    pixels: NDArray[np.int64] = np.rint(line).astype(np.int64)
    return pixels


def _largest_first(outlines: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Sort by the area of the box around each, then by the area inside; repeated outlines are left out.

    A hole that is one pixel wide may have the outline of its object, but is traced the other way round.
    """
    once: dict[tuple[bytes, bool], tuple[int, float, NDArray[np.int64]]] = {}
    for outline in outlines:
        area = _signed_area_px2(outline)
        pixels = np.unique(outline, axis=0).tobytes()
        box = int(np.prod(np.ptp(outline, axis=0) + 1))
        once.setdefault((pixels, area < 0), (-box, -abs(area), outline))
    return [outline for *_, outline in sorted(once.values(), key=lambda one: one[:2])]


def _signed_area_px2(outline_N2: NDArray[np.int64]) -> float:
    x, y = outline_N2[:, 0], outline_N2[:, 1]
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _enclosed(border: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what no path of horizontal and vertical steps beside the border leads out of, bool (h, w)."""
    from scipy.ndimage import label  # 0.2 s of imports that no other command needs

    parts, _ = label(~np.pad(border, 1))
    return np.asarray((parts != parts[0, 0])[1:-1, 1:-1] & ~border)


def _placed(canvas: NDArray[np.bool_], left: int, top: int, height_px: int, width_px: int) -> Rle:
    inside = canvas[max(0, -top) : height_px - top, max(0, -left) : width_px - left]
    return place_mask(
        inside, left_px=max(0, left), top_px=max(0, top), height_px=height_px, width_px=width_px
    )
