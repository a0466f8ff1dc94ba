"""Score thresholds of single classes, calibrated on annotated pictures.

A network is surer of some classes than of others, so one threshold for all is too high for the ones and too
low for the others. Each class's own is where F1, the harmonic mean of its precision and recall at a mask IoU
of 0.5, is best. What is chosen on few instances is chance; such classes keep the common one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.curves import Curve, measure_curves
from evaluation.instances import Detections, GroundTruth


def calibrate_thresholds(
    detections: Mapping[str, Detections],
    truths: Sequence[GroundTruth],
    *,
    class_names: Sequence[str],
    min_instances: int,
) -> dict[str, float]:
    """Return the score threshold with the best F1 of each class that can be calibrated, 0..1.

    F1 is measured in each source of pictures by itself and averaged, so that a new camera with few pictures
    has its say beside an old one with many. A source of at least ``min_instances`` of the class counts once,
    one of fewer in proportion.

    Args:
        detections: By picture id; keep low scores in.
        truths: Annotated pictures that the network has not learned from.
        class_names: C names.
        min_instances: A class with fewer annotated instances in all has no entry.

    Raises:
        ValueError: as `evaluation.iou.measure_mask_iou`.
    """
    by_source: dict[str, list[GroundTruth]] = {}
    for truth in truths:
        by_source.setdefault(truth.source, []).append(truth)
    measured = []
    for some in by_source.values():
        own = {one.picture_id: detections[one.picture_id] for one in some if one.picture_id in detections}
        measured.append(measure_curves(own, some, class_names=class_names))
    chosen = {}
    for name, *curves in zip(class_names, *measured, strict=True):
        if sum(curve.num_instances for curve in curves) >= min_instances:
            weights = np.array(
                [min(curve.num_instances, min_instances) for curve in curves], dtype=np.float64
            )
            chosen[name] = _choose(curves, weights)
    return {name: threshold for name, threshold in chosen.items() if threshold is not None}


def _choose(curves: Sequence[Curve], weights: NDArray[np.float64]) -> float | None:
    """Return a threshold midway to the next lower score: rounding then moves no detection across it."""
    scores = np.unique(np.concatenate([curve.scores for curve in curves]))[::-1]
    if not scores.size or not weights.any():
        return None
    f1 = np.average([curve.f1_at(scores) for curve in curves], axis=0, weights=weights)
    if not f1.any():
        return None
    best = int(f1.argmax())
    return float((scores[best] + scores[best + 1]) / 2) if best + 1 < len(scores) else float(scores[best])
