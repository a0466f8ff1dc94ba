"""What a model says about one picture, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections


@dataclass(frozen=True)
class Prediction:
    """What a model says about one picture.

    Attributes:
        detections: The instances, best score first; ``detections.masks_NHW()`` gives NumPy masks.
        embedding: float32 (D,), the mean of the finest feature map over the picture; finite.
        seconds: What this picture cost, its share of a batch.
    """

    detections: Detections
    embedding: NDArray[np.float32]
    seconds: float
