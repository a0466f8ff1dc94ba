"""A class that looks otherwise in a batch than in the data, while everything else in the pictures does not.

A class name that came to mean other objects moves that class alone. A new camera moves all classes and the
background together. So a class is reported only if, in one feature,

1. it moved: the group means of batch and data differ (Mann and Whitney's U, corrected by Holm over all
   classes and features) and Cliff's delta is large, and
2. it moved unlike everything else: the same holds once the data have moved as the other classes, and for
   colours the background, did in the median, and this class is farther from that than the others are.

If the background moved, the camera or the place may be another, which changes the colours and textures of
different objects differently: then shapes alone are compared, and a single class is not reported at all. The
texture of a class is not compared, since blur changes that of some objects alone.

H. B. Mann, D. R. Whitney, On a Test of Whether one of Two Random Variables is Stochastically Larger than the
Other, 1947; N. Cliff, Dominance Statistics, 1993; S. Holm, A Simple Sequentially Rejective Procedure, 1979.

Shape suffixes: N groups of pictures, C classes and last the background, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, erfc, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.health.instance_looks import (
    BACKGROUND_FEATURES,
    FIRST_COLOUR,
    LOOK_FEATURES,
    TEXTURE,
    PictureLooks,
)

ERROR_RATE: Final = 0.01
"""Chance that a batch of the same objects is reported, over all classes and features."""
MIN_EFFECT: Final = 0.6
"""Smallest Cliff's delta, 0..1, that matters, however certain it is."""
MIN_GROUPS: Final = 8
"""Groups of pictures that show the class, in the batch and in the data."""
MIN_DISTANCE: Final = 3.0
"""How much farther a class must have moved from the general movement than the others typically did."""
_MOST_FOR_EXACT: Final = 8


@dataclass(frozen=True)
class LookChange:
    """A class that looks otherwise.

    Attributes:
        class_index: The class.
        feature: Position in `LOOK_FEATURES` of what changed most.
        effect: Cliff's delta of that, -1..1; above 0 if it is larger in the batch.
        p_value: After the correction.
        num_old: Groups of pictures in the data that were compared.
        num_new: In the batch.
    """

    class_index: int
    feature: int
    effect: float
    p_value: float
    num_old: int
    num_new: int


@dataclass(frozen=True)
class _Moved:
    """How one class, or the background, differs between data and batch.

    Attributes:
        old: Group means in the data, float64 (N, F).
        new: In the batch, float64 (N', F).
    """

    old: NDArray[np.float64]
    new: NDArray[np.float64]

    @property
    def is_measured(self) -> bool:
        return min(len(self.old), len(self.new)) >= MIN_GROUPS

    @property
    def shift(self) -> NDArray[np.float64]:
        """The difference of the medians, float64 (F,)."""
        return np.asarray(np.median(self.new, axis=0) - np.median(self.old, axis=0))

    def test_all(self) -> list[tuple[float, float]]:
        """Return p-value and Cliff's delta of every feature."""
        return [compare_ranks(new, old) for new, old in zip(self.new.T, self.old.T, strict=True)]

    def test(self, feature: int, added: float) -> tuple[float, float]:
        """Return p-value and Cliff's delta of a feature, after the data have moved like everything else."""
        return compare_ranks(self.new[:, feature], self.old[:, feature] + added)


def find_look_changes(
    old: Sequence[PictureLooks], new: Sequence[PictureLooks], num_classes: int
) -> tuple[LookChange, ...]:
    """Return the classes that look otherwise in the batch, the largest effect first.

    Args:
        old: Pictures of the data.
        new: Pictures of the batch.
        num_classes: Class indices are below it.
    """
    classes = [_Moved(_group_means(old, index), _group_means(new, index)) for index in range(num_classes)]
    measured = [index for index, one in enumerate(classes) if one.is_measured]
    background = _Moved(_group_means(old, None), _group_means(new, None))
    has_stayed = background.is_measured and not _has_moved(background)
    own = {
        (index, feature): tested
        for index in measured
        for feature, tested in enumerate(classes[index].test_all())
        if feature != TEXTURE
    }
    corrected = dict(zip(own, _holm([p_value for p_value, _ in own.values()]), strict=True))
    found: dict[int, LookChange] = {}
    for (index, feature), (_, effect) in own.items():
        p_value = corrected[index, feature]
        if p_value > ERROR_RATE or abs(effect) < MIN_EFFECT:
            continue
        if not has_stayed and (feature >= FIRST_COLOUR or len(measured) == 1):
            continue
        others = [classes[other] for other in measured if other != index]
        if not _moved_alone(classes[index], feature, others, background):
            continue
        known = found.get(index)
        if known is None or abs(effect) > abs(known.effect):
            sizes = (len(classes[index].old), len(classes[index].new))
            found[index] = LookChange(index, feature, round(effect, 3), p_value, *sizes)
    return tuple(sorted(found.values(), key=lambda one: (-abs(one.effect), one.class_index)))


