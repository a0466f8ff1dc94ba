"""The features of what a model found in a picture, each with its row."""

from __future__ import annotations

from typing import Final

import numpy as np

from monitoring.features.answered_picture import AnsweredPicture
from monitoring.features.feature import COUNT_OF, ClassFeature, Feature

LOW_SCORE: Final = 0.5


def num_detections(seen: AnsweredPicture) -> float:
    """Return the number of detections."""
    return float(len(seen.detections))


def num_detections_of_class(seen: AnsweredPicture, class_index: int) -> float:
    """Return the number of detections of one class."""
    return float((seen.detections.class_indices == class_index).sum())


def mean_score(seen: AnsweredPicture) -> float:
    """Return the mean score, 0..1."""
    return float(seen.detections.scores.mean(dtype=np.float64))


def max_score(seen: AnsweredPicture) -> float:
    """Return the highest score, 0..1."""
    return float(seen.detections.scores.max())


def low_score_share(seen: AnsweredPicture) -> float:
    """Return the share of detections with a score below 0.5, 0..1."""
    return float((seen.detections.scores < LOW_SCORE).mean())


def mean_relative_area(seen: AnsweredPicture) -> float:
    """Return the mean of mask area over picture area, 0..1."""
    return float(seen.mask_areas_px.mean()) / (seen.detections.height_px * seen.detections.width_px)


def mean_fill(seen: AnsweredPicture) -> float:
    """Return the mean of mask area over box area, 0..1."""
    return float(np.minimum(seen.mask_areas_px / seen.box_sides_px.prod(axis=1), 1.0).mean())


def mean_aspect(seen: AnsweredPicture) -> float:
    """Return the mean of the box's longer over its shorter side, at least 1."""
    return float((seen.box_sides_px.max(axis=1) / seen.box_sides_px.min(axis=1)).mean())


ANSWER_FEATURES: Final = (
    Feature(
        "count",
        "detections",
        "answer",
        unit="instances",
        falls="fewer objects are found",
        rises="more objects are found",
        measure=num_detections,
        lower="shows fewer objects",
        higher="shows more objects",
    ),
    Feature(
        "mean_score",
        "confidence",
        "detections",
        unit="",
        falls="the model is less sure",
        rises="the model is surer",
        measure=mean_score,
        lower="leaves the model less sure",
        higher="leaves the model surer",
    ),
    Feature(
        "max_score",
        "confidence",
        "detections",
        unit="",
        falls="the model is less sure of its best find",
        rises="the model is surer of its best find",
        measure=max_score,
        lower="leaves the model less sure of its best find",
        higher="leaves the model surer of its best find",
    ),
    Feature(
        "low_score_share",
        "confidence",
        "detections",
        unit="",
        falls="fewer finds are doubtful",
        rises="more finds are doubtful",
        measure=low_score_share,
        lower="has fewer doubtful finds",
        higher="has more doubtful finds",
    ),
    Feature(
        "mean_relative_area",
        "shape",
        "detections",
        unit="",
        falls="the objects are smaller",
        rises="the objects are larger",
        measure=mean_relative_area,
        lower="shows smaller objects",
        higher="shows larger objects",
    ),
    Feature(
        "mean_fill",
        "shape",
        "detections",
        unit="",
        falls="the objects fill less of their boxes",
        rises="the objects fill more of their boxes",
        measure=mean_fill,
        lower="shows objects that fill less of their boxes",
        higher="shows objects that fill more of their boxes",
    ),
    Feature(
        "mean_aspect",
        "shape",
        "detections",
        unit="",
        falls="the objects are less elongated",
        rises="the objects are more elongated",
        measure=mean_aspect,
        lower="shows less elongated objects",
        higher="shows more elongated objects",
    ),
)

CLASS_FEATURES: Final = (
    ClassFeature(
        COUNT_OF,
        "detections",
        "answer",
        unit="instances",
        falls="fewer of class {} are found",
        rises="more of class {} are found",
        measure=num_detections_of_class,
        lower="shows fewer of class {}",
        higher="shows more of class {}",
    ),
)
