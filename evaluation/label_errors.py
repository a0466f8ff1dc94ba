"""Which labels are probably wrong, and how, by the answers of a model; each suspicion has a score of 0 to 1.

The idea is that of ObjectLab (U. Tkachenko, A. Thyagarajan and J. Mueller, ObjectLab: Automated Diagnosis of
Mislabeled Images in Object Detection Data, 2023), which scores boxes as overlooked, badly located or swapped.
Here overlap is measured on masks, and there are three more kinds. With s the score of a detection, IoU its
overlap with a label, and a *share* the part of one mask that another covers:

- ``missing``, of a detection: ``s (1 - share of it that labels cover)``; 0 if its IoU with a label reaches
  0.1.
- ``spurious``, of a label: 1 minus its support, which is the largest s of a detection with an IoU of 0.1 or
  more, or the ``s share`` of the detection that covers most of it, or the sum of that over detections beside
  each other within it, whichever is largest.
- ``merged``, of a label: ``2 s share`` of the second largest of several detections of its class that lie
  beside each other within it, at most 1: two equal halves give s.
- ``split``, of labels: the same with the sides exchanged, times the detection's s.
- ``class``, of a label: ``s IoU`` with a detection of another class, from an IoU of 0.5, times ``1 - s IoU``
  with the best of its own class.
- ``border``, of a label: ``s (1 - IoU)`` with the best detection of its class, from an IoU of 0.1.

A model that finds every label exactly, with scores of 1, gives 0 everywhere.

Shape suffixes: N detections, M labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.findings import BACKGROUND_IOU
from evaluation.instances import Detections, GroundTruth
from evaluation.matching import TRUE_POSITIVE_IOU, check_same_picture, pair_pictures
from maskloop.masks import Rle, mask_iou

LabelErrorKind = Literal["missing", "spurious", "merged", "split", "class", "border"]
KINDS_OF_LABELS: Final[tuple[LabelErrorKind, ...]] = ("merged", "split", "class", "border", "spurious")
"""All that a label can be suspected of; where two scores are equal, the earlier kind is named."""
LABEL_ERROR_KINDS: Final[tuple[LabelErrorKind, ...]] = ("missing", *KINDS_OF_LABELS)
_WITHIN: Final = 0.75
"""Share of a mask that must lie within another for it to be a part of that."""
_BESIDE: Final = 0.3
"""Largest share of either that two masks beside each other have in common."""


@dataclass(frozen=True)
class LabelScores:
    """How suspicious the labels and detections of one picture are.

    Attributes:
        missing: float64 (N,), of each detection.
        of_labels: float64 (M,) of each kind of `KINDS_OF_LABELS`; 0 for crowd regions.
        detections: By kind, the detections behind the score of each label, M tuples.
        split_labels: The labels that each detection shows to be parts of one object, N tuples.
    """

    missing: NDArray[np.float64]
    of_labels: Mapping[LabelErrorKind, NDArray[np.float64]]
    detections: Mapping[LabelErrorKind, tuple[tuple[int, ...], ...]]
    split_labels: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class LabelError:
    """One suspicion about the labels of a picture.

    Attributes:
        kind: What is probably wrong.
        score: 0..1.
        picture_id: The picture's sha256.
        labels: Positions in its `GroundTruth`; none if a label is missing.
        detections: Positions in its `Detections`; none if nothing supports a label.
    """

    kind: LabelErrorKind
    score: float
    picture_id: str
    labels: tuple[int, ...]
    detections: tuple[int, ...]


def rank_label_errors(
    detections: Mapping[str, Detections],
    truths: Sequence[GroundTruth],
    *,
    num_classes: int,
    min_score: float = 0.5,
) -> tuple[LabelError, ...]:
    """Return the suspicions about all pictures, gravest first.

    A label is suspected of the kind with the largest score alone. Of detections of one missing label, that
    with the largest score is named.

    Args:
        detections: By picture id, of any score: those of 0.05 and more say what supports a label.
        truths: The pictures, in any order.
        num_classes: Class indices are below it.
        min_score: Suspicions below it are left out.

    Raises:
        ValueError: as `evaluation.matching.pair_pictures`.
    """
    found: list[LabelError] = []
    for answer, truth in pair_pictures(detections, truths, num_classes=num_classes):
        scores = score_labels(answer, truth, num_classes=num_classes)
        found += _missing_errors(scores, answer, truth.picture_id, min_score)
        found += _errors_of_labels(scores, truth.picture_id, min_score)
    return tuple(sorted(found, key=lambda one: (-one.score, one.picture_id, one.labels, one.detections)))


def score_labels(found: Detections, truth: GroundTruth, *, num_classes: int) -> LabelScores:
    """Score one picture's labels and detections; the formulas are at the head of the module.

    Raises:
        ValueError: if the two are not of one size, or a class index is not in ``0..num_classes - 1``.
    """
    check_same_picture(found, truth, num_classes=num_classes)
    sides = _measure(found, truth)
    parts, merged_M = _find_merged(sides, found)
    pieces, split_NM = _find_split(sides, truth)
    own_NM = np.where(sides.is_same, sides.scores * sides.iou, 0.0)
    is_other_NM = ~sides.is_same & (sides.iou >= TRUE_POSITIVE_IOU)
    other_NM = np.where(is_other_NM, sides.scores * sides.iou, 0.0)
    own_M, best_M = own_NM.max(axis=0, initial=0.0), _best(own_NM)
    of_labels: dict[LabelErrorKind, NDArray[np.float64]] = {
        "merged": merged_M,
        "split": split_NM.max(axis=0, initial=0.0),
        "class": other_NM.max(axis=0, initial=0.0) * (1.0 - own_M),
        "border": _score_borders(sides, best_M),
        "spurious": 1.0 - np.minimum(1.0, _support(sides, found)),
    }
    behind: dict[LabelErrorKind, tuple[tuple[int, ...], ...]] = {
        "merged": parts,
        "split": _as_tuples(_best(split_NM)),
        "class": _as_tuples(_best(other_NM)),
        "border": _as_tuples(best_M),
        "spurious": ((),) * len(truth.masks),
    }
    covered_N = np.minimum(1.0, sides.share_of_found.sum(axis=1))
    return LabelScores(
        sides.scores[:, 0] * (1.0 - covered_N) * ~sides.touches.any(axis=1),
        {kind: np.where(truth.is_crowd, 0.0, score) for kind, score in of_labels.items()},
        behind,
        pieces,
    )


@dataclass(frozen=True)
class _Sides:
    """How detections and labels overlap, float64 and bool (N, M); scores are float64 (N, 1)."""

    scores: NDArray[np.float64]
    iou: NDArray[np.float64]
    share_of_found: NDArray[np.float64]
    share_of_label: NDArray[np.float64]
    is_same: NDArray[np.bool_]

    @property
    def touches(self) -> NDArray[np.bool_]:
        return self.iou >= BACKGROUND_IOU


def _measure(found: Detections, truth: GroundTruth) -> _Sides:
    return _Sides(
        found.scores.astype(np.float64)[:, None],
        mask_iou(found.masks, truth.masks),
        mask_iou(found.masks, truth.masks, [True] * len(truth.masks)),
        mask_iou(truth.masks, found.masks, [True] * len(found)).T,
        (found.class_indices[:, None] == truth.class_indices) & ~truth.is_crowd,
    )


def _find_merged(sides: _Sides, found: Detections) -> tuple[tuple[tuple[int, ...], ...], NDArray[np.float64]]:
    """Return the detections of a label's class beside each other within it, M tuples, and its score (M,)."""
    weights_NM = sides.scores * sides.share_of_label
    is_within_NM = sides.is_same & (sides.share_of_found >= _WITHIN)
    parts = _choose_parts(weights_NM, is_within_NM, found.masks)
    scores = [_second(weights_NM[list(chosen), label]) for label, chosen in enumerate(parts)]
    return parts, np.array(scores, dtype=np.float64)


