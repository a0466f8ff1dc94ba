"""How unlike a model's own pictures a picture is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Novelty:
    """How far out a picture lies.

    Attributes:
        score: 0..1, the share of the model's own pictures that lie less far out.
        is_out_of_distribution: The score is above what settings allow.
    """

    score: float
    is_out_of_distribution: bool


class NoveltyScorer(Protocol):
    """Fitted on one model's baseline."""

    def score(self, embedding: NDArray[np.float32]) -> Novelty:
        """Judge one picture by its embedding, float32 (D,)."""
        ...
