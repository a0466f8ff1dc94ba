"""How much speaks for each change of the pictures being the cause, and not the consequence of another one.

A darker picture has less contrast, weaker colours and smoother edges, and takes fewer grey levels. So each
property is compared as it would be under the same light: what its change leaves over then speaks for it, in
standard deviations of the champion's own pictures. Kolmogorov-Smirnov effects cannot rank large changes, for
they end at 1.

Shape suffix: P pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitoring.signals.two_sample import ks_test

Values = NDArray[np.float64]
Columns = Mapping[str, Values]

_WHITE: Final = 255.0
_SMALLEST: Final = 1e-4
_SMALLEST_SPREAD: Final = 1e-6
_LEAST_EFFECT: Final = 0.3
_UNDER_THE_SAME_LIGHT: Final[Mapping[str, tuple[tuple[str, ...], Callable[[Columns], Values]]]] = {
    "contrast": (("brightness",), lambda of: np.log(_positive(of["contrast"]) / _positive(of["brightness"]))),
    "red_green": (("brightness",), lambda of: of["red_green"] / _positive(of["brightness"])),
    "yellow_blue": (("brightness",), lambda of: of["yellow_blue"] / _positive(of["brightness"])),
    "sharpness": (
        ("contrast",),
        lambda of: np.log10(
            _positive(10.0 ** of["sharpness"] - 1.0) / _positive(_WHITE * of["contrast"]) ** 2
        ),
    ),
    "noise": (("contrast",), lambda of: np.log(_positive(of["noise"]) / _positive(_WHITE * of["contrast"]))),
}
"""By property: which others its value depends on, and what is left of it without them."""


def weigh_evidence(own: Columns, current: Columns) -> dict[str, float]:
    """Return how far each property moved by itself, in standard deviations, at least 0.

    Args:
        own: Of the champion's own pictures, float64 (P,) by name, NaN where there is none.
        current: Of the window, the same names.

    Returns:
        0 for one that moved only because the light did. Those of the names that have values on both sides.
    """
    found = {}
    for name in own:
        before, after = (_finite(_alone(name, columns)) for columns in (own, current))
        if before.size and after.size:
            spread = max(float(before.std()), _SMALLEST_SPREAD * (1.0 + abs(float(before.mean()))))
            shift = abs(float(after.mean() - before.mean())) / spread
            found[name] = shift if ks_test(before, after).effect >= _LEAST_EFFECT else 0.0
    return found


def _alone(name: str, columns: Columns) -> Values:
    needs, adjust = _UNDER_THE_SAME_LIGHT.get(name, ((), None))
    return adjust(columns) if adjust and set(needs) <= columns.keys() else columns[name]


def _positive(values_P: Values) -> Values:
    return np.maximum(values_P, _SMALLEST)


def _finite(values_P: Values) -> Values:
    return values_P[np.isfinite(values_P)]