def _moved_alone(own: _Moved, feature: int, others: Sequence[_Moved], background: _Moved) -> bool:
    """Tell whether a class moved unlike everything else in the pictures."""
    references = [float(one.shift[feature]) for one in others]
    if feature in BACKGROUND_FEATURES and background.is_measured:
        references.append(float(background.shift[feature]))
    if not references:
        return not LOOK_FEATURES[feature].follows_camera
    general = float(np.median(references))
    spread = float(np.median(np.abs(np.array(references) - general)))
    if abs(float(own.shift[feature]) - general) < MIN_DISTANCE * spread:
        return False
    p_value, effect = own.test(feature, general)
    return p_value <= ERROR_RATE and abs(effect) >= MIN_EFFECT


def _has_moved(background: _Moved) -> bool:
    tests = [background.test(feature, 0.0) for feature in BACKGROUND_FEATURES]
    corrected = _holm([p_value for p_value, _ in tests])
    return any(p_value <= ERROR_RATE for p_value in corrected)


def _group_means(pictures: Sequence[PictureLooks], class_index: int | None) -> NDArray[np.float64]:
    """Return the mean of each group, float64 (N, F), of a class or, for None, of the background."""
    sums: dict[str, list[NDArray[np.float64]]] = {}
    for picture in pictures:
        values = picture.background if class_index is None else picture.by_class.get(class_index)
        if values is not None and not np.isnan(values[list(BACKGROUND_FEATURES)]).any():
            sums.setdefault(picture.group, []).append(values)
    means = [np.mean(values, axis=0) for values in sums.values()]
    return np.stack(means) if means else np.zeros((0, len(LOOK_FEATURES)))


def _holm(p_values: Sequence[float]) -> list[float]:
    order = np.argsort(p_values, kind="stable")
    corrected, largest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(order.tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def compare_ranks(new: NDArray[np.float64], old: NDArray[np.float64]) -> tuple[float, float]:
    """Return Mann and Whitney's two-sided p-value, 0..1, and Cliff's delta, -1..1, of float64 (N,) and (M,).

    The delta is above 0 where the first sample is larger. Neither may be empty. The p-value is that of
    `scipy.stats.mannwhitneyu`, exact for small samples without ties, otherwise by the normal approximation
    with corrections for ties and continuity; importing SciPy's costs more than an ingest.
    """
    num_new, num_old = len(new), len(old)
    _, inverse, counts = np.unique(np.concatenate([new, old]), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    u = float(ranks[:num_new].sum()) - num_new * (num_new + 1) / 2
    delta = 2.0 * u / (num_new * num_old) - 1.0
    larger = max(u, num_new * num_old - u)
    if min(num_new, num_old) <= _MOST_FOR_EXACT and counts.max() == 1:
        return min(1.0, 2.0 * _exact_tail(round(larger), num_new, num_old)), delta
    num = num_new + num_old
    ties = float((counts.astype(np.float64) ** 3 - counts).sum())
    deviation = sqrt(max(0.0, num_new * num_old / 12 * (num + 1 - ties / (num * (num - 1)))))
    if deviation == 0.0:
        return 1.0, delta
    return min(1.0, erfc((larger - num_new * num_old / 2 - 0.5) / deviation / sqrt(2.0))), delta


def _exact_tail(u: int, num_new: int, num_old: int) -> float:
    """Return the chance of a U of at least this, if all orders of both samples are equally likely.

    The numbers of orders with U = 0, 1, ... are the coefficients of the Gaussian binomial.
    """
    ways = np.zeros(num_new * num_old + 1)
    ways[0] = 1.0
    for one in range(1, min(num_new, num_old) + 1):
        above = max(num_new, num_old) + one
        ways[above:] -= ways[:-above].copy()
        for start in range(one):
            ways[start::one] = np.cumsum(ways[start::one])
    return float(ways[u:].sum()) / comb(num_new + num_old, num_new)
