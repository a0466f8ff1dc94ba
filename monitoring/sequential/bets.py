"""Bets on where the next scene falls among the reference's scenes: how a value may change.

A reference of n values cuts the line into n + 1 cells. A bet is a probability of each cell after a change.
Four shapes, each in five strengths, are played at once; none has to be right for the guarantee to hold.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Shape = Literal["falls", "rises", "spreads", "narrows"]
SHAPES: Final[tuple[Shape, ...]] = ("falls", "rises", "spreads", "narrows")
RISES: Final[tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], ...]] = (
    lambda u: u**2,
    lambda u: u**4,
    lambda u: 1.0 - (1.0 - u) ** 0.1,
    lambda u: 0.8 * u + 0.2 * u**16,
    lambda u: 0.8 * u + 0.2 * (1.0 - (1.0 - u) ** 0.1),
)
"""How the share u of the reference below a value is distributed after a rise: all values somewhat or much
higher, nearly all above the reference, or a fifth of them near its upper end or above it."""
NUM_BETS: Final = len(SHAPES) * len(RISES)


@lru_cache(maxsize=512)
def cell_probabilities(num_reference: int) -> NDArray[np.float64]:
    """Return what each bet says about each cell, float64 (C, B), C = n + 1; each column adds up to 1.

    The bets are in the order of `SHAPES`, each with all `RISES`. A fall is the mirror image of a rise; values
    that spread or narrow rise or fall in distance from the median.

    >>> cell_probabilities(1)[:, 0].round(3).tolist()
    [0.75, 0.25]
    """
    edges = np.linspace(0.0, 1.0, num_reference + 2)
    columns = [np.diff(_cumulative(edges, shape, number)) for shape in SHAPES for number in range(len(RISES))]
    table = np.stack(columns, axis=1)
    table.flags.writeable = False
    return table


def shape_of(bet: int) -> Shape:
    """Return the shape of a bet by its number."""
    return SHAPES[bet // len(RISES)]


def _cumulative(u: NDArray[np.float64], shape: Shape, number: int) -> NDArray[np.float64]:
    rise = RISES[number]
    if shape == "rises":
        return rise(u)
    if shape == "falls":
        return 1.0 - rise(1.0 - u)
    from_median = np.abs(2.0 * u - 1.0)
    moved = rise(from_median) if shape == "spreads" else 1.0 - rise(1.0 - from_median)
    return np.asarray(0.5 * (1.0 + np.sign(2.0 * u - 1.0) * moved))
