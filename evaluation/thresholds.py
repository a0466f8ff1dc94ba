"""Score thresholds of single classes, calibrated on annotated pictures.

A network is surer of some classes than of others, so one threshold for all is too high for the ones and too
low for the others. Each class's own is where F1, the harmonic mean of its precision and recall at a mask IoU
of 0.5, is best. What is chosen on few instances is chance; such classes keep the common one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

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

    Args:
        detections: By picture id; keep low scores in.
        truths: Annotated pictures that the network has not learned from.
        class_names: C names.
        min_instances: A class with fewer annotated instances has no entry.

    Raises:
        ValueError: as `evaluation.iou.measure_mask_iou`.
    """
    curves = measure_curves(detections, truths, class_names=class_names)
    chosen = {c.class_name: _choose(c) for c in curves if c.num_instances >= min_instances}
    return {name: threshold for name, threshold in chosen.items() if threshold is not None}


def _choose(curve: Curve) -> float | None:
    """Return a threshold midway to the next lower score: rounding then moves no detection across it."""
    _, best = curve.best_f1()
    if np.isnan(best):
        return None
    lower = curve.scores[curve.scores < best]
    return float((best + lower[0]) / 2) if lower.size else best
