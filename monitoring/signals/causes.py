"""The largest changes in plain words with numbers, for the person who reads the alarm."""

from __future__ import annotations

from collections.abc import Sequence

from monitoring.signals.feature_signal import FeatureSignal


def likely_cause(signals: Sequence[FeatureSignal]) -> str:
    """Say which change of the pictures is largest, and which change of the predictions goes with it.

    Only drifted signals count. An empty string if none did.
    """
    drifted = [signal for signal in sorted(signals, key=lambda signal: -signal.effect) if signal.drifted]
    pictures = [signal for signal in drifted if signal.feature.needs == "picture"]
    predictions = [
        signal for signal in drifted if signal not in pictures and signal.reference_mean is not None
    ]
    told = [describe_change(signal) for signal in (*_one_per_group(pictures)[:2], *predictions[:1])]
    if not told:
        return (
            "the pictures look different to the model, which no single property explains" if drifted else ""
        )
    return "; ".join(told)


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


def _one_per_group(signals: Sequence[FeatureSignal]) -> list[FeatureSignal]:
    first: dict[str, FeatureSignal] = {}
    for signal in signals:
        first.setdefault(signal.group, signal)
    return list(first.values())


def _short(number: float) -> str:
    return f"{number:.3g}"