def _find_split(sides: _Sides, truth: GroundTruth) -> tuple[tuple[tuple[int, ...], ...], NDArray[np.float64]]:
    """Return the labels beside each other within a detection of their class, N tuples, and scores (N, M)."""
    is_within_NM = sides.is_same & (sides.share_of_label >= _WITHIN)
    pieces = _choose_parts(sides.share_of_found.T, is_within_NM.T, truth.masks)
    scores_NM = np.zeros_like(sides.iou)
    for row, chosen in enumerate(map(list, pieces)):
        scores_NM[row, chosen] = sides.scores[row] * _second(sides.share_of_found[row, chosen])
    return pieces, scores_NM


def _support(sides: _Sides, found: Detections) -> NDArray[np.float64]:
    """Return how well detections of any class support each label, float64 (M,), 0 or more."""
    weights_NM = sides.scores * sides.share_of_label
    covering = _choose_parts(weights_NM, sides.share_of_found >= _WITHIN, found.masks)
    summed = [weights_NM[list(chosen), label].sum() for label, chosen in enumerate(covering)]
    alone_NM = np.maximum(weights_NM, np.where(sides.touches, sides.scores, 0.0))
    alone: NDArray[np.float64] = alone_NM.max(axis=0, initial=0.0)
    return np.maximum(np.array(summed, dtype=np.float64), alone)


