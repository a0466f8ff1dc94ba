"""The mean of random Fourier features: what a kernel's two-sample distance needs, in flat memory.

The maximum mean discrepancy (MMD; Gretton et al. 2012) between two samples under a Gaussian kernel is the
distance of their means in the kernel's feature space. Random Fourier features (Rahimi and Recht 2007) make
that space finite: cosines and sines at random frequencies. Sums of them add up, so the MMD between any two
periods is known without the embeddings.

Shape suffixes: N embeddings, E embedding values, D frequencies.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskloop.errors import IntegrityError

NUM_FREQUENCIES: Final = 256
_ROWS_AT_ONCE: Final = 4096
_MOST_PAIRS: Final = 500
_HEAD: Final = struct.Struct("<BQQI")
_FORMAT: Final = 1


@dataclass(frozen=True, eq=False)
class FourierBasis:
    """The frequencies of one model's embeddings. Means of different bases cannot be compared.

    Attributes:
        frequencies: float32 (D, E), already divided by the kernel's width.
    """

    frequencies: NDArray[np.float32]

    @classmethod
    def draw(cls, embeddings: NDArray[np.float32], *, seed: int) -> FourierBasis:
        """Choose the kernel's width as the median distance of some embeddings, float32 (N, E), N at least 1.

        Where all are equal, the width is 1.
        """
        rng = np.random.default_rng(seed)
        chosen = embeddings[rng.permutation(len(embeddings))[:_MOST_PAIRS]].astype(np.float64)
        apart = _pairwise_distances(chosen)
        width = float(np.median(apart)) if apart.size else 0.0
        directions = rng.standard_normal((NUM_FREQUENCIES, embeddings.shape[1]))
        return cls((directions / (width or 1.0)).astype(np.float32))

    @property
    def num_values(self) -> int:
        """The length of the embeddings."""
        return int(self.frequencies.shape[1])

    def to_bytes(self) -> bytes:
        """Return the frequencies as bytes, row by row."""
        return np.ascontiguousarray(self.frequencies, dtype="<f4").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, num_values: int) -> FourierBasis:
        """Read what `to_bytes` wrote about embeddings of a length. Raises IntegrityError if it is damaged."""
        frequencies = np.frombuffer(data, dtype="<f4")
        if num_values < 1 or not frequencies.size or frequencies.size % num_values:
            raise IntegrityError("the frequencies of a model's embeddings cannot be read")
        return cls(frequencies.reshape(-1, num_values))


@dataclass(frozen=True, eq=False)
class FourierSum:
    """The sum of the features of embeddings. It is a value, and sums add up exactly to rounding.

    Attributes:
        num_values: Embeddings that were added.
        num_missing: Those that were not there, not finite, or of another length.
        sums: float64 (2 D,): cosines, then sines; each embedding adds a vector of length sqrt(D).
    """

    num_values: int = 0
    num_missing: int = 0
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of(cls, embeddings: NDArray[np.float32], basis: FourierBasis, *, num_missing: int = 0) -> FourierSum:
        """Add up the features of embeddings, float32 (N, E); those that are not finite count as missing."""
        finite_NE = embeddings[np.isfinite(embeddings).all(axis=1)]
        num_missing += len(embeddings) - len(finite_NE)
        sums = np.zeros(2 * len(basis.frequencies))
        for start in range(0, len(finite_NE), _ROWS_AT_ONCE):
            phases_ND = finite_NE[start : start + _ROWS_AT_ONCE] @ basis.frequencies.T
            sums += np.concatenate(
                [
                    np.cos(phases_ND).sum(axis=0, dtype=np.float64),
                    np.sin(phases_ND).sum(axis=0, dtype=np.float64),
                ]
            )
        return cls(len(finite_NE), num_missing, sums)

    @cached_property
    def _characteristic(self) -> NDArray[np.complex128]:
        """The mean of exp(i w x) at each frequency w, complex128 (D,)."""
        cosines, sines = np.split(self.sums / self.num_values, 2)
        return np.asarray(cosines + 1j * sines, dtype=np.complex128)

    def to_bytes(self) -> bytes:
        """Return the sum as bytes, of the same format on every machine."""
        head = _HEAD.pack(_FORMAT, self.num_values, self.num_missing, self.sums.size)
        return head + np.ascontiguousarray(self.sums, dtype="<f8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> FourierSum:
        """Read what `to_bytes` wrote. Raises IntegrityError if it is damaged or of another format."""
        try:
            written_as, num_values, num_missing, size = _HEAD.unpack(data[: _HEAD.size])
            sums = np.frombuffer(data[_HEAD.size :], dtype="<f8")
        except (struct.error, ValueError) as error:
            raise IntegrityError(f"a sum of embeddings cannot be read: {error}") from error
        if written_as != _FORMAT or sums.size != size or not np.isfinite(sums).all():
            raise IntegrityError("a sum of embeddings cannot be read: another format, or cut short")
        return cls(num_values, num_missing, sums)


@dataclass(frozen=True)
class Discrepancy:
    """How far two sets of embeddings lie apart.

    Attributes:
        squared: MMD², without bias; about 0 for equal distributions, and then also below 0.
        squared_error: How much it differs from the kernel's own MMD², with 99 % probability over the drawn
            frequencies: the normal approximation for a mean of D independent terms.
        biased: The MMD that `noise` is about, 0..2.
        noise: With probability 1 - ``false_alarm_rate`` equal distributions give no larger ``biased``,
            however they look and whatever the frequencies (McDiarmid's inequality, as in Gretton et al. 2012,
            theorem 7). It supposes independent pictures.
    """

    squared: float
    squared_error: float
    biased: float
    noise: float


_NORMAL_99: Final = 2.5758


def measure_discrepancy(one: FourierSum, other: FourierSum, *, false_alarm_rate: float) -> Discrepancy:
    """Compare two sums of the same basis, each of at least two embeddings.

    Raises:
        ValueError: if they are of different bases, or one has fewer than two.
    """
    if one.sums.size != other.sums.size or min(one.num_values, other.num_values) < 2:
        raise ValueError("two sums of the same basis, each of two embeddings or more, can be compared")
    num_one, num_other = one.num_values, other.num_values
    mine_D, theirs_D = one._characteristic, other._characteristic
    biased_D = np.abs(mine_D - theirs_D) ** 2
    of_pairs_D = biased_D - _bias(mine_D, num_one) - _bias(theirs_D, num_other)
    sizes = math.sqrt(1.0 / num_one + 1.0 / num_other)
    return Discrepancy(
        squared=float(of_pairs_D.mean()),
        squared_error=_NORMAL_99 * float(of_pairs_D.std(ddof=1)) / math.sqrt(len(of_pairs_D)),
        biased=math.sqrt(float(biased_D.mean())),
        noise=sizes * (1.0 + math.sqrt(2.0 * math.log(1.0 / false_alarm_rate))),
    )


def merge_sums(sums: Iterable[FourierSum]) -> FourierSum:
    """Return the sum over all embeddings together. Raises ValueError if they are of different bases."""
    found = list(sums)
    sizes = {one.sums.size for one in found if one.sums.size}
    if len(sizes) > 1:
        raise ValueError("sums of different bases cannot be merged")
    total = np.sum([one.sums for one in found if one.sums.size], axis=0) if sizes else np.zeros(0)
    return FourierSum(
        sum(one.num_values for one in found), sum(one.num_missing for one in found), np.asarray(total)
    )


def _pairwise_distances(rows_NE: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances of all pairs of rows, float64 (N (N - 1) / 2,)."""
    centred_NE = rows_NE - rows_NE.mean(axis=0)
    squares_N = np.square(centred_NE).sum(axis=1)
    apart_NN = squares_N[:, np.newaxis] + squares_N - 2.0 * centred_NE @ centred_NE.T
    pairs = apart_NN[np.triu_indices(len(rows_NE), 1)]
    return np.asarray(np.sqrt(np.maximum(pairs, 0.0)), dtype=np.float64)


def _bias(mean_D: NDArray[np.complex128], count: int) -> NDArray[np.float64]:
    """Return what comparing embeddings with themselves adds to |mean|²."""
    return np.asarray((1.0 - np.abs(mean_D) ** 2) / (count - 1))
