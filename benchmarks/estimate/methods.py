"""Ways to estimate a class's mask IoU without labels, each fitted on held-out pictures alone.

- ``score``: the confidence-based estimate of NannyML (CBPE), for instances: the mean IoU of each bin of
  scores, and
  the number of objects from the share of each bin that is matched, with those that no score betrays on top.
- ``views``: the Cumulative Consensus Score for masks: the IoU falls as the agreement of two views does.
- ``confidence``: the difference of confidences (D. Guillory et al., Predicting with Confidence on Unseen
  Distributions, 2021): the IoU falls by what the mean score falls.
- ``shifts``: the product's, `monitoring.quality`.

Shape suffixes: C classes, B bins of score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.estimate.pictures import Answered
from evaluation.average_precision import measure_average_precision
from evaluation.instances import ScoreThreshold
from evaluation.iou import measure_mask_iou
from evaluation.matching import match_picture
from monitoring.quality.lessons import ShiftedPictures
from monitoring.quality.signs import Signs, join_signs, read_signs

NUM_BINS: Final = 10
Figures = NDArray[np.float64]
"""float64 (C,), NaN where unknown."""


def true_figures(
    answered: Sequence[Answered], names: Sequence[str], threshold: ScoreThreshold
) -> Mapping[str, Figures]:
    """Return what labels say, by metric."""
    truths = [replace(one.truth, picture_id=f"{number:06d}") for number, one in enumerate(answered)]
    found = {truth.picture_id: one.views[0] for truth, one in zip(truths, answered, strict=True)}
    iou = measure_mask_iou(found, truths, class_names=names, score_threshold=threshold)
    ap = measure_average_precision(found, truths, class_names=names, kind="segm")
    return {"mask_iou": iou.class_iou(), "mask_ap": ap.class_ap()}


def signs_of(answered: Sequence[Answered], num_classes: int, threshold: ScoreThreshold) -> Signs:
    """Return the signs of pictures."""
    return join_signs(
        [
            read_signs(
                one.views,
                one.seen,
                num_classes=num_classes,
                score_threshold=threshold,
                embedding_length=len(one.seen.embedding or ()),
            )
            for one in answered
        ]
    )


def as_lesson(
    kind: str, answered: Sequence[Answered], num_classes: int, threshold: ScoreThreshold
) -> ShiftedPictures:
    """Return pictures under a shift as the product learns from them."""
    signs = signs_of(answered, num_classes, threshold)
    return ShiftedPictures(kind, signs, [one.views[0] for one in answered], [one.truth for one in answered])


class ByScore:
    """``score``, fitted on unshifted pictures."""

    def __init__(self, answered: Sequence[Answered], num_classes: int, threshold: ScoreThreshold) -> None:
        self._threshold, self._num_classes = threshold, num_classes
        shape = num_classes, NUM_BINS
        num, matched, iou = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        num_true, num_found = np.zeros(num_classes), np.zeros(num_classes)
        for one in answered:
            found = one.views[0]
            places = found.class_indices, _bins(found.scores)
            np.add.at(num, places, 1.0)
            match = match_picture(found, one.truth, num_classes=num_classes, score_threshold=0.0)
            used = match.detection_of_truth >= 0
            owners = match.detection_of_truth[used]
            own = found.class_indices[owners], _bins(found.scores[owners])
            np.add.at(matched, own, 1.0)
            np.add.at(iou, own, match.truth_iou[used])
            num_true += np.bincount(one.truth.class_indices, minlength=num_classes)
            num_found += np.bincount(one.truth.class_indices[used], minlength=num_classes)
        self._match_share = matched / np.maximum(num, 1.0)
        self._mean_iou = iou / np.maximum(num, 1.0)
        self._recall = num_found / np.maximum(num_true, 1.0)

    def estimate(self, answered: Sequence[Answered]) -> Figures:
        iou, num_true = np.zeros(self._num_classes), np.zeros(self._num_classes)
        for one in answered:
            found = one.views[0]
            share = self._match_share[found.class_indices, _bins(found.scores)]
            np.add.at(num_true, found.class_indices, share)
            sure = found.select(found.reach(self._threshold))
            np.add.at(iou, sure.class_indices, self._mean_iou[sure.class_indices, _bins(sure.scores)])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.clip(iou * self._recall / num_true, 0.0, 1.0)


def by_views(reference: Signs, window: Signs, known: Figures) -> Figures:
    """Return what the agreement of two views tells."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(known * _agreement(window) / _agreement(reference), 0.0, 1.0)


def by_confidence(reference: Signs, window: Signs, known: Figures) -> Figures:
    """Return what the fall of mean scores tells."""
    return np.clip(known - _mean_score(reference) + _mean_score(window), 0.0, 1.0)


def _agreement(signs: Signs) -> Figures:
    counts = signs.counts.sum(axis=0) + signs.counts_in_view.sum(axis=0)
    agreement: Figures = 2.0 * signs.agreements.sum(axis=0) / np.maximum(counts, 1.0)
    return agreement


def _mean_score(signs: Signs) -> Figures:
    score: Figures = signs.score_sums.sum(axis=0) / np.maximum(signs.counts.sum(axis=0), 1.0)
    return score


def _bins(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.minimum(scores * NUM_BINS, NUM_BINS - 1).astype(np.int64)
