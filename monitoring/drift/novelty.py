"""How unlike a model's own pictures a picture is: the distance to its nearest neighbours in the model's
features.

Method: distance to the k-th nearest neighbour of the embedding (Y. Sun et al., Out-of-Distribution
Detection with Deep Nearest Neighbors, ICML 2022), over coordinates scaled to unit spread, so that several
cameras may lie apart.
Calibration: the rank among the own pictures' distances, each measured without itself (conformal prediction:
V. Vovk et al., Algorithmic Learning in a Random World, 2005), so the share of own pictures that is flagged is
known without assuming any distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from monitoring.drift.baseline import Baseline

MIN_PICTURES: Final = 30
MAX_PICTURES: Final = 2000
"""A larger baseline is thinned out evenly to this size; a picture then costs about 0.1 ms."""
NEIGHBOUR: Final = 5
_RANKED_AT_ONCE: Final = 2048
_SMALLEST_SPREAD: Final = 1e-6


@dataclass(frozen=True)
class Novelty:
    """How unusual a picture is.

    Attributes:
        score: 0..1, the share of the model's own pictures that lie less far out.
        is_out_of_distribution: It lies further out than settings allow.
    """

    score: float
    is_out_of_distribution: bool


class NoveltyScorer(Protocol):
    """Fitted on one model's baseline."""

    def score(self, embedding: NDArray[np.float32]) -> Novelty | None:
        """Judge one picture by its embedding, float32 (D,); None if there is no reference (yet)."""
        ...


@dataclass(frozen=True, eq=False)
class NeighbourScorer:
    """Scores by the distance to the k-th nearest of the model's own pictures.

    Attributes:
        points: float32 (P, D), the own pictures, scaled.
        centre: float32 (D,), subtracted before scaling.
        spread: float32 (D,), divided by.
        own_distances: float64 (P,), sorted; each own picture's distance to its k-th nearest other one.
        out_of_distribution_share: 0..1, of own pictures that may be flagged.
        rows: int64 (P,), where each stands in the baseline.
    """

    points: NDArray[np.float32]
    centre: NDArray[np.float32]
    spread: NDArray[np.float32]
    own_distances: NDArray[np.float64]
    out_of_distribution_share: float
    rows: NDArray[np.int64]

    def score(self, embedding: NDArray[np.float32]) -> Novelty:
        """Judge one picture by its embedding, float32 (D,); what is not finite is as far out as can be."""
        scaled = (np.asarray(embedding, np.float32) - self.centre) / self.spread
        if not np.isfinite(scaled).all():
            return Novelty(1.0, True)
        squared = np.square(self.points - scaled).sum(axis=1)
        distance = float(np.sqrt(np.partition(squared, NEIGHBOUR - 1)[NEIGHBOUR - 1]))
        num_nearer = int(np.searchsorted(self.own_distances, distance, side="left"))
        p_value = (len(self.own_distances) - num_nearer + 1) / (len(self.own_distances) + 1)
        return Novelty(num_nearer / len(self.own_distances), p_value <= self.out_of_distribution_share)

    def rank(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the score of each of N pictures, float64 (N,), by its embedding, float32 (N, D), finite."""
        lengths = np.square(self.points).sum(axis=1)
        scores = np.empty(len(embeddings))
        for start in range(0, len(embeddings), _RANKED_AT_ONCE):
            scaled = (embeddings[start : start + _RANKED_AT_ONCE] - self.centre) / self.spread
            squared = np.square(scaled).sum(axis=1)[:, None] + lengths[None, :] - 2 * scaled @ self.points.T
            nearest = np.partition(squared, NEIGHBOUR - 1, axis=1)[:, NEIGHBOUR - 1]
            distances = np.sqrt(np.maximum(nearest, 0.0)).astype(np.float64)
            num_nearer = np.searchsorted(self.own_distances, distances, side="left")
            scores[start : start + _RANKED_AT_ONCE] = num_nearer / len(self.own_distances)
        return scores

    def find_nearest(self, embeddings: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the row in the baseline of each picture's nearest own one, int64 (N,).

        Differences are taken in float64: a coordinate in which no own picture moves may be millions of
        spreads away, and must not drown the others.

        Args:
            embeddings: float32 (N, D), finite.
        """
        points = self.points.astype(np.float64)
        scaled = (embeddings.astype(np.float64) - self.centre) / self.spread
        nearest = [int(np.square(points - one).sum(axis=1).argmin()) for one in scaled]
        return self.rows[np.array(nearest, np.int64)]


def fit_novelty(baseline: Baseline, *, out_of_distribution_percent: float) -> NeighbourScorer | None:
    """Fit a scorer on a model's own held-out pictures; None if fewer than `MIN_PICTURES` have an embedding.

    Args:
        baseline: What the pictures look like to the model.
        out_of_distribution_percent: Share of own pictures that may be flagged, 0..100. With P pictures
            nothing finer than 1 / (P + 1) can be told: then what lies further out than all of them is
            flagged.
    """
    embeddings = baseline.embeddings
    if len(embeddings) < MIN_PICTURES:
        return None
    rows = np.linspace(0, len(embeddings) - 1, min(len(embeddings), MAX_PICTURES)).round().astype(np.int64)
    embeddings = embeddings[rows]
    centre = embeddings.mean(axis=0)
    spread = np.maximum(embeddings.std(axis=0), _SMALLEST_SPREAD)
    points = ((embeddings - centre) / spread).astype(np.float32)
    share = max(out_of_distribution_percent / 100.0, 1.0 / (len(points) + 1) + 1e-12)
    return NeighbourScorer(points, centre, spread, _own_distances(points), share, rows)


def _own_distances(points: NDArray[np.float32]) -> NDArray[np.float64]:
    products = points @ points.T
    lengths = np.square(points).sum(axis=1)
    squared = np.maximum(lengths[:, None] + lengths[None, :] - 2 * products, 0.0).astype(np.float64)
    np.fill_diagonal(squared, np.inf)
    return np.sort(np.sqrt(np.partition(squared, NEIGHBOUR - 1, axis=1)[:, NEIGHBOUR - 1]))
