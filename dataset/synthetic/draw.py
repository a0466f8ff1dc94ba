"""Chance that is the same on every machine and in every year: SplitMix64, and noise made from it.

NumPy promises its generators' streams only within a version. The demo data are pinned byte for byte, so
they come from an integer recurrence and elementwise arithmetic alone (no sums over axes, no matrix product,
no vectorised sine: those may round differently from processor to processor).

Source: G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

_Item = TypeVar("_Item")
_GOLDEN: Final = 0x9E3779B97F4A7C15
_MASK: Final = (1 << 64) - 1


class Draw:
    """A stream of random numbers, fixed by whole numbers.

    >>> Draw(1, 2).integer(0, 1000) == Draw(1, 2).integer(0, 1000)
    True
    """

    def __init__(self, *seed: int) -> None:
        self._state = 0
        for part in seed:
            self._state = _mix((self._state ^ (part & _MASK)) + _GOLDEN)

    def _next(self) -> int:
        self._state = (self._state + _GOLDEN) & _MASK
        return _mix(self._state)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * (self._next() >> 11) / (1 << 53)

    def integer(self, low: int, high: int) -> int:
        """Return a whole number in [low, high], both included."""
        return low + self._next() % (high - low + 1)

    def choice(self, items: Sequence[_Item]) -> _Item:
        """Return one of the items."""
        return items[self._next() % len(items)]

    def noise(self, height: int, width: int) -> NDArray[np.float64]:
        """Return independent uniform numbers in [0, 1), float64 (H, W)."""
        counter = np.arange(1, height * width + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
        z = counter + np.uint64(self._next())
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        return (z >> np.uint64(40)).astype(np.float64).reshape(height, width) / (1 << 24)

    def grain(self, height: int, width: int) -> NDArray[np.float64]:
        """Return roughly Gaussian noise, mean 0, deviation 1, float64 (H, W): a sum of three uniforms."""
        total = self.noise(height, width) + self.noise(height, width) + self.noise(height, width)
        return (total - 1.5) * 2.0

    def clouds(self, height: int, width: int, cell_px: int) -> NDArray[np.float64]:
        """Return smooth noise in [0, 1), float64 (H, W): interpolated between values every ``cell_px``."""
        grid = self.noise(height // cell_px + 2, width // cell_px + 2)
        row, down = _grid_position(height, cell_px)
        column, right = _grid_position(width, cell_px)
        top, bottom = grid[row], grid[row + 1]
        rows = top + (bottom - top) * down[:, np.newaxis]
        left, far = rows[:, column], rows[:, column + 1]
        return left + (far - left) * right


def _mix(value: int) -> int:
    value &= _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def _grid_position(length: int, cell_px: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    position = np.arange(length, dtype=np.int64)
    fraction = (position % cell_px).astype(np.float64) / cell_px
    return position // cell_px, fraction * fraction * (3.0 - 2.0 * fraction)


def blurred(values: NDArray[np.float64], times: int = 1) -> NDArray[np.float64]:
    """Blur float64 (H, W) or (H, W, C) along H and W, ``times`` over, with the kernel (1, 2, 1) / 4.

    The edge repeats itself.
    """
    for _ in range(times):
        up, down = np.vstack((values[:1], values[:-1])), np.vstack((values[1:], values[-1:]))
        values = (up + values * 2.0 + down) * 0.25
        left = np.concatenate((values[:, :1], values[:, :-1]), axis=1)
        right = np.concatenate((values[:, 1:], values[:, -1:]), axis=1)
        values = (left + values * 2.0 + right) * 0.25
    return values
