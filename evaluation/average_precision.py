"""COCO's average precision and recall, for boxes and masks, per class and per size.

Definition: T.-Y. Lin et al., Microsoft COCO: Common Objects in Context (2014), and the detection evaluation
page of its web site: the mean of the precision, made non-increasing, at the 101 recalls 0, 0.01, …, 1, over
the IoU thresholds 0.50, 0.55, …, 0.95.

Shape suffixes: N detections, C classes, A size classes, T IoU thresholds, L detection limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.coco_matching import (
    SIZE_RANGES_PX,
    Extents,
    Kind,
    Ranking,
    rank_classes,
)
from evaluation.instances import Detections, GroundTruth
from evaluation.matching import pair_pictures

IOU_THRESHOLDS: Final = tuple(np.linspace(0.5, 0.95, 10).tolist())
RECALLS: Final = np.linspace(0.0, 1.0, 101)
_SIZES: Final = tuple(SIZE_RANGES_PX)


@dataclass(frozen=True)
class AveragePrecision:
    """COCO's figures, 0..1; NaN where there is no annotated instance to find, never a pass.

    Attributes:
        kind: ``bbox`` or ``segm``.
        class_names: C names.
        max_detections: How many detections a picture and class may have, best first; AP uses the last.
        ap: float64 (C, A, T), per class, size class (all, small, medium, large) and IoU threshold.
        recall: float64 (C, A, T, L), largest recall reached.
    """

    kind: Kind
    class_names: tuple[str, ...]
    max_detections: tuple[int, ...]
    ap: NDArray[np.float64]
    recall: NDArray[np.float64]

    @property
    def figures(self) -> dict[str, float]:
        """COCO's twelve: AP, AP50, AP75, AP by size, AR by detection limit, AR by size."""
        precision = {"AP": self.ap[:, 0], "AP50": self.ap[:, 0, 0], "AP75": self.ap[:, 0, 5]}
        by_size = {f"AP_{size}": self.ap[:, index] for index, size in enumerate(_SIZES) if index}
        by_limit = {
            f"AR_{limit}": self.recall[:, 0, :, index] for index, limit in enumerate(self.max_detections)
        }
        recall_by_size = {f"AR_{size}": self.recall[:, i, :, -1] for i, size in enumerate(_SIZES) if i}
        all_figures = {**precision, **by_size, **by_limit, **recall_by_size}
        return {name: float(_mean(values.reshape(1, -1))[0]) for name, values in all_figures.items()}

    def class_ap(self, *, size: str = "all") -> NDArray[np.float64]:
        """Return each class's AP over all thresholds, float64 (C,), for one size class."""
        return _mean(self.ap[:, _SIZES.index(size)])

    def class_ap50(self) -> NDArray[np.float64]:
        """Return each class's AP at an IoU of 0.5, float64 (C,)."""
        return self.ap[:, 0, 0]


def measure_average_precision(
    detections: Mapping[str, Detections],
    truths: Sequence[GroundTruth],
    *,
    class_names: Sequence[str],
    kind: Kind,
    max_detections: Sequence[int] = (1, 10, 100),
    extents: Mapping[str, Extents] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AveragePrecision:
    """Measure COCO's average precision and recall.

    Args:
        detections: By picture id, of any score.
        truths: The pictures to evaluate, in any order; equal scores are ranked in the order of picture ids.
        class_names: C names.
        kind: Compare boxes (``bbox``) or masks (``segm``).
        max_detections: Limits per picture and class, increasing. Crowded pictures need more than COCO's 100.
        extents: Boxes and areas by picture id, where the annotation file's own are wanted; from the masks
            otherwise.
        progress: Called with classes done and classes in all.

    Raises:
        ValueError: if an annotated picture has no entry in ``detections`` (see `matching.pair_pictures`), or
            the limits are not increasing.
    """
    limits = tuple(max_detections)
    if not limits or limits[0] < 1 or list(limits) != sorted(set(limits)):
        raise ValueError(f"max_detections must be increasing and 1 or more: {limits}")
    pairs = pair_pictures(detections, truths, num_classes=len(class_names))
    known = extents or {}
    triples = [
        (found, truth, known.get(truth.picture_id) or Extents.of_masks(truth)) for found, truth in pairs
    ]
    ap = np.full((len(class_names), len(_SIZES), len(IOU_THRESHOLDS)), np.nan)
    recall = np.full((*ap.shape, len(limits)), np.nan)
    rankings = rank_classes(
        triples,
        num_classes=len(class_names),
        kind=kind,
        max_detections=limits[-1],
        thresholds=IOU_THRESHOLDS,
    )
    for index, ranking in enumerate(rankings):
        ap[index], recall[index] = _summarise(ranking, limits)
        if progress:
            progress(index + 1, len(class_names))
    return AveragePrecision(kind, tuple(class_names), limits, ap, recall)


def _summarise(ranking: Ranking, limits: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return one class's AP (A, T) and recalls (A, T, L); NaN for size classes without instances."""
    num_sizes, num_thresholds, _ = ranking.is_true.shape
    ap = np.full((num_sizes, num_thresholds), np.nan)
    recall = np.full((*ap.shape, len(limits)), np.nan)
    for size in np.flatnonzero(ranking.num_instances):
        num_instances = int(ranking.num_instances[size])
        for index, limit in enumerate(limits):
            found = ranking.is_true[size][:, ranking.place_in_picture < limit].sum(axis=1)
            recall[size, :, index] = found / num_instances
        for threshold in range(num_thresholds):
            curve = precision_and_recall(
                ranking.is_true[size, threshold], ranking.is_false[size, threshold], num_instances
            )
            ap[size, threshold] = average_precision(*curve)
    return ap, recall


def precision_and_recall(
    is_true_N: NDArray[np.bool_], is_false_N: NDArray[np.bool_], num_instances: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return precision and recall, float64 (N,), when the first 1, 2, …, N detections are kept.

    The best score comes first; whether a detection is true or false is bool (N,). Recall is NaN where there
    is no instance to find.
    """
    true, false = np.cumsum(is_true_N, dtype=np.float64), np.cumsum(is_false_N, dtype=np.float64)
    return true / np.maximum(true + false, 1), true / (num_instances or np.nan)


def average_precision(precision_N: NDArray[np.float64], recall_N: NDArray[np.float64]) -> float:
    """Average the precision, made non-increasing from the right, at 101 recalls; 0 beyond the largest recall.

    Both are float64 (N,), of the first 1, 2, …, N detections; see `precision_and_recall`.

    >>> average_precision(np.array([1.0, 0.5]), np.array([0.5, 0.5]))  # half is found: 51 of 101 recalls
    0.504950495049505
    """
    envelope = np.append(np.maximum.accumulate(precision_N[::-1])[::-1], 0.0)
    return float(envelope[np.searchsorted(recall_N, RECALLS, side="left")].mean())


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each row without its NaN; NaN for a row of NaN."""
    known = np.isfinite(values)
    mean = np.full(len(values), np.nan)
    np.divide(np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1), out=mean, where=known.any(axis=1))
    return mean
