"""The distribution of one number in a few kilobytes, however many values there were.

Quantiles come from a KLL sketch (Karnin, Lang and Liberty 2016) of the library Apache DataSketches. It keeps
some hundred values with weights. Its ranks are wrong by at most `rank_error`, also after any number of
merges. Count, missing values, mean, variance, smallest and largest value are exact to rounding.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import datasketches
import numpy as np
from numpy.typing import NDArray

from maskloop.errors import IntegrityError

_K: Final = 200
_HEAD: Final = struct.Struct("<BQQdd")
_FORMAT: Final = 1
_LARGEST: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class NumberSketch:
    """What is kept of many values of one number. It is a value: adding and merging return another.

    Attributes:
        num_values: Finite values.
        num_missing: Values that were expected and not there, or not finite.
        mean: Of the values; 0 without any.
        squares: Sum of the squared deviations from the mean.
        kll: The serialised KLL sketch of the values as float32; empty without any.
    """

    num_values: int = 0
    num_missing: int = 0
    mean: float = 0.0
    squares: float = 0.0
    kll: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, values: NDArray[np.floating[Any]] | Sequence[float], *, num_missing: int = 0) -> NumberSketch:
        """Summarise values, (N,) in any order; NaN and infinity count as missing.

        Values beyond float32 count as its largest.
        """
        given = np.asarray(values, dtype=np.float64).ravel()
        finite = np.clip(given[np.isfinite(given)], -_LARGEST, _LARGEST)
        missing = num_missing + given.size - finite.size
        if not finite.size:
            return cls(num_missing=missing)
        kll = datasketches.kll_floats_sketch(_K)
        kll.update(finite.astype(np.float32))
        mean = float(finite.mean())
        return cls(finite.size, missing, mean, float(np.square(finite - mean).sum()), bytes(kll.serialize()))

    @property
    def deviation(self) -> float | None:
        """The standard deviation; None with fewer than two values."""
        return math.sqrt(self.squares / (self.num_values - 1)) if self.num_values > 1 else None

    @property
    def rank_error(self) -> float:
        """How much ranks may be wrong, 0..1, with 99 % probability for all of them at once; 0 while exact."""
        kll = self._open()
        return float(kll.normalized_rank_error(False)) if kll.is_estimation_mode() else 0.0

    def quantiles(self, shares: Sequence[float]) -> tuple[float, ...] | None:
        """Return the values below which shares (0..1) lie, but for `rank_error`; None without values."""
        if not self.num_values:
            return None
        return tuple(float(value) for value in self._open().get_quantiles(list(shares)))

    @property
    def ends(self) -> tuple[float, float] | None:
        """The smallest and the largest value; None without values."""
        kll = self._open()
        return (float(kll.get_min_value()), float(kll.get_max_value())) if self.num_values else None

    def steps(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return the distribution function as its steps.

        Returns:
            Values, float32 (S,), ascending, each once; and the share of values up to each, float64 (S,),
            ending at 1. Both empty without values.
        """
        if not self.num_values:
            return np.zeros(0, np.float32), np.zeros(0)
        kll = self._open()
        values = np.unique(np.array([value for value, _ in kll], np.float32))
        shares = kll.get_cdf(values.tolist(), True)  # the weights that iteration gives are wrong after merges
        return values, np.array(shares[:-1])

    def to_bytes(self) -> bytes:
        """Return the sketch as bytes, of the same format on every machine."""
        return _HEAD.pack(_FORMAT, self.num_values, self.num_missing, self.mean, self.squares) + self.kll

    @classmethod
    def from_bytes(cls, data: bytes) -> NumberSketch:
        """Read what `to_bytes` wrote. Raises IntegrityError if it is damaged or of another format."""
        try:
            written_as, count, missing, mean, squares = _HEAD.unpack(data[: _HEAD.size])
            sketch = cls(count, missing, mean, squares, bytes(data[_HEAD.size :]))
            is_whole = written_as == _FORMAT and sketch._open().n == sketch.num_values
        except (struct.error, RuntimeError, IndexError, ValueError) as error:
            raise IntegrityError(f"a sketch cannot be read: {error}") from error
        if not is_whole:
            raise IntegrityError(f"a sketch cannot be read: format {written_as}, or its count is wrong")
        return sketch

    def _open(self) -> Any:
        """Return the KLL sketch of the library, which can be changed, unlike this."""
        if not self.kll:
            return datasketches.kll_floats_sketch(_K)
        return datasketches.kll_floats_sketch.deserialize(self.kll)


def merge_numbers(sketches: Iterable[NumberSketch]) -> NumberSketch:
    """Return the sketch of all values together.

    In any order and grouping the moments are equal to rounding, and the ranks to `NumberSketch.rank_error`.
    """
    kll = datasketches.kll_floats_sketch(_K)
    count = missing = 0
    mean = squares = 0.0
    for one in sketches:
        missing += one.num_missing
        if not one.num_values:
            continue
        kll.merge(one._open())
        total = count + one.num_values  # Chan, Golub and LeVeque 1979
        step = one.mean - mean
        mean += step * one.num_values / total
        squares += one.squares + step * step * count * one.num_values / total
        count = total
    return NumberSketch(count, missing, mean, squares, bytes(kll.serialize()) if count else b"")
