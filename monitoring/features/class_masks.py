"""The features of a class's masks, each with its row: means over the instances of the class in a picture.

A picture that shows none of the class has none of them, and is not missed.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitoring.features.answered_picture import AnsweredPicture
from monitoring.features.feature import ClassFeature


def score_of_class(seen: AnsweredPicture, class_index: int) -> float | None:
    """Return the mean score, 0..1."""
    return _mean(seen, class_index, seen.detections.scores)


def area_of_class(seen: AnsweredPicture, class_index: int) -> float | None:
    """Return the mean of mask area over picture area, 0..1."""
    mean = _mean(seen, class_index, seen.mask_areas_px)
    return None if mean is None else mean / (seen.detections.height_px * seen.detections.width_px)


def fill_of_class(seen: AnsweredPicture, class_index: int) -> float | None:
    """Return the mean of mask area over the area of the detected box, 0..1."""
    fills = np.minimum(seen.mask_areas_px / seen.box_sides_px.prod(axis=1), 1.0)
    return _mean(seen, class_index, fills)


def complexity_of_class(seen: AnsweredPicture, class_index: int) -> float | None:
    """Return the mean of perimeter² / (4 π area), see `MaskShapes`."""
    return _mean(seen, class_index, seen.mask_shapes.complexity)


def fragments_of_class(seen: AnsweredPicture, class_index: int) -> float | None:
    """Return the mean number of connected parts of a mask."""
    return _mean(seen, class_index, seen.mask_shapes.num_fragments)


def holes_of_class(seen: AnsweredPicture, class_index: int) -> float | None:
    """Return the mean number of holes in a mask."""
    return _mean(seen, class_index, seen.mask_shapes.num_holes)


def overlap_of_class(seen: AnsweredPicture, class_index: int) -> float | None:
    """Return the mean of the largest overlap with any other instance, of whatever class, 0..1."""
    return _mean(seen, class_index, seen.mask_overlaps)


def border_share_of_class(seen: AnsweredPicture, class_index: int) -> float | None:
    """Return the share of instances whose mask reaches the picture's edge, 0..1."""
    return _mean(seen, class_index, seen.mask_shapes.touches_border)


def _mean(seen: AnsweredPicture, class_index: int, values_N: NDArray[np.generic]) -> float | None:
    of_class = values_N[seen.detections.class_indices == class_index]
    return float(of_class.mean(dtype=np.float64)) if of_class.size else None


MASK_FEATURES: Final = (
    ClassFeature(
        "score of ",
        "confidence",
        "instances",
        unit="",
        falls="the model is less sure of class {}",
        rises="the model is surer of class {}",
        measure=score_of_class,
        lower="leaves the model less sure of class {}",
        higher="leaves the model surer of class {}",
    ),
    ClassFeature(
        "area of ",
        "shape",
        "instances",
        unit="",
        falls="masks of class {} are smaller",
        rises="masks of class {} are larger",
        measure=area_of_class,
        lower="shows smaller masks of class {}",
        higher="shows larger masks of class {}",
    ),
    ClassFeature(
        "fill of ",
        "shape",
        "instances",
        unit="",
        falls="masks of class {} fill less of their boxes",
        rises="masks of class {} fill more of their boxes",
        measure=fill_of_class,
        lower="shows masks of class {} that fill less of their boxes",
        higher="shows masks of class {} that fill more of their boxes",
    ),
    ClassFeature(
        "complexity of ",
        "shape",
        "instances",
        unit="",
        falls="outlines of class {} are smoother",
        rises="outlines of class {} are more ragged",
        measure=complexity_of_class,
        lower="shows smoother outlines of class {}",
        higher="shows more ragged outlines of class {}",
    ),
    ClassFeature(
        "fragments of ",
        "shape",
        "instances",
        unit="parts",
        falls="masks of class {} are in fewer parts",
        rises="masks of class {} are in more parts",
        measure=fragments_of_class,
        lower="shows masks of class {} in fewer parts",
        higher="shows masks of class {} in more parts",
    ),
    ClassFeature(
        "holes of ",
        "shape",
        "instances",
        unit="holes",
        falls="masks of class {} have fewer holes",
        rises="masks of class {} have more holes",
        measure=holes_of_class,
        lower="shows masks of class {} with fewer holes",
        higher="shows masks of class {} with more holes",
    ),
    ClassFeature(
        "overlap of ",
        "shape",
        "instances",
        unit="",
        falls="masks of class {} overlap their neighbours less",
        rises="masks of class {} overlap their neighbours more",
        measure=overlap_of_class,
        lower="shows masks of class {} that overlap their neighbours less",
        higher="shows masks of class {} that overlap their neighbours more",
    ),
    ClassFeature(
        "border share of ",
        "shape",
        "instances",
        unit="",
        falls="fewer of class {} reach the picture's edge",
        rises="more of class {} reach the picture's edge",
        measure=border_share_of_class,
        lower="shows fewer of class {} at its edge",
        higher="shows more of class {} at its edge",
    ),
)
