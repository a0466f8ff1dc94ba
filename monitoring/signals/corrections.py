"""Corrections for many tests: over all of them, over the false discoveries, and over families of tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def holm_corrected(p_values: Sequence[float]) -> tuple[float, ...]:
    """Correct for many tests (Holm 1979): those at or below ``a`` hold together with an error rate of ``a``.

    Valid however the tests depend on each other.

    >>> holm_corrected([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return tuple(corrected)


def step_up_corrected(p_values: Sequence[float]) -> tuple[float, ...]:
    """Correct for many tests (Benjamini and Hochberg 1995).

    Of those at or below ``a`` a share of at most ``a`` is expected to be false. The smallest is the p-value
    of Simes (1986) for all of them being null. Valid for tests that are independent, or depend positively.

    >>> step_up_corrected([0.01, 0.04, 0.03])
    (0.03, 0.04, 0.04)
    """
    num = len(p_values)
    order = sorted(range(num), key=lambda index: p_values[index])
    corrected = [1.0] * num
    smallest = 1.0
    for rank in range(num, 0, -1):
        index = order[rank - 1]
        smallest = min(smallest, num * p_values[index] / rank)
        corrected[index] = smallest
    return tuple(corrected)


def family_corrected(
    families: Mapping[str, Sequence[float]], *, level: float
) -> Mapping[str, tuple[float, ...]]:
    """Correct tests that come in families, so that each family has one vote (Benjamini and Bogomolov 2014).

    Families are chosen by Simes' p-values after Benjamini and Hochberg; then the tests of each chosen one are
    corrected after Benjamini and Hochberg at ``level`` times the share of chosen families. So the false
    discoveries are expected to be at most ``level`` of the discoveries of a chosen family, on average over
    them. Where nothing is true, the chance of choosing any family is at most ``level``.

    Args:
        families: P-values by the family's name, none of them empty.
        level: At which it is decided, 0..1.

    Returns:
        Corrected p-values by family: discoveries are those at or below ``level``.
    """
    within = {name: step_up_corrected(p_values) for name, p_values in families.items()}
    of_families = dict(
        zip(within, step_up_corrected([min(corrected) for corrected in within.values()]), strict=True)
    )
    num_chosen = max(1, sum(p_value <= level for p_value in of_families.values()))
    penalty = len(families) / num_chosen
    return {
        name: tuple(min(1.0, max(of_families[name], penalty * p_value)) for p_value in corrected)
        for name, corrected in within.items()
    }
