"""How far a long period lies from a reference, from sketches alone, with what the sketches may be wrong by.

This is a figure to look at, not the drift verdict: that judges one window of samples scene by scene. Sketches
count every sample, so pictures that come in bursts make `noise` too small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from monitoring.features.table import EMBEDDING
from monitoring.signals.two_sample import detectable_distance
from monitoring.sketches.buckets import Sketch
from monitoring.sketches.fourier import FourierSum, measure_discrepancy
from monitoring.sketches.number_sketch import NumberSketch

Outcome = Literal["differs", "alike", "too_close_to_tell", "inconclusive"]
_FEWEST_EMBEDDINGS: Final = 2


@dataclass(frozen=True)
class Yardstick:
    """When a difference counts.

    Attributes:
        min_effect: Smallest distance of numbers that counts, 0..1.
        false_alarm_rate: For all features of a comparison together.
        min_samples: Fewer values on either side are inconclusive.
        max_missing_percent: A feature missing more often is inconclusive.
    """

    min_effect: float
    false_alarm_rate: float
    min_samples: int
    max_missing_percent: float


@dataclass(frozen=True)
class Difference:
    """One feature of a period beside its reference.

    Attributes:
        feature: Its name.
        outcome: ``differs``: the distance exceeds ``noise`` (of numbers, ``min_effect`` too) even if the
            sketches are as wrong as they may be. ``alike``: it does not, even so. ``too_close_to_tell``: it
            depends on how wrong they are. ``inconclusive``: nothing can be said, for ``reason``.
        reason: In words; empty unless inconclusive.
        num_reference: Values of the reference.
        num_values: Values of the period.
        missing_percent: Of the period.
        distance: Of numbers the Kolmogorov-Smirnov distance, 0..1; of embeddings the maximum mean
            discrepancy, 0..2; None if inconclusive.
        error: By how much the sketches may have made it wrong, with 98 % probability.
        noise: Equal distributions of independent samples stay below it.
        source: Of the samples; empty if those of all sources were compared together.
        reference: Whose held-out pictures they were compared with: the source's own, where it has some.
    """

    feature: str
    outcome: Outcome
    reason: str
    num_reference: int
    num_values: int
    missing_percent: float
    distance: float | None = None
    error: float | None = None
    noise: float | None = None
    source: str = ""
    reference: str = ""


def compare_all(
    reference: Mapping[str, Sketch], period: Mapping[str, Sketch], yardstick: Yardstick
) -> tuple[Difference, ...]:
    """Compare every feature that the reference has, those that differ most first. Pure.

    The false-alarm rate is divided by the number of features (Bonferroni).
    """
    names = sorted(reference)
    rate = yardstick.false_alarm_rate / max(len(names), 1)
    found = [_compare(name, reference[name], period.get(name), yardstick, rate) for name in names]
    return _largest_first(found)


def compare_sources(
    references: Mapping[str, Mapping[str, Sketch]],
    period: Mapping[str, Mapping[str, Sketch]],
    candidates: Mapping[str, Sequence[str]],
    yardstick: Yardstick,
) -> tuple[Difference, ...]:
    """Compare each source of a period with its own reference, all differences in one order. Pure.

    A second camera that the model knows differs from all sources pooled, and is no news. Where a source has
    several references, the one that fewest features differ from is told. The false-alarm rate is divided by
    the number of sources too; asking several references only makes differences rarer.

    Args:
        references: By name.
        period: By source.
        candidates: By source, the names of the references that it is compared with, at least one.
        yardstick: For everything together.
    """
    shared = replace(yardstick, false_alarm_rate=yardstick.false_alarm_rate / max(len(period), 1))
    found: list[Difference] = []
    for source, sketches in period.items():
        compared = {name: compare_all(references[name], sketches, shared) for name in candidates[source]}
        closest = min(compared, key=lambda name: sum(one.outcome == "differs" for one in compared[name]))
        found += [replace(one, source=source, reference=closest) for one in compared[closest]]
    return _largest_first(found)


def _largest_first(found: Sequence[Difference]) -> tuple[Difference, ...]:
    return tuple(sorted(found, key=lambda one: (one.outcome != "differs", -(one.distance or 0.0))))


def ks_distance(one: NumberSketch, other: NumberSketch) -> float:
    """Return the Kolmogorov-Smirnov distance of two sketches with values, 0..1.

    It is wrong by at most the sum of their rank errors.

    >>> ks_distance(NumberSketch.of([1.0, 2.0]), NumberSketch.of([2.0, 3.0]))
    0.5
    """
    (values, shares), (other_values, other_shares) = one.steps(), other.steps()
    places = np.union1d(values, other_values)
    shares = np.concatenate([[0.0], shares])[np.searchsorted(values, places, side="right")]
    other_shares = np.concatenate([[0.0], other_shares])[np.searchsorted(other_values, places, side="right")]
    return float(np.abs(shares - other_shares).max())


def _compare(
    name: str, reference: Sketch, period: Sketch | None, yardstick: Yardstick, rate: float
) -> Difference:
    count = period.num_values if period else 0
    expected = count + period.num_missing if period else 0
    missing_percent = 100.0 * (expected - count) / expected if expected else 0.0
    fewest = max(yardstick.min_samples, _FEWEST_EMBEDDINGS)
    reason = ""
    if period is None:
        reason = "no sample of the period has it"
    elif missing_percent > yardstick.max_missing_percent:
        reason = f"it is missing in {missing_percent:.0f} % of the samples"
    elif min(count, reference.num_values) < fewest:
        reason = f"{count} values beside {reference.num_values} of the reference; {fewest} of each are needed"
    if reason or period is None:
        return Difference(name, "inconclusive", reason, reference.num_values, count, missing_percent)
    distance, error, noise = _measure(reference, period, rate)
    limit = max(yardstick.min_effect, noise) if isinstance(period, NumberSketch) else noise
    outcome: Outcome = "too_close_to_tell"
    if distance - error > limit:
        outcome = "differs"
    elif distance + error <= limit:
        outcome = "alike"
    return Difference(name, outcome, "", reference.num_values, count, missing_percent, distance, error, noise)


def _measure(reference: Sketch, period: Sketch, rate: float) -> tuple[float, float, float]:
    """Return distance, error and noise."""
    if isinstance(reference, NumberSketch) and isinstance(period, NumberSketch):
        error = reference.rank_error + period.rank_error
        noise = min(detectable_distance(reference.num_values, period.num_values, rate), 1.0)
        return ks_distance(reference, period), error, noise
    if not (isinstance(reference, FourierSum) and isinstance(period, FourierSum)):
        raise ValueError("a number cannot be compared with an embedding")
    found = measure_discrepancy(reference, period, false_alarm_rate=rate)
    squared = max(found.squared, 0.0)
    return found.biased, math.sqrt(squared + found.squared_error) - math.sqrt(squared), found.noise


def describe_reference(
    names: Sequence[str], values: NDArray[np.float64], embeddings: FourierSum | None
) -> Mapping[str, Sketch]:
    """Return the sketches of a reference's pictures.

    Args:
        names: F features.
        values: float64 (P, F), NaN where a feature does not exist.
        embeddings: Of the pictures; None without a basis.
    """
    sketches: dict[str, Sketch] = {
        name: NumberSketch.of(values[np.isfinite(values[:, column]), column])
        for column, name in enumerate(names)
    }
    if embeddings is not None and embeddings.num_values:
        sketches[EMBEDDING.name] = embeddings
    return sketches