def _score_borders(sides: _Sides, best_M: NDArray[np.int64]) -> NDArray[np.float64]:
    wrong_NM = np.where(sides.touches, sides.scores * (1.0 - sides.iou), 0.0)
    scores = [wrong_NM[row, label] if row >= 0 else 0.0 for label, row in enumerate(best_M)]
    return np.array(scores, dtype=np.float64)


def _missing_errors(
    scores: LabelScores, found: Detections, picture_id: str, min_score: float
) -> list[LabelError]:
    rows = np.flatnonzero(scores.missing >= min_score)
    rows = rows[np.argsort(-scores.missing[rows], kind="stable")]
    iou = mask_iou([found.masks[row] for row in rows], [found.masks[row] for row in rows])
    kept: list[int] = []
    for number in range(len(rows)):
        if not (iou[number, kept] >= TRUE_POSITIVE_IOU).any():
            kept.append(number)
    return [
        LabelError("missing", float(scores.missing[row]), picture_id, (), (int(row),)) for row in rows[kept]
    ]


def _errors_of_labels(scores: LabelScores, picture_id: str, min_score: float) -> list[LabelError]:
    table = np.stack([scores.of_labels[kind] for kind in KINDS_OF_LABELS])
    worst = table.argmax(axis=0)
    errors: dict[LabelError, None] = {}
    for label in np.flatnonzero(table.max(axis=0) >= min_score).tolist():
        kind = KINDS_OF_LABELS[worst[label]]
        behind = scores.detections[kind][label]
        labels = scores.split_labels[behind[0]] if kind == "split" else (label,)
        errors[LabelError(kind, float(table[worst[label], label]), picture_id, labels, behind)] = None
    return list(errors)


def _choose_parts(
    sizes_KL: NDArray[np.float64], may_be_KL: NDArray[np.bool_], masks_K: Sequence[Rle]
) -> tuple[tuple[int, ...], ...]:
    """Choose for each of L columns the rows whose masks lie beside each other, largest first.

    Rows of equal size are taken in the order of what is in their masks.
    """
    shares_KK = mask_iou(masks_K, masks_K, [True] * len(masks_K))
    is_beside_KK = np.maximum(shares_KK, shares_KK.T) < _BESIDE
    chosen_of: list[tuple[int, ...]] = []
    for sizes, may_be in zip(sizes_KL.T, may_be_KL.T, strict=True):
        chosen: list[int] = []
        candidates = np.flatnonzero(may_be & (sizes > 0)).tolist()
        for one in sorted(candidates, key=lambda number: (-sizes[number], masks_K[number].counts)):
            if is_beside_KK[one, chosen].all():
                chosen.append(one)
        chosen_of.append(tuple(chosen))
    return tuple(chosen_of)


def _second(sizes: NDArray[np.float64]) -> float:
    return min(1.0, 2.0 * float(np.sort(sizes)[-2])) if len(sizes) > 1 else 0.0


def _best(gain_NM: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the row with the largest gain in each column, int64 (M,); -1 where there is none."""
    if not gain_NM.shape[0]:
        return np.full(gain_NM.shape[1], -1, dtype=np.int64)
    return np.where(gain_NM.max(axis=0) > 0, gain_NM.argmax(axis=0), -1).astype(np.int64)


def _as_tuples(rows_M: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    return tuple((row,) if row >= 0 else () for row in rows_M.tolist())
