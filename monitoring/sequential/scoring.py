"""Where a scene falls among the scenes of a reference, number by number.

The numbers are the features, and of the embedding its leading components and its distance from its
neighbours. Those need a fit, so half of the reference's embeddings are for the fit, and the other half are
what is compared with: a scene that the fit has seen is not comparable with one that it has not.

Equal values are put in order by lot, so that every number has a continuous distribution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskloop.digest import digest_value
from monitoring.drift.baseline import Baseline, feature_matrix
from monitoring.features.feature import FeatureTable
from monitoring.features.observation import Observed
from monitoring.features.table import FEATURES

MIN_REFERENCE: Final = 20
"""A number with fewer reference values is not watched."""
NUM_COMPONENTS: Final = 4
NEIGHBOUR: Final = 5
MISSING: Final = -1
"""The cell of a value that is not there."""
_SMALLEST_SPREAD: Final = 1e-6


@dataclass(frozen=True, eq=False)
class Column:
    """The reference values of one number.

    Attributes:
        name: Of the feature, or of a number of the embedding.
        values: float64 (n,), rising.
        lots: float64 (n,), 0..1: the order of equal values; rising among these.
    """

    name: str
    values: NDArray[np.float64]
    lots: NDArray[np.float64]

    @property
    def num_cells(self) -> int:
        """The parts into which the values cut the line."""
        return len(self.values) + 1

    def place(self, value: float, lot: float) -> int:
        """Return the cell of a value, 0 to n, or `MISSING` for NaN."""
        if np.isnan(value):
            return MISSING
        first = np.searchsorted(self.values, value, "left")
        last = np.searchsorted(self.values, value, "right")
        return int(first + np.searchsorted(self.lots[first:last], lot))


@dataclass(frozen=True, eq=False)
class Projection:
    """Turns an embedding into a few numbers.

    Attributes:
        centre: float64 (E,), subtracted.
        spread: float64 (E,), divided by.
        directions: float64 (E, C), the leading components of the scaled embeddings.
        points: float64 (M, E), scaled embeddings; a distance is measured to the nearest of them.
    """

    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    directions: NDArray[np.float64]
    points: NDArray[np.float64]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the numbers."""
        components = (f"embedding component {one + 1}" for one in range(self.directions.shape[1]))
        return (*components, "embedding distance")

    def has_seen(self, embeddings: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which embeddings, (N, E), the fit has seen, bool (N,)."""
        scaled = (embeddings - self.centre) / self.spread
        squared = np.square(scaled[:, np.newaxis] - self.points).sum(axis=2)
        return np.asarray(squared.min(axis=1) < 1e-12 * scaled.shape[1])

    def measure(self, embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return float64 (N, C + 1) of embeddings, (N, E)."""
        scaled = (embeddings - self.centre) / self.spread
        squared = np.square(scaled[:, np.newaxis] - self.points).sum(axis=2)
        nearest = np.partition(squared, NEIGHBOUR - 1, axis=1)[:, NEIGHBOUR - 1]
        return np.column_stack([scaled @ self.directions, np.sqrt(nearest)])


@dataclass(frozen=True, eq=False)
class Scorer:
    """Places scenes among those of one reference.

    Attributes:
        digest: Of the reference.
        columns: The watched numbers; none if there is no usable reference.
        features: The names of the features whose columns come first.
        projection: Makes the numbers of the remaining columns; None without enough embeddings.
        unwatched: Why a number of the reference is not watched, by name.
    """

    digest: str
    columns: tuple[Column, ...]
    features: tuple[str, ...]
    projection: Projection | None
    unwatched: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    def measure(self, seen: Sequence[Observed]) -> NDArray[np.float64]:
        """Return the numbers of N scenes, float64 (N, D), NaN where one is missing."""
        values = feature_matrix(seen, self.features)
        if self.projection is None:
            return values
        width = len(self.projection.centre)
        numbers = np.full((len(seen), len(self.projection.names)), np.nan)
        known = [i for i, one in enumerate(seen) if one.embedding is not None and len(one.embedding) == width]
        if known:
            rows = np.asarray([seen[i].embedding for i in known], np.float64)
            numbers[known] = self.projection.measure(rows)
        return np.column_stack([values, numbers])

    def place(self, numbers: NDArray[np.float64], scene: str) -> NDArray[np.int64]:
        """Return the cell of each number of one scene, int64 (D,).

        Args:
            numbers: float64 (D,), as `measure` returns them.
            scene: The scene's id, from which the lots are drawn: the same scene always gets the same ones.
        """
        lots = _draw_lots(f"scene {scene}", len(self.columns))
        placed = [
            column.place(float(number), float(lot))
            for column, number, lot in zip(self.columns, numbers, lots, strict=True)
        ]
        return np.asarray(placed, np.int64)


def fit_scorer(baseline: Baseline, table: FeatureTable = FEATURES) -> Scorer:
    """Fit on the scenes of a reference.

    Args:
        baseline: The reference.
        table: Features it does not name are passed over.
    """
    unwatched: dict[str, str] = {}
    columns: list[Column] = []
    for number, name in enumerate(baseline.feature_names):
        if table.find(name) is None:
            unwatched[name] = "not measured any more"
        elif column := _make_column(name, baseline.scene_values[:, number], baseline.digest, unwatched):
            columns.append(column)
    features = tuple(column.name for column in columns)
    order = np.random.default_rng(_seed("fit", baseline.digest)).permutation(len(baseline.scene_embeddings))
    embeddings = baseline.scene_embeddings[order].astype(np.float64)
    half = len(embeddings) // 2
    if half < MIN_REFERENCE:
        unwatched["embedding"] = _tell_too_few(len(embeddings), 2 * MIN_REFERENCE)
        return Scorer(baseline.digest, tuple(columns), features, None, unwatched)
    projection = _fit_projection(embeddings[:half])
    numbers = projection.measure(embeddings[half:])
    for name, values in zip(projection.names, numbers.T, strict=True):
        if column := _make_column(name, values, baseline.digest, unwatched):
            columns.append(column)
    return Scorer(baseline.digest, tuple(columns), features, projection, unwatched)


def _make_column(
    name: str, values: NDArray[np.float64], digest: str, unwatched: dict[str, str]
) -> Column | None:
    known = values[np.isfinite(values)]
    if len(known) < MIN_REFERENCE:
        unwatched[name] = _tell_too_few(len(known), MIN_REFERENCE)
        return None
    lots = _draw_lots(f"reference {digest} {name}", len(known))
    order = np.lexsort((lots, known))
    return Column(name, known[order], lots[order])


def _fit_projection(embeddings: NDArray[np.float64]) -> Projection:
    centre = embeddings.mean(axis=0)
    spread = np.maximum(embeddings.std(axis=0), _SMALLEST_SPREAD)
    points = (embeddings - centre) / spread
    _, sizes, directions = np.linalg.svd(points, full_matrices=False)
    told = min(NUM_COMPONENTS, int((sizes > 1e-6 * max(sizes[0], 1e-12)).sum()))
    return Projection(centre, spread, directions[:told].T, points)


def _tell_too_few(num: int, num_needed: int) -> str:
    return f"{num} reference scenes have one, {num_needed} are needed"


def _draw_lots(of: str, num: int) -> NDArray[np.float64]:
    return np.random.default_rng(_seed("lots", of)).random(num)


def _seed(purpose: str, of: str) -> int:
    return int(digest_value([purpose, of])[:16], 16)
