"""How well a ranking finds errors at known places: precision among the first, and AUROC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.health.injection import Corrupted
from evaluation.instances import Detections
from evaluation.label_errors import (
    KINDS_OF_LABELS,
    LABEL_ERROR_KINDS,
    LabelError,
    rank_label_errors,
    score_labels,
)
from evaluation.matching import TRUE_POSITIVE_IOU
from maskloop.masks import mask_iou
from models.loading.ground_truth import ground_truth

FIRST = 100


def measure(corrupted: Corrupted, found: Mapping[str, Detections], num_classes: int) -> dict[str, Any]:
    """Return the figures of every kind.

    The AUROC of a kind of label compares its labels with those that are right, by the score of that kind, and
    "by any kind" by the largest of all kinds: whether the label is suspected at all. That of missing labels
    compares detections on what was removed with all others. The precision is of the list that a person
    reads: its first 100 suspicions of that kind, or all if there are fewer.

    Args:
        corrupted: The labels and the places of the errors.
        found: By picture digest, of every score.
        num_classes: Class indices are below it.
    """
    truths = [ground_truth(picture) for picture in corrupted.pictures]
    ranked = rank_label_errors(found, truths, num_classes=num_classes, min_score=0.05)
    rows = {picture.digest: row for row, picture in enumerate(corrupted.pictures)}
    numbers, (aurocs, by_any_kind) = corrupted.count(), measure_aurocs(corrupted, found, num_classes)
    figures: dict[str, Any] = {}
    for kind in LABEL_ERROR_KINDS:
        first = [error for error in ranked if error.kind == kind][:FIRST]
        named = [_errors_at(error, corrupted, rows[error.picture_id], found) for error in first]
        right = sum(kind in kinds for kinds in named)
        figures[kind] = {
            "injected": numbers[kind],
            "listed": len(first),
            "right": right,
            "precision": round(right / len(first), 3) if first else None,
            "some error": round(sum(bool(kinds) for kinds in named) / len(first), 3) if first else None,
            "AUROC": aurocs[kind],
            "AUROC by any kind": by_any_kind[kind],
        }
    return figures


def measure_aurocs(
    corrupted: Corrupted, found: Mapping[str, Detections], num_classes: int
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Return the area under the ROC curve of each kind by its own score, and by the largest of all kinds."""
    scores: dict[str, list[NDArray[np.float64]]] = {kind: [] for kind in LABEL_ERROR_KINDS}
    is_missing: list[NDArray[np.bool_]] = []
    for row, picture in enumerate(corrupted.pictures):
        answer = found[picture.digest]
        scored = score_labels(answer, ground_truth(picture), num_classes=num_classes)
        scores["missing"].append(scored.missing)
        is_missing.append(_are_on_removed(answer, corrupted, row))
        for kind in KINDS_OF_LABELS:
            scores[kind].append(scored.of_labels[kind])
    kinds = np.array([kind for kinds in corrupted.kinds for kind in kinds])
    aurocs = {"missing": auroc(np.concatenate(scores["missing"]), np.concatenate(is_missing))}
    of_labels = {kind: np.concatenate(scores[kind]) for kind in KINDS_OF_LABELS}
    largest = np.stack(list(of_labels.values())).max(axis=0)
    by_any_kind = {"missing": aurocs["missing"]}
    for kind, own in of_labels.items():
        compared = (kinds == kind) | (kinds == "")
        aurocs[kind] = auroc(own[compared], kinds[compared] == kind)
        by_any_kind[kind] = auroc(largest[compared], kinds[compared] == kind)
    return aurocs, by_any_kind


def auroc(scores: NDArray[np.float64], is_error: NDArray[np.bool_]) -> float | None:
    """Return the share of pairs of an error and none where the error has the larger score; ties count half.

    >>> auroc(np.array([0.9, 0.2, 0.2, 0.1]), np.array([True, True, False, False]))
    0.875
    """
    num_errors, num_others = int(is_error.sum()), int((~is_error).sum())
    if not num_errors or not num_others:
        return None
    others = np.sort(scores[~is_error])
    below = np.searchsorted(others, scores[is_error], side="left")
    up_to = np.searchsorted(others, scores[is_error], side="right")
    return round(float((below + up_to).sum() / 2 / num_errors / num_others), 4)


def _errors_at(
    error: LabelError, corrupted: Corrupted, row: int, found: Mapping[str, Detections]
) -> Sequence[str]:
    """Return the kinds of injected errors at the place of a suspicion."""
    if error.kind == "missing":
        is_removed = _are_on_removed(found[error.picture_id], corrupted, row)
        return ["missing"] if is_removed[list(error.detections)].any() else []
    return [kind for label in error.labels if (kind := corrupted.kinds[row][label])]


def _are_on_removed(answer: Detections, corrupted: Corrupted, row: int) -> NDArray[np.bool_]:
    iou = mask_iou(answer.masks, corrupted.removed[row])
    return np.asarray((iou >= TRUE_POSITIVE_IOU).any(axis=1))
