"""Is the candidate worse than the champion, or did these pictures just happen to say so?

Percentile bootstrap over pictures (B. Efron and R. Tibshirani, An Introduction to the Bootstrap,
1993, chapters 8 and 13): whole pictures are drawn with replacement, because instances of one picture are not
independent. Where two models are compared the draws are paired, because both see the same hard pictures.

Shape suffixes: R resamples, P pictures, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import IouTable

_MAX_WEIGHTS_AT_ONCE: Final = 4_000_000


@dataclass(frozen=True)
class DropIntervals:
    """How much class mask IoU is lost from champion to candidate; positive is worse.

    A class in very few pictures gets a deceptively narrow interval: look at ``num_pictures`` first.

    Attributes:
        class_names: C names.
        drop: float64 (C,), champion minus candidate, -1..1; NaN for a class without instances.
        low: float64 (C,), lower end of the interval.
        high: float64 (C,), upper end of the interval.
        mean_drop: Mean of ``drop`` over the classes with instances; NaN if there are none.
        mean_low: Lower end of its interval.
        mean_high: Upper end of its interval.
        num_instances: int64 (C,), annotated non-crowd instances.
        num_pictures: int64 (C,), pictures holding one or more of them.
        confidence: Share of resamples inside an interval, such as 0.95.
        resamples: Number of resamples.
        seed: Same tables, same seed, same numbers.
    """

    class_names: tuple[str, ...]
    drop: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean_drop: float
    mean_low: float
    mean_high: float
    num_instances: NDArray[np.int64]
    num_pictures: NDArray[np.int64]
    confidence: float
    resamples: int
    seed: int


def paired_drop(
    candidate: IouTable,
    champion: IouTable,
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> DropIntervals:
    """Estimate the loss per class and on average, with percentile bootstrap intervals.

    A resample without any instance of a class says nothing about that class and is left out there.

    Args:
        candidate: Measured on the same pictures, classes and annotations as ``champion``.
        champion: The model to beat.
        resamples: 1 or more; 10,000 for intervals steady in the third digit.
        confidence: Between 0 and 1, both excluded.
        seed: Of NumPy's PCG64 generator.

    Raises:
        ValueError: if the two tables cannot be paired, or an argument is out of range.
    """
    _check_pair(candidate, champion)
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError(f"resamples must be 1 or more and confidence in (0, 1): {resamples}, {confidence}")
    count_PC = champion.num_instances
    lost_PC = champion.iou_sum - candidate.iou_sum
    drop = _ratio(lost_PC.sum(axis=0), count_PC.sum(axis=0))
    drops_RC = _resampled_ratios(lost_PC, count_PC, resamples=resamples, seed=seed)
    low, high = _interval(drops_RC, confidence)
    mean_low, mean_high = _interval(_mean_over_classes(drops_RC)[:, None], confidence)
    return DropIntervals(
        champion.class_names,
        drop,
        low,
        high,
        float(_mean_over_classes(drop[None])[0]),
        float(mean_low[0]),
        float(mean_high[0]),
        count_PC.sum(axis=0),
        (count_PC > 0).sum(axis=0),
        confidence,
        resamples,
        seed,
    )


def class_iou_interval(
    table: IouTable, *, resamples: int, confidence: float, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the interval of each class's mask IoU: its ends, float64 (C,) each; NaN without instances.

    Args:
        table: One model's.
        resamples: 1 or more.
        confidence: Share of resamples inside the interval.
        seed: Of NumPy's PCG64 generator.
    """
    iou_RC = _resampled_ratios(table.iou_sum, table.num_instances, resamples=resamples, seed=seed)
    return _interval(iou_RC, confidence)


def _check_pair(candidate: IouTable, champion: IouTable) -> None:
    if candidate.class_names != champion.class_names:
        raise ValueError(
            f"classes differ: candidate {candidate.class_names}, champion {champion.class_names}"
        )
    if candidate.picture_ids != champion.picture_ids:
        different = sorted(set(candidate.picture_ids) ^ set(champion.picture_ids))
        raise ValueError(f"{len(different)} pictures were seen by one model only: {', '.join(different[:5])}")
    if not np.array_equal(candidate.num_instances, champion.num_instances):
        raise ValueError("the pictures were annotated differently for candidate and champion")


def _resampled_ratios(
    sum_PC: NDArray[np.float64], count_PC: NDArray[np.int64], *, resamples: int, seed: int
) -> NDArray[np.float64]:
    """Return each resample's sum over count, shape (R, C); NaN where it holds no instance of the class."""
    num_pictures, num_classes = sum_PC.shape
    both = np.concatenate([sum_PC, count_PC.astype(np.float64)], axis=1)
    sums = [weights @ both for weights in _picture_weights(num_pictures, resamples, seed)]
    totals = np.concatenate(sums) if sums else np.zeros((resamples, 2 * num_classes))
    return _ratio(totals[:, :num_classes], totals[:, num_classes:])


def _picture_weights(num_pictures: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each picture was drawn, in blocks of shape (R', P) of bounded size; rows sum to P."""
    if num_pictures == 0:
        return
    random = np.random.default_rng(seed)
    block = max(1, _MAX_WEIGHTS_AT_ONCE // num_pictures)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = random.integers(num_pictures, size=(rows, num_pictures))
        drawn += np.arange(rows)[:, None] * num_pictures
        weights = np.bincount(drawn.ravel(), minlength=rows * num_pictures)
        yield weights.reshape(rows, num_pictures).astype(np.float64)


def _ratio(total: NDArray[np.float64], count: NDArray[np.number]) -> NDArray[np.float64]:
    ratio = np.full(total.shape, np.nan)
    np.divide(total, count, out=ratio, where=count > 0)
    return ratio


def _mean_over_classes(drops_RC: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(drops_RC)
    return _ratio(np.where(known, drops_RC, 0.0).sum(axis=1), known.sum(axis=1))


def _interval(
    values_RC: NDArray[np.float64], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the two percentiles around ``confidence``, per column; NaN for a column of NaN."""
    ends = np.full((2, values_RC.shape[1]), np.nan)
    tail = (1 - confidence) / 2
    for column, values in enumerate(values_RC.T):
        known = values[np.isfinite(values)]
        if known.size:
            ends[:, column] = np.quantile(known, [tail, 1 - tail])
    return ends[0], ends[1]
