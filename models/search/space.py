"""Which settings a search may vary, and settings with other values in their places. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from maskloop.errors import ConfigurationError
from maskloop.settings.model_settings import VariedSettings
from maskloop.settings.workspace_settings import Settings, parse_settings

_DIGITS: Final = 3
"""Significant digits of drawn numbers: more would only make the settings hard to read."""
_FIXED: Final = {
    "training.steps": "trials are compared after as many steps",
    "training.evaluate_every_steps": "trials are evaluated where they are compared",
    "training.evaluate_beside": "trials are evaluated where they are compared",
    "training.early_stopping_evaluations": "the search itself ends trials early",
    "training.seed": "the luckiest seed is not a better setting",
    "training.retrain_steps": "trials start from first weights",
    "training.retrain_learning_rate": "trials start from first weights",
    "training.replay_percent": "trials start from first weights",
}
_SECTIONS: Final = ("model", "training")


@dataclass(frozen=True)
class Range:
    """A number between two ends, both included."""

    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False

    def holds(self, value: Any) -> bool:
        """Tell whether a value lies in it."""
        return isinstance(value, int | float) and self.low <= value <= self.high

    def tidy(self, value: float) -> float:
        """Return a value with three significant digits, still in the range.

        >>> Range(0.001, 0.1).tidy(0.0123456), Range(0.0, 0.12345).tidy(0.12345), Range(1, 9).tidy(0.0)
        (0.0123, 0.123, 1)
        """
        if self.is_whole:
            return round(min(max(value, self.low), self.high))
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    options: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        """Tell whether a value is one of them."""
        return value in self.options


Space = Mapping[str, Range | Choice]
Values = Mapping[str, Any]
"""By setting, such as ``training.learning_rate``; lists in place of tuples."""


def make_space(settings: Settings, varied: Mapping[str, VariedSettings]) -> Space:
    """Return the space that was asked for, or the default one. Pure.

    Raises:
        ConfigurationError: naming a setting that does not exist, cannot be searched, or cannot have a value.
    """
    if not varied:
        return default_space(settings)
    return {path: _read_varied(settings, path, asked) for path, asked in varied.items()}


def default_space(settings: Settings) -> Space:
    """Return what matters most and changes neither the length of a trial nor the network. Pure.

    The present values lie in it. The batch is left out: trials have equal numbers of steps, so a larger batch
    would see more pictures and win by that.

    >>> default_space(Settings())["training.learning_rate"]
    Range(low=4e-05, high=0.001, is_log=True, is_whole=False)
    """
    training, extra = settings.training, settings.training.augmentation
    rate, decay = training.learning_rate, training.weight_decay
    return {
        "training.learning_rate": Range(_tidy(rate / 5), _tidy(rate * 5), is_log=True),
        "training.weight_decay": Range(min(1e-6, decay), max(1e-2, decay), is_log=True)
        if decay
        else Range(0.0, 1e-2),
        "training.warmup_steps": Range(0, max(training.steps // 2, training.warmup_steps), is_whole=True),
        "training.colour_jitter": Range(0.0, max(0.4, training.colour_jitter)),
        "training.augmentation.copy_paste": _off_or_more(extra.copy_paste),
        "training.augmentation.crop": _off_or_more(extra.crop),
    }


def value_of(settings: Settings, path: str) -> Any:
    """Return what a setting is. Raises ConfigurationError if there is none of that name.

    >>> value_of(Settings(), "training.augmentation.scale_range")
    [1.0, 1.0]
    """
    found: Any = settings
    for name in path.split("."):
        if not isinstance(found, BaseModel) or name not in type(found).model_fields:
            raise ConfigurationError("there is no such setting", where=path)
        found = getattr(found, name)
    return json.loads(json.dumps(found, default=lambda one: one.model_dump(mode="json")))


def present_values(settings: Settings, space: Space) -> Values:
    """Return what the settings of a space are now."""
    return {path: value_of(settings, path) for path in space}


def holds(space: Space, values: Values) -> bool:
    """Tell whether values lie in a space, each of its settings named and no other."""
    return values.keys() == space.keys() and all(space[path].holds(value) for path, value in values.items())


def with_values(settings: Settings, values: Values) -> Settings:
    """Return settings with other values for [model] and [training], trained by one process. Pure.

    Raises:
        ConfigurationError: if a value is out of range, or values contradict each other.
    """
    document: dict[str, Any] = {name: getattr(settings, name).model_dump(mode="json") for name in _SECTIONS}
    for path, value in values.items():
        *tables, name = path.split(".")
        table = document
        for each in tables:
            table = table.setdefault(each, {})
        table[name] = value
    parsed = parse_settings(document, where=", ".join(f"{path} = {value}" for path, value in values.items()))
    return settings.model_copy(update={"model": parsed.model, "training": parsed.training})


def _read_varied(settings: Settings, path: str, asked: VariedSettings) -> Range | Choice:
    where = f"[tune.space] {path}"
    if path.split(".")[0] not in _SECTIONS or path.startswith("training.cluster"):
        raise ConfigurationError(
            "only settings of [model] and [training] that shape the network can be searched", where=where
        )
    if path in _FIXED:
        raise ConfigurationError(f"this setting cannot be searched: {_FIXED[path]}", where=where)
    present = value_of(settings, path)
    if isinstance(present, dict):
        raise ConfigurationError("this is a section; name one of its settings", where=where)
    found = _read_choice(asked) if asked.choices else _read_range(asked, present, where)
    ends = found.options if isinstance(found, Choice) else (found.low, found.high)
    for end in ends:
        with_values(settings, {path: end})
    return found


def _read_choice(asked: VariedSettings) -> Choice:
    return Choice(tuple(json.loads(json.dumps(asked.choices))))


def _read_range(asked: VariedSettings, present: Any, where: str) -> Range:
    if isinstance(present, bool) or not isinstance(present, int | float):
        raise ConfigurationError("this setting is no number: give choices", where=where)
    low, high = asked.low or 0.0, asked.high or 0.0
    if not isinstance(present, int):
        return Range(low, high, asked.log)
    if low != math.floor(low) or high != math.floor(high):
        raise ConfigurationError("this setting is a whole number, so low and high must be", where=where)
    return Range(int(low), int(high), asked.log, is_whole=True)


def _off_or_more(present: float) -> Choice:
    """Return chances of a variant of pictures; a range would hardly ever leave it out."""
    return Choice(tuple(sorted({0.0, 0.25, 0.5, present})))


def _tidy(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
