"""The evidence that a source of pictures has changed, scene after scene.

Method: a Shiryaev-Roberts e-detector (J. Shin, A. Ramdas and A. Rinaldo, E-detectors: a nonparametric
framework for sequential change detection, New England Journal of Statistics in Data Science 2, 2024) on the
ranks of new scenes among those of a reference.

While nothing changes, scenes and reference are drawn independently from one continuous distribution. The
next scene then falls into a cell between two neighbouring reference values with a probability of exactly
(1 + scenes there before) / (n + 1 + scenes before): a Pólya urn (D. Blackwell and J. MacQueen, 1973). So a
bet's probability of that cell, divided by this one, has a mean of 1 whatever the distribution is and however
few the reference values are. The evidence R grows as R = e (R + w), with w the time since the last scene, so
R minus the time that has passed is a martingale.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitoring.sequential.bets import NUM_BETS, Shape, cell_probabilities, shape_of
from monitoring.sequential.scoring import MISSING, Scorer

QUARTER: Final = timedelta(days=365.25 / 4)
SHORTEST_GAP: Final = timedelta(seconds=1)
"""Scenes that came at the same time count as this far apart, in case a clock stands still."""
LONGEST_GAP: Final = timedelta(days=1)
"""A longer time between two scenes counts as this much, in case a clock jumps."""
EVIDENCE_SHARE: Final = 0.5
"""Of the budget. A fourth is for newcomers, which a window may be sure of alone (`confirmation`). The bounds
on a quarter with a false alarm add up to half of the budget: half of this (Doob), and that fourth."""
CREDIT: Final = LONGEST_GAP / QUARTER
"""The evidence that a detector begins with, in quarters, so that a change at its start is seen too."""


@dataclass(frozen=True)
class Alarm:
    """A source has changed.

    Attributes:
        source: Its name.
        at: When the scene came that gave enough evidence, UTC.
        name: The number that changed: of a feature, or of the embedding.
        shape: How.
        num_scenes: Of the source, until then.
    """

    source: str
    at: datetime
    name: str
    shape: Shape
    num_scenes: int

    def sentence(self) -> str:
        """Say it in plain words."""
        return (
            f"{self.name} {self.shape} in pictures of {self.source or 'the only source'}, certain since"
            f" {self.at:%Y-%m-%d %H:%M} UTC (scene {self.num_scenes})"
        )


@dataclass(frozen=True, eq=False)
class Evidence:
    """The state of the detector of one source.

    Attributes:
        source: Its name.
        reference_digest: Of the reference it is compared with.
        counts: int64 (D, C): scenes in each cell of each number so far; a reference of fewer values uses the
            first cells.
        values: float64 (D, B): the evidence of each number and bet, in quarters.
        num_scenes: That were counted.
        num_missing: int64 (D,), of these without the number.
        alarm: The first one; None before it.
    """

    source: str
    reference_digest: str
    counts: NDArray[np.int64]
    values: NDArray[np.float64]
    num_scenes: int
    num_missing: NDArray[np.int64]
    alarm: Alarm | None = None

    def share(self, needed: float) -> float:
        """Return the largest evidence of a number, as a share 0..1 of what is needed for an alarm."""
        if self.alarm or not len(self.values):
            return float(self.alarm is not None)
        return min(1.0, float(self.values.mean(axis=1).max()) / needed)


def begin_evidence(source: str, scorer: Scorer, *, credit: float) -> Evidence:
    """Begin with no scene.

    Args:
        source: That is watched.
        scorer: Of its reference.
        credit: A part of `CREDIT`.
    """
    num = len(scorer.columns)
    num_cells = max((column.num_cells for column in scorer.columns), default=0)
    return Evidence(
        source,
        scorer.digest,
        np.zeros((num, num_cells), np.int64),
        np.full((num, NUM_BETS), credit),
        0,
        np.zeros(num, np.int64),
    )


def needed_evidence(max_per_quarter: float, num_numbers: int) -> float:
    """Return the evidence of one number at which there is an alarm, in quarters.

    `EVIDENCE_SHARE` of the budget is the evidence's, called b per quarter here. With D numbers it is
    ``2 a D / b``. By Doob's inequality the evidence of one number reaches it within h quarters with a chance
    of at most ``(h + c) b / (2 a D)``, c being `CREDIT`; of all D with at most D times this. The mean time to
    a false alarm, the integral of the chance of none, is then at least ``a (1 - c b / (2 a)) ** 2 / b``. The
    factor a, a little above 1, makes that 1 / b.

    Args:
        max_per_quarter: The whole budget, above 0.
        num_numbers: D, that are watched beside each other.
    """
    max_per_quarter *= EVIDENCE_SHARE
    x = CREDIT * max_per_quarter / 2.0
    factor = (2.0 * x + 1.0 + np.sqrt(4.0 * x + 1.0)) / 2.0
    return float(2.0 * factor * max(1, num_numbers) / max_per_quarter)


def add_scene(
    evidence: Evidence,
    scorer: Scorer,
    cells: NDArray[np.int64],
    *,
    at: datetime,
    gap: timedelta,
    needed: float,
) -> Evidence:
    """Count one more scene; a source that has raised its alarm stays as it is.

    Args:
        evidence: So far.
        scorer: Of its reference.
        cells: int64 (D,), where the scene falls; `MISSING` where it has no such number.
        at: When it came, UTC.
        gap: The time since the last scene of any source.
        needed: See `needed_evidence`.
    """
    if evidence.alarm:
        return evidence
    counts = evidence.counts.copy()
    values = evidence.values + min(max(gap, SHORTEST_GAP), LONGEST_GAP) / QUARTER
    for number, (column, cell) in enumerate(zip(scorer.columns, cells.tolist(), strict=True)):
        if cell != MISSING:
            values[number] *= e_values(column.num_cells, counts[number], cell)
            counts[number, cell] += 1
    num_scenes = evidence.num_scenes + 1
    totals = values.mean(axis=1) if len(values) else np.zeros(0)
    alarm = None
    if totals.size and totals.max() >= needed:
        strongest = int(totals.argmax())
        shape = shape_of(int(values[strongest].argmax()))
        alarm = Alarm(evidence.source, at, scorer.names[strongest], shape, num_scenes)
    missing = evidence.num_missing + (cells == MISSING)
    return replace(
        evidence, counts=counts, values=values, num_scenes=num_scenes, num_missing=missing, alarm=alarm
    )


def e_values(num_cells: int, counts: NDArray[np.int64], cell: int) -> NDArray[np.float64]:
    """Return the e-value of each bet, float64 (B,), for a scene that falls into a cell.

    The mean over the cells, with the urn's probabilities, is 1 for each bet.

    Args:
        num_cells: n + 1 for n reference values.
        counts: int64 (at least n + 1,), earlier scenes by cell.
        cell: Of the new scene.

    >>> e_values(2, np.array([0, 0]), 0)[:1].round(3).tolist()  # a probability of 0.75, 1/2 expected
    [1.5]
    """
    expected = (1 + counts[cell]) / (num_cells + int(counts[:num_cells].sum()))
    return np.asarray(cell_probabilities(num_cells - 1)[cell] / expected)
