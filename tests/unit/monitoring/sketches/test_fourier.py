"""The mean of random Fourier features: sums add up, and their distance is the MMD within its error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from maskloop.errors import IntegrityError
from monitoring.sketches.fourier import FourierBasis, FourierSum, measure_discrepancy, merge_sums

Table = NDArray[np.float32]


def draw(count: int, *, shift: float = 0.0, seed: int = 0, width: int = 16) -> Table:
    return (np.random.default_rng(seed).normal(size=(count, width)) + shift).astype(np.float32)


def exact_mmd_squared(one: Table, other: Table, basis: FourierBasis) -> float:
    """Unbiased, from all pairs, under the Gaussian kernel whose width the frequencies show."""
    gamma = 0.5 * float(np.mean(np.square(basis.frequencies.astype(np.float64))))

    def mean_kernel(left: Table, right: Table) -> float:
        apart = np.square(left[:, None].astype(np.float64) - right[None]).sum(axis=-1)
        kernel = np.exp(-gamma * apart)
        if left is right:
            return float((kernel.sum() - len(left)) / (len(left) * (len(left) - 1)))
        return float(kernel.mean())

    return mean_kernel(one, one) + mean_kernel(other, other) - 2.0 * mean_kernel(one, other)


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.7])
def test_the_discrepancy_is_the_exact_one_within_its_stated_error(shift: float) -> None:
    one, other = draw(100, seed=1), draw(130, shift=shift, seed=2)
    exceeded = 0
    for seed in range(50):
        basis = FourierBasis.draw(one, seed=seed)
        found = measure_discrepancy(
            FourierSum.of(one, basis), FourierSum.of(other, basis), false_alarm_rate=0.01
        )
        exceeded += abs(found.squared - exact_mmd_squared(one, other, basis)) > found.squared_error
    assert exceeded <= 3  # stated is 1 in 100; more than 3 of 50 has a probability of 0.1 %


def test_equal_distributions_stay_below_the_noise_and_a_shift_exceeds_it() -> None:
    basis = FourierBasis.draw(draw(300, seed=1), seed=0)
    reference = FourierSum.of(draw(300, seed=1), basis)
    for seed in range(2, 40):
        same = measure_discrepancy(
            reference, FourierSum.of(draw(500, seed=seed), basis), false_alarm_rate=0.01
        )
        assert same.biased < same.noise
    shifted = FourierSum.of(draw(500, seed=2, shift=0.7), basis)
    found = measure_discrepancy(reference, shifted, false_alarm_rate=0.01)
    assert found.biased > found.noise


def test_the_noise_falls_with_the_root_of_the_samples() -> None:
    basis = FourierBasis.draw(draw(50), seed=0)
    noises = [
        measure_discrepancy(
            FourierSum.of(draw(count), basis),
            FourierSum.of(draw(count, seed=1), basis),
            false_alarm_rate=0.01,
        ).noise
        for count in (100, 400)
    ]
    assert noises[0] == pytest.approx(2 * noises[1])
    assert noises[0] == pytest.approx(math.sqrt(2 / 100) * (1 + math.sqrt(2 * math.log(100))))


@given(st.lists(st.integers(0, 60), min_size=1, max_size=5), st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_sums_add_up_in_any_order_and_grouping(sizes: list[int], seed: int) -> None:
    basis = FourierBasis.draw(draw(30, width=4), seed=seed)
    hours = [draw(size, seed=number, width=4) for number, size in enumerate(sizes)]
    sums = [FourierSum.of(hour, basis) for hour in hours]
    together = FourierSum.of(np.concatenate(hours), basis)
    grouped = merge_sums([merge_sums(sums[:2]), merge_sums(sums[2:])])
    for merged in (merge_sums(sums), merge_sums(reversed(sums)), grouped):
        assert merged.num_values == sum(sizes)
        assert merged.sums == pytest.approx(together.sums, abs=1e-3)


def test_what_is_not_finite_is_missing() -> None:
    basis = FourierBasis.draw(draw(30), seed=0)
    rows = draw(3)
    rows[1, 2] = np.nan
    found = FourierSum.of(rows, basis, num_missing=4)
    assert (found.num_values, found.num_missing) == (2, 5)
    assert found.sums == pytest.approx(FourierSum.of(rows[[0, 2]], basis).sums)


@pytest.mark.parametrize("rows", [draw(1), np.ones((5, 16), np.float32)], ids=["one", "all equal"])
def test_a_basis_without_a_distance_has_a_kernel_of_width_one(rows: Table) -> None:
    basis = FourierBasis.draw(rows, seed=0)
    assert np.isfinite(basis.frequencies).all()
    assert 0.9 < basis.frequencies.std() < 1.1


def test_the_kernel_is_as_wide_as_embeddings_lie_apart() -> None:
    near, far = FourierBasis.draw(draw(100), seed=0), FourierBasis.draw(100 * draw(100), seed=0)
    assert near.frequencies == pytest.approx(100 * far.frequencies, rel=1e-5)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_embeddings_are_not_compared(count: int) -> None:
    basis = FourierBasis.draw(draw(30), seed=0)
    with pytest.raises(ValueError, match="two embeddings"):
        measure_discrepancy(
            FourierSum.of(draw(count), basis), FourierSum.of(draw(30), basis), false_alarm_rate=0.01
        )


def test_sums_of_different_bases_are_refused() -> None:
    of_16 = FourierSum.of(draw(5), FourierBasis.draw(draw(30), seed=0))
    of_other = FourierSum(5, 0, np.ones(10))
    with pytest.raises(ValueError, match="same basis"):
        measure_discrepancy(of_16, of_other, false_alarm_rate=0.01)
    with pytest.raises(ValueError, match="different bases"):
        merge_sums([of_16, of_other])


def test_bytes_come_back_as_they_were_and_damage_is_named() -> None:
    basis = FourierBasis.draw(draw(30), seed=0)
    found = FourierSum.of(draw(5), basis, num_missing=2)
    read = FourierSum.from_bytes(found.to_bytes())
    assert (read.num_values, read.num_missing, read.sums.tolist()) == (5, 2, found.sums.tolist())
    for damaged in (b"", found.to_bytes()[:-8], found.to_bytes()[:30], b"\x09" + found.to_bytes()[1:]):
        with pytest.raises(IntegrityError, match="a sum of embeddings cannot be read"):
            FourierSum.from_bytes(damaged)
    again = FourierBasis.from_bytes(basis.to_bytes(), 16)
    assert (again.frequencies == basis.frequencies).all()
    for damaged, width in ((basis.to_bytes()[:-4], 16), (b"", 16), (basis.to_bytes(), 0)):
        with pytest.raises(IntegrityError, match="frequencies"):
            FourierBasis.from_bytes(damaged, width)
