"""How uncertain an answer is: whether some detection nearly was told, or nearly was not."""

from __future__ import annotations

import numpy as np

from evaluation.instances import Detections, ScoreThreshold


def measure_doubt(found: Detections, threshold: ScoreThreshold) -> float:
    """Return 0..1: how near the most doubtful detection's score is to its threshold.

    A score at the threshold is 1, a score of 0 or 1 is 0, in between linear; the margin of uncertainty
    sampling (D. Lewis and W. Gale, A sequential algorithm for training text classifiers, SIGIR 1994), with
    the score that decides in place of one half. Without a detection there is no doubt.

    Args:
        found: Everything the model found, low scores included.
        threshold: From this score on detections are told; one, or each class's own.
    """
    if not len(found):
        return 0.0
    own = np.asarray(threshold, np.float64)
    limits = own[found.class_indices] if own.ndim else np.full(len(found), own)
    scores = found.scores.astype(np.float64)
    room = np.where(scores < limits, limits, 1.0 - limits)
    distance = np.divide(np.abs(scores - limits), room, out=np.zeros(len(found)), where=room > 0)
    return float(1.0 - np.clip(distance, 0.0, 1.0).min())
