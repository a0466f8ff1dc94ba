"""Outlines as labelling tools really write them, made into one checked mask.

What is harmless is put right and told: a polygon without the list around it, a stray point beside a sound
outline, an outline that runs a little beyond the picture's edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataset.label_json import unfolded
from dataset.problems import DataProblem
from maskloop.errors import MaskError
from maskloop.masks import Rle, areas_px, rle_from_coco

ROUNDING_PX: Final = 2.0
"""Distance by which an outline may leave its picture without a warning: rounding."""
_LEAST_SHARE_INSIDE: Final = 0.5
_NUM_OF_A_TRIANGLE: Final = 6
_BAD_MASK_HINT: Final = "draw the object again in the labelling tool, or remove the annotation"


class UnusableMaskError(MaskError):
    """Why an annotation has no mask that could be used.

    Attributes:
        code: Short and stable, for programs.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


def read_mask(
    segmentation: Any, height_px: int, width_px: int, *, stretch_xy: tuple[float, float] = (1.0, 1.0)
) -> tuple[Rle, tuple[DataProblem, ...]]:
    """Read one COCO segmentation, whatever it is.

    Args:
        segmentation: Polygons, one flat polygon, or an RLE; anything else is refused.
        height_px: The picture's height.
        width_px: The picture's width.
        stretch_xy: What the x and y of outlines are multiplied with before they are read.

    Returns:
        The mask, which covers at least one pixel, and what was put right; the place is left empty.

    Raises:
        UnusableMaskError: if there is no mask, or none that native code should see; if most of the outline
            lies outside the picture; if it covers no pixel.
    """
    segmentation = unfolded(segmentation)
    if not segmentation:
        hint = "draw the object's outline, or remove the annotation; boxes and points alone are no masks"
        raise UnusableMaskError("no-mask", "the annotation has no mask", hint)
    remarks: list[DataProblem] = []
    if isinstance(segmentation, list):
        segmentation = [_stretched(part, stretch_xy) for part in _sound_parts(segmentation, remarks)]
    try:
        mask = rle_from_coco(segmentation, height_px, width_px)
    except MaskError as error:
        raise UnusableMaskError("bad-mask", error.headline, error.hint or _BAD_MASK_HINT) from error
    if isinstance(segmentation, list):
        remarks += _beyond_the_edge(segmentation, height_px, width_px)
    if areas_px([mask])[0] == 0:
        hint = "it is smaller than a pixel: draw it larger, or remove the annotation"
        raise UnusableMaskError("empty-mask", "the mask covers no pixel", hint)
    return mask, tuple(remarks)


def share_inside(polygons: Sequence[Sequence[float]], height_px: int, width_px: int) -> float:
    """Return which share of the polygons' area, 0..1, lies inside the picture.

    >>> share_inside([[0, 0, 4, 0, 4, 2, 0, 2]], 10, 3)
    0.75
    """
    outlines = [np.asarray(polygon, dtype=np.float64).reshape(-1, 2) for polygon in polygons]
    total = sum(map(_area_px2, outlines))
    inside = sum(_area_px2(_clipped(outline, height_px, width_px)) for outline in outlines)
    return inside / total if total else 1.0


def _sound_parts(parts: list[Any], remarks: list[DataProblem]) -> list[Any]:
    if _are_numbers(parts) and len(parts) >= _NUM_OF_A_TRIANGLE and len(parts) % 2 == 0:
        message = "the outline lacks the list around it; it was read as one polygon"
        remarks.append(DataProblem("info", "flat-outline", "", message))
        return [parts]
    sound = [part for part in parts if not _is_degenerate(part)]
    if not sound or len(sound) == len(parts):
        return parts
    message = "a stray point or line beside an object's outline covers nothing; it was dropped"
    remarks.append(
        DataProblem("warning", "stray-part", "", message, "look whether a part of the object is lost")
    )
    return sound


def _is_degenerate(part: Any) -> bool:
    """Tell whether a part is a point or a line: pairs of numbers, but fewer than three."""
    return (
        isinstance(part, list)
        and len(part) < _NUM_OF_A_TRIANGLE
        and len(part) % 2 == 0
        and _are_numbers(part)
    )


def _are_numbers(values: list[Any]) -> bool:
    return all(type(value) in (int, float) for value in values)


def _stretched(part: Any, stretch_xy: tuple[float, float]) -> Any:
    if stretch_xy == (1.0, 1.0) or not isinstance(part, list) or not _are_numbers(part):
        return part
    return [value * stretch_xy[place % 2] for place, value in enumerate(part)]


def _beyond_the_edge(polygons: list[list[float]], height_px: int, width_px: int) -> list[DataProblem]:
    reach_px = max(_reach_px(polygon, height_px, width_px) for polygon in polygons)
    if reach_px <= ROUNDING_PX:
        return []
    share = share_inside(polygons, height_px, width_px)
    if share < _LEAST_SHARE_INSIDE:
        raise UnusableMaskError(
            "mask-outside-picture",
            f"{1 - share:.0%} of the mask lies outside its picture of {width_px} x {height_px} px",
            "export again with the pictures that were labelled: this one was scaled, cut or turned since",
        )
    message = f"an outline runs {reach_px:.0f} px beyond the picture's edge; it was cut off there"
    hint = f"{1 - share:.0%} of its area went; look whether the mask fits the object"
    return [DataProblem("warning", "mask-clipped", "", message, hint)]


def _reach_px(polygon: Sequence[float], height_px: int, width_px: int) -> float:
    xs, ys = polygon[0::2], polygon[1::2]
    return max(-min(xs), max(xs) - width_px, -min(ys), max(ys) - height_px)


def _area_px2(outline_N2: NDArray[np.float64]) -> float:
    """Return a polygon's area by the shoelace formula."""
    if len(outline_N2) < 3:
        return 0.0
    x, y = outline_N2[:, 0], outline_N2[:, 1]
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _clipped(outline_N2: NDArray[np.float64], height_px: int, width_px: int) -> NDArray[np.float64]:
    """Cut a polygon at the picture's four edges (Sutherland and Hodgman, 1974)."""
    for axis, limit, sign in ((0, 0.0, 1.0), (0, width_px, -1.0), (1, 0.0, 1.0), (1, height_px, -1.0)):
        kept: list[NDArray[np.float64]] = []
        depths = sign * (outline_N2[:, axis] - limit)
        for here, there, depth, next_depth in zip(
            outline_N2, np.roll(outline_N2, -1, axis=0), depths, np.roll(depths, -1), strict=True
        ):
            if depth >= 0:
                kept.append(here)
            if (depth >= 0) != (next_depth >= 0):
                kept.append(here + (there - here) * (depth / (depth - next_depth)))
        outline_N2 = np.array(kept).reshape(-1, 2)
    return outline_N2
