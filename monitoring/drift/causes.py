"""What moved most, in plain words with numbers, for the person who reads the alarm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from monitoring.drift.signals import FeatureSignal
from monitoring.features import CLASS_COUNT_PREFIX, PICTURE_FEATURES

_WORDS: Final = {
    "brightness": ("the pictures are darker", "the pictures are brighter"),
    "contrast": ("the pictures have less contrast", "the pictures have more contrast"),
    "red_green": ("the colours moved towards green", "the colours moved towards red"),
    "yellow_blue": ("the colours moved towards blue", "the colours moved towards yellow"),
    "saturation": ("the colours are paler", "the colours are stronger"),
    "sharpness": ("the pictures are smoother or blurred", "the pictures show more fine structure"),
    "entropy": ("the pictures are plainer", "the pictures are busier"),
    "noise": ("there is less noise", "there is more noise"),
    "count": ("fewer objects are found", "more objects are found"),
    "mean_score": ("the model is less sure", "the model is surer"),
    "max_score": ("the model is less sure of its best find", "the model is surer of its best find"),
    "low_score_share": ("fewer finds are doubtful", "more finds are doubtful"),
    "mean_relative_area": ("the objects are smaller", "the objects are larger"),
    "mean_fill": ("the objects fill less of their boxes", "the objects fill more of their boxes"),
    "mean_aspect": ("the objects are less elongated", "the objects are more elongated"),
}


def likely_cause(signals: Sequence[FeatureSignal]) -> str:
    """Say which change of the pictures is largest, and which change of the predictions goes with it.

    Only drifted signals count. An empty string if none did.
    """
    drifted = [signal for signal in sorted(signals, key=lambda signal: -signal.effect) if signal.drifted]
    pictures = [signal for signal in drifted if signal.name in PICTURE_FEATURES]
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
    """Put one signal's change into words, e.g. ``the pictures are darker (brightness 0.5 → 0.2 …)``."""
    before, after = signal.reference_mean, signal.current_mean
    if before is None or after is None:
        return f"{signal.name} changed"
    name = signal.name.replace("_", " ")
    numbers = f"({name} {_short(before)} → {_short(after)} on average, effect {signal.effect:.2f})"
    if _short(before) == _short(after):  # the shape moved, not the middle
        return f"{name} is spread differently {numbers}"
    lower, higher = _words(signal.name)
    return f"{higher if after > before else lower} {numbers}"


def _words(name: str) -> tuple[str, str]:
    if name.startswith(CLASS_COUNT_PREFIX):
        what = name.removeprefix(CLASS_COUNT_PREFIX)
        return f"fewer of class {what} are found", f"more of class {what} are found"
    return _WORDS.get(name, (f"{name} is lower", f"{name} is higher"))


def _one_per_group(signals: Sequence[FeatureSignal]) -> list[FeatureSignal]:
    first: dict[str, FeatureSignal] = {}
    for signal in signals:
        first.setdefault(signal.group, signal)
    return list(first.values())


def _short(number: float) -> str:
    return f"{number:.3g}"
