"""The largest changes in plain words with numbers, for the person who reads the alarm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from monitoring.signals.feature_signal import FeatureSignal

_ENTROPY: Final = "entropy"
_SIZE: Final = "mean_relative_area"
_SHARPNESS: Final = "sharpness"
_NOISE: Final = "noise"


def likely_cause(signals: Sequence[FeatureSignal], evidence: Mapping[str, float] | None = None) -> str:
    """Say which change of the pictures is largest, and which change of the predictions goes with it.

    Only drifted signals count, and of each group the strongest. A signal that is the consequence of another
    one is not named: entropy of any other property, less noise of blur, more fine structure of noise, what
    moved with the light alone. Objects of another size come first: a closer camera makes smoother pictures.

    Args:
        signals: Of a verdict.
        evidence: See `weigh_evidence`; effects count for signals it does not name.

    Returns:
        An empty string if none drifted.
    """
    drifted = [signal for signal in rank_signals(signals, evidence or {}) if signal.drifted]
    pictures = [signal for signal in drifted if signal.feature.needs == "picture"]
    alone = _without_consequences(
        [one for one in pictures if (evidence or {}).get(one.name) != 0.0] or pictures
    )
    predictions = [
        signal for signal in drifted if signal not in pictures and signal.reference_mean is not None
    ]
    sizes = [one for one in predictions if one.name == _SIZE and any(two.name == _SHARPNESS for two in alone)]
    causes = [*sizes, *_one_per_group(alone)][:2]
    told = [describe_change(one) for one in (*causes, *[one for one in predictions if one not in sizes][:1])]
    if not told:
        return (
            "the pictures look different to the model, which no single property explains" if drifted else ""
        )
    return "; ".join(told)


def rank_signals(signals: Sequence[FeatureSignal], evidence: Mapping[str, float]) -> list[FeatureSignal]:
    """Sort signals by evidence where there is any, then by effect over the needed one, then by p-value."""
    return sorted(
        signals,
        key=lambda one: (
            -evidence.get(one.name, 0.0),
            -one.effect / max(one.needed_effect, 1e-9) if one.needed_effect else -one.effect,
            one.corrected_p_value,
            one.name,
        ),
    )


def describe_change(signal: FeatureSignal) -> str:
    """Describe the change of one signal, e.g. ``the pictures are darker (brightness 0.5 → 0.2 …)``."""
    before, after = signal.reference_mean, signal.current_mean
    if before is None or after is None:
        return f"{signal.feature.label} changed"
    name = signal.feature.label
    unit = f" {signal.feature.unit}" if signal.feature.unit else ""
    numbers = f"({name} {_short(before)} → {_short(after)}{unit} on average, effect {signal.effect:.2f})"
    if _short(before) == _short(after):  # the shape moved, not the middle
        return f"{name} is spread differently {numbers}"
    return f"{signal.feature.rises if after > before else signal.feature.falls} {numbers}"


def _without_consequences(pictures: Sequence[FeatureSignal]) -> list[FeatureSignal]:
    """Leave out what follows from another one, where that moved the way it must have."""
    rises = {one.name: (one.current_mean or 0.0) > (one.reference_mean or 0.0) for one in pictures}
    follows = set()
    if len(pictures) > 1:
        follows.add(_ENTROPY)
    if {_NOISE, _SHARPNESS} <= rises.keys() and rises[_NOISE] == rises[_SHARPNESS]:
        follows.add(_SHARPNESS if rises[_NOISE] else _NOISE)
    return [one for one in pictures if one.name not in follows]


def _one_per_group(signals: Sequence[FeatureSignal]) -> list[FeatureSignal]:
    first: dict[str, FeatureSignal] = {}
    for signal in signals:
        first.setdefault(signal.group, signal)
    return list(first.values())


def _short(number: float) -> str:
    return f"{number:.3g}"
