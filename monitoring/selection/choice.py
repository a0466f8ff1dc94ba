"""The choice: a share at random first, then the best.

What is drawn at random is drawn from all eligible pictures before anything is rated, so that its quality is
an unbiased estimate of all of them. Pictures that look like a labelled or a chosen one are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dataset.pictures.looks import alike_pairs, are_near, standardised
from monitoring.samples.values import Sample
from monitoring.selection.candidates import Candidate, best_candidates


@dataclass(frozen=True)
class Look:
    """What a picture looks like, see `dataset.pictures.looks`.

    Attributes:
        difference_hash: 64 bits.
        read_cells: Returns its 16 x 16 greys; None if they cannot be had. Called only if its hash is near
            another's.
    """

    difference_hash: int
    read_cells: Callable[[], bytes | None]


class Looks:
    """The looks that no further chosen picture may have: of labelled pictures, and of chosen ones.

    Args:
        distance_bits: Hashes that differ in more bits are of different pictures; below 0 no two are alike.
        labelled: The first ones.
    """

    def __init__(self, distance_bits: int, labelled: Sequence[Look] = ()) -> None:
        self._distance_bits = distance_bits
        self._seen = list(labelled)
        self._hashes = np.array([one.difference_hash for one in labelled], np.uint64)
        self._cells: dict[int, bytes | None] = {}

    def has(self, look: Look) -> bool:
        """Tell whether a picture looks like one of those seen."""
        if self._distance_bits < 0:
            return False
        near = np.flatnonzero(are_near(self._hashes, look.difference_hash, self._distance_bits)).tolist()
        if not near:
            return False
        cells = standardised([look.read_cells(), *map(self._cells_of, near)])
        pairs = np.array([(0, other) for other in range(1, len(cells))], np.int64)
        return len(alike_pairs(pairs, cells)) > 0

    def take(self, look: Look) -> bool:
        """Remember a look; False, and nothing changed, if a picture seen has it already."""
        if self.has(look):
            return False
        self._seen.append(look)
        self._hashes = np.append(self._hashes, np.uint64(look.difference_hash))
        return True

    def _cells_of(self, index: int) -> bytes | None:
        if index not in self._cells:
            self._cells[index] = self._seen[index].read_cells()
        return self._cells[index]


def divide(num: int, random_percent: float, num_eligible: int) -> tuple[int, int]:
    """Return how many pictures are drawn at random and how many are chosen, together at most ``num``.

    >>> divide(50, 20.0, 1000), divide(7, 20.0, 1000), divide(50, 20.0, 10)
    ((10, 40), (1, 6), (2, 8))
    """
    wanted = min(num, num_eligible)
    num_random = int(wanted * random_percent / 100.0 + 0.5)
    return num_random, wanted - num_random


def draw_at_random(
    samples: Sequence[Sample], num: int, *, seed: int, take: Callable[[Sample], bool]
) -> list[Sample]:
    """Draw up to ``num`` samples uniformly; one that ``take`` refuses is passed over.

    Args:
        samples: In an order that does not depend on how they were read.
        num: How many.
        seed: The same seed draws the same ones.
        take: Takes a sample unless its picture is gone, or looks like another.
    """
    drawn: list[Sample] = []
    for index in np.random.default_rng(seed).permutation(len(samples)):
        if len(drawn) == num:
            break
        if take(samples[index]):
            drawn.append(samples[index])
    return drawn


def pick_best(
    candidates: Sequence[Candidate], num: int, *, take: Callable[[Sample], bool]
) -> list[Candidate]:
    """Return up to ``num`` candidates with the highest scores, the best first.

    Distance between the chosen, weighed against the score, taught less in every measurement: see results.

    Args:
        candidates: The shortlist.
        num: How many.
        take: Takes a sample unless it looks like another.
    """
    chosen: list[Candidate] = []
    for candidate in best_candidates(candidates, len(candidates)):
        if len(chosen) == num:
            break
        if take(candidate.sample):
            chosen.append(candidate)
    return chosen
