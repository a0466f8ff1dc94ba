"""Which answers become samples: a pure decision over what was taken before.

A random draw by the request's id decides first, so a repeated request is decided alike. A sample that the
draw leaves out may still be kept by a rule: it *failed*, it is *strange* (out of distribution), or the model
is *doubtful*.

Rules are limited too: otherwise noise and outages could fill the log and displace every kept picture. Each of
the three rules may use a tenth of each quota and the random draw the other seven tenths. Failures are kept by
their rule alone and do not affect the sampling rate of answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from maskloop.settings.workspace_settings import SamplingSettings
from serving.routing import point_of

Rule = Literal["failed", "strange", "doubtful"]
Budget = Literal["chance", "failed", "strange", "doubtful"]
RULES: Final[tuple[Rule, ...]] = ("failed", "strange", "doubtful")
_RULE_DIVISOR: Final = 10
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400


@dataclass(frozen=True)
class Candidate:
    """An answer that may become a sample.

    Attributes:
        request_id: Decides by chance.
        class_names: Of the instances that were told.
        rule: Why it should be kept anyway, the strongest reason; None for no reason.
    """

    request_id: str
    class_names: frozenset[str] = frozenset()
    rule: Rule | None = None


@dataclass(frozen=True)
class CountingWindow:
    """Counts by name within one fixed interval; the next interval starts from zero."""

    length_s: int
    number: int = -1
    counts: Mapping[str, int] = field(default_factory=dict)

    def at(self, now_s: float) -> CountingWindow:
        """Return the window that holds this moment, in seconds since the epoch."""
        number = int(now_s // self.length_s)
        return self if number == self.number else CountingWindow(self.length_s, number)

    def plus(self, names: Iterable[str]) -> CountingWindow:
        """Return the window with one more of each name."""
        more = {name: self.counts.get(name, 0) + 1 for name in names}
        return CountingWindow(self.length_s, self.number, {**self.counts, **more})


@dataclass(frozen=True)
class Taken:
    """The samples taken in the present minute, hour and day, by budget; and today, by class."""

    minute: CountingWindow = CountingWindow(_MINUTE_S)
    hour: CountingWindow = CountingWindow(_HOUR_S)
    day: CountingWindow = CountingWindow(_DAY_S)
    classes: CountingWindow = CountingWindow(_DAY_S)

    def at(self, now_s: float) -> Taken:
        """Return what still counts at this moment, in seconds since the epoch."""
        if self.minute.at(now_s) is self.minute:  # hours and days begin with a minute
            return self
        windows = (self.minute, self.hour, self.day, self.classes)
        return Taken(*(window.at(now_s) for window in windows))

    def plus(self, budget: Budget, class_names: Iterable[str]) -> Taken:
        """Return the counts with one more sample."""
        minute, hour, day = (window.plus([budget]) for window in (self.minute, self.hour, self.day))
        return Taken(minute, hour, day, self.classes.plus(class_names))


@dataclass(frozen=True)
class Decision:
    """The decision about a candidate.

    Attributes:
        budget: What it was taken from; None if it is left out.
        outcome: ``kept``, ``kept_failed``, ``kept_strange``, ``kept_doubtful``; or why it is left out:
            ``not_chosen``, ``class_quota``, ``over_quota``.
    """

    budget: Budget | None
    outcome: str


def decide(candidate: Candidate, taken: Taken, settings: SamplingSettings) -> Decision:
    """Decide about one answer. Pure.

    Args:
        candidate: The answer.
        taken: What was taken in the windows of this moment.
        settings: ``rate`` and quotas.
    """
    left_out = _why_chance_leaves_out(candidate, taken, settings)
    if not left_out:
        return Decision("chance", "kept")
    if candidate.rule and _has_room(candidate.rule, taken, settings):
        return Decision(candidate.rule, f"kept_{candidate.rule}")
    return Decision(None, "over_quota" if candidate.rule else left_out)


def share_quotas(settings: SamplingSettings, num_workers: int) -> SamplingSettings:
    """Return each worker's part of the quotas."""
    names = ("max_per_minute", "max_per_hour", "max_per_day", "max_per_class_per_day")
    parts = {name: getattr(settings, name) // num_workers for name in names}
    if settings.max_per_class_per_day:
        parts["max_per_class_per_day"] = max(parts["max_per_class_per_day"], 1)  # 0 would be no limit
    return settings.model_copy(update=parts)


def limit_of(budget: Budget, quota: int) -> int:
    """Return how much of a quota one budget may take.

    >>> [limit_of(budget, 125) for budget in ("chance", "failed", "strange", "doubtful")]
    [89, 12, 12, 12]
    """
    of_a_rule = quota // _RULE_DIVISOR
    return quota - len(RULES) * of_a_rule if budget == "chance" else of_a_rule


def _why_chance_leaves_out(candidate: Candidate, taken: Taken, settings: SamplingSettings) -> str:
    """Return why, or an empty string if chance takes it."""
    is_chosen = point_of("sample", candidate.request_id) < settings.rate * 100.0
    if candidate.rule == "failed" or not is_chosen:
        return "not_chosen"
    limit, counts = settings.max_per_class_per_day, taken.classes.counts
    if limit and candidate.class_names and all(counts.get(c, 0) >= limit for c in candidate.class_names):
        return "class_quota"
    return "" if _has_room("chance", taken, settings) else "over_quota"


def _has_room(budget: Budget, taken: Taken, settings: SamplingSettings) -> bool:
    quotas = (
        (taken.minute, settings.max_per_minute),
        (taken.hour, settings.max_per_hour),
        (taken.day, settings.max_per_day),
    )
    return all(window.counts.get(budget, 0) < limit_of(budget, quota) for window, quota in quotas)
