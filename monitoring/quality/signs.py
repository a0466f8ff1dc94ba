"""What an answered picture shows of how good its answer is, without labels.

The agreement of two views is the idea of A. Manoharan, X. Yin, D. Helm and C.-H. Cheng, Cumulative
Consensus Score (2025), with masks in place of boxes. Y. Yang et al., Bounding Box Stability against Feature
Dropout Reflects Detector Generalization across Environments (2024), compare boxes under dropout. What a
model finds again in a view that should change nothing is mostly right.

Shape suffixes: P pictures, C classes, E embedding values, N and M detections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections, ScoreThreshold
from evaluation.matching import assign
from maskloop.masks import areas_px, mask_iou
from monitoring.features.observation import Observed
from monitoring.features.pictures import PICTURE_FEATURES

SHARPNESS: Final = next(one for one in PICTURE_FEATURES if one.name == "sharpness")
"""The one feature of the picture alone that is read: masks of blurred pictures swell, and both views agree
on it."""


@dataclass(frozen=True, eq=False)
class Signs:
    """What P answered pictures show. Everything is a sum, so that windows are sums of pictures.

    Attributes:
        counts: float64 (P, C), detections at or above the model's threshold.
        score_sums: float64 (P, C), their scores.
        agreements: float64 (P, C), the mask IoU of each with what the other view shows in its place.
        counts_in_view: float64 (P, C), detections in the other view.
        soft_counts: float64 (P, C), the scores of all detections, however low.
        area_sums: float64 (P, C), mask area over picture area of the detections in ``counts``.
        sharpness: float64 (P,), the feature of that name; NaN where it does not exist.
        embeddings: float32 (P, E); NaN in a row without one.
    """

    counts: NDArray[np.float64]
    score_sums: NDArray[np.float64]
    agreements: NDArray[np.float64]
    counts_in_view: NDArray[np.float64]
    soft_counts: NDArray[np.float64]
    area_sums: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    embeddings: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.counts)

    def take(self, rows: NDArray[np.int64]) -> Signs:
        """Return the signs of some pictures, int64 (K,), in that order, with repetitions."""
        return replace(self, **{one.name: getattr(self, one.name)[rows] for one in fields(self)})


def read_signs(
    views: Sequence[Detections],
    seen: Observed,
    *,
    num_classes: int,
    score_threshold: ScoreThreshold,
    embedding_length: int,
) -> Signs:
    """Return the signs of one picture.

    Args:
        views: What was found in the picture, and in one view of it, in the picture's coordinates, with low
            scores too.
        seen: Its features and embedding.
        num_classes: Class indices are below it.
        score_threshold: The model's own.
        embedding_length: E; an embedding of another length counts as none.

    Raises:
        ValueError: unless there are two views.
    """
    if len(views) != 2:
        raise ValueError(f"signs need a picture and one view of it, not {len(views)} answers")
    first, second = (view.select(view.reach(score_threshold)) for view in views)
    count = np.bincount(first.class_indices, minlength=num_classes)
    embedding = np.full(embedding_length, np.nan, np.float32)
    if seen.embedding is not None and len(seen.embedding) == embedding_length:
        embedding[:] = seen.embedding
    sharpness = seen.features.get(SHARPNESS.name)
    return Signs(
        count[np.newaxis].astype(np.float64),
        _sum_of_class(first.class_indices, first.scores, num_classes),
        _agreement(first, second, num_classes),
        np.bincount(second.class_indices, minlength=num_classes)[np.newaxis].astype(np.float64),
        _sum_of_class(views[0].class_indices, views[0].scores, num_classes),
        _sum_of_class(
            first.class_indices, areas_px(first.masks) / (first.height_px * first.width_px), num_classes
        ),
        np.array([np.nan if sharpness is None else sharpness], np.float64),
        embedding[np.newaxis],
    )


def no_signs(num_classes: int, embedding_length: int) -> Signs:
    """Return the signs of no picture at all."""
    none = np.zeros((0, num_classes))
    no_embeddings = np.zeros((0, embedding_length), np.float32)
    return Signs(none, none, none, none, none, none, np.zeros(0), no_embeddings)


def join_signs(parts: Sequence[Signs]) -> Signs:
    """Return the signs of all pictures together. Raises ValueError for none."""
    if not parts:
        raise ValueError("no picture was looked at")
    return Signs(*(np.concatenate([getattr(one, each.name) for one in parts]) for each in fields(Signs)))


def _sum_of_class(
    class_indices: NDArray[np.int64], values: NDArray[Any], num_classes: int
) -> NDArray[np.float64]:
    total = np.bincount(class_indices, values.astype(np.float64), minlength=num_classes)
    return total[np.newaxis].astype(np.float64)


def _agreement(first: Detections, second: Detections, num_classes: int) -> NDArray[np.float64]:
    """Return the summed mask IoU of the best one-to-one assignment within each class, (1, C)."""
    total = np.zeros((1, num_classes))
    for index in np.intersect1d(first.class_indices, second.class_indices).tolist():
        ours, theirs = (np.flatnonzero(one.class_indices == index) for one in (first, second))
        iou_NM = mask_iou([first.masks[at] for at in ours], [second.masks[at] for at in theirs])
        total[0, index] = iou_NM[assign(iou_NM)].sum()
    return total
