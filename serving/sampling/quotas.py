"""Which answers become samples: a pure decision over what was taken before.

A random draw by the request's id decides first, so a repeated request is decided alike. A sample that the
draw leaves out may still be kept by a rule: it *failed*, it is *strange* (out of distribution), or the model
is *doubtful*.

Rules are limited too: otherwise noise and outages could fill the log and displace every kept picture. Each of
the three rules may use a tenth of each quota and the random draw the other seven tenths. Failures are kept by
their rule alone and do not affect the sampling rate of answers.

The quota of a day is spread over the day: a tenth of it is there at midnight UTC, and the rest comes minute
by minute. What is not used stays for later in the day. So a busy service is sampled until midnight, and each
hour gets at least nine tenths of its even share. Where 24 hours' quotas are less than a day's, the quota of
the hour is spread over the hour instead.

The processes of one service share its quotas, see `Pool`.
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
_AT_ONCE_DIVISOR: Final = 10
"""This part of a day's quota is there at midnight; without it a quiet service would lose first samples."""
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
DAY_S: Final = 86_400
_MINUTES_PER_DAY: Final = DAY_S // _MINUTE_S
_MINUTES_PER_HOUR: Final = _HOUR_S // _MINUTE_S
_HOURS_PER_DAY: Final = DAY_S // _HOUR_S


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
        """Return the window that holds this moment, in seconds since the epoch.

        A clock that is set back by at most a window's length does not begin a new one.
        """
        number = int(now_s // self.length_s)
        is_same = number in (self.number, self.number - 1)
        return self if is_same else CountingWindow(self.length_s, number)

    def plus(self, names: Iterable[str]) -> CountingWindow:
        """Return the window with one more of each name."""
        more = {name: self.counts.get(name, 0) + 1 for name in names}
        return CountingWindow(self.length_s, self.number, {**self.counts, **more})


@dataclass(frozen=True)
class Taken:
    """What one worker took in the present minute, hour and day, by budget; in the day by class too."""

    minute: CountingWindow = CountingWindow(_MINUTE_S)
    hour: CountingWindow = CountingWindow(_HOUR_S)
    day: CountingWindow = CountingWindow(DAY_S)

    def at(self, now_s: float) -> Taken:
        """Return what still counts at this moment, in seconds since the epoch."""
        if self.minute.at(now_s) is self.minute:  # hours and days begin with a minute
            return self
        return Taken(*(window.at(now_s) for window in (self.minute, self.hour, self.day)))

    def plus(self, budget: Budget, class_names: Iterable[str]) -> Taken:
        """Return the counts with one more sample."""
        minute, hour = (window.plus([budget]) for window in (self.minute, self.hour))
        return Taken(minute, hour, self.day.plus([budget, *map(name_class, class_names)]))


@dataclass(frozen=True)
class Pool:
    """What all workers of a service together had taken today when one of them last looked.

    Each worker may take an equal part of what was left. What others leave is divided again at the next look.
    All together exceed a day's quota by no more than what they take between two looks.

    Attributes:
        day: Days since the epoch; the counts of another day do not count.
        counts: Samples of all workers by budget and class, those that have ended included.
        own: The part of it that this worker took.
        num_workers: That share, this one included.
        rank: The place of this one among them, from 0; lower ranks get what cannot be divided.
        num_ahead: Workers that do not share because their clocks are ahead of this one's.
        most_ahead_s: By how much, at most.
    """

    day: int = -1
    counts: Mapping[str, int] = field(default_factory=dict)
    own: Mapping[str, int] = field(default_factory=dict)
    num_workers: int = 1
    rank: int = 0
    num_ahead: int = 0
    most_ahead_s: float = 0.0

    def part_of(self, quota: int) -> int:
        """Return this worker's part of what is left of a quota.

        >>> [Pool(num_workers=3, rank=rank).part_of(8) for rank in range(3)]
        [3, 3, 2]
        """
        whole, rest = divmod(max(quota, 0), self.num_workers)
        return whole + (self.rank < rest)

    def has_room_today(self, name: str, quota: int, taken: Taken) -> bool:
        """Tell whether this worker may take one more today of what a budget or class may have."""
        counts, own = (self.counts, self.own) if self.day == taken.day.number else ({}, {})
        since_the_look = taken.day.counts.get(name, 0) - own.get(name, 0)
        return since_the_look < self.part_of(quota - counts.get(name, 0))


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


def decide(
    candidate: Candidate, taken: Taken, settings: SamplingSettings, pool: Pool | None = None
) -> Decision:
    """Decide about one answer. Pure.

    Args:
        candidate: The answer.
        taken: What this worker took in the windows of this moment.
        settings: ``rate`` and quotas, of all workers together.
        pool: What the others took; None if there are none.
    """
    quotas = _Quotas(taken, settings, pool or Pool())
    left_out = quotas.why_chance_leaves_out(candidate)
    if not left_out:
        return Decision("chance", "kept")
    if candidate.rule and quotas.have_room(candidate.rule):
        return Decision(candidate.rule, f"kept_{candidate.rule}")
    return Decision(None, "over_quota" if candidate.rule else left_out)


def name_class(class_name: str) -> str:
    """Return the name under which a day's samples of a class are counted.

    >>> name_class("bolt")
    'class bolt'
    """
    return f"class {class_name}"


def limit_of(budget: Budget, quota: int) -> int:
    """Return how much of a quota one budget may take.

    >>> [limit_of(budget, 125) for budget in ("chance", "failed", "strange", "doubtful")]
    [89, 12, 12, 12]
    """
    of_a_rule = quota // _RULE_DIVISOR
    return quota - len(RULES) * of_a_rule if budget == "chance" else of_a_rule


def spread(quota: int, minute: int, num_minutes: int) -> int:
    """Return how much of an hour's or day's quota may be used by the end of one of its minutes, from 0.

    >>> [spread(14_000, minute, 1440) for minute in (0, 719, 1439)]
    [1409, 7700, 14000]
    """
    by_the_minute = quota * (_AT_ONCE_DIVISOR - 1) * (minute + 1)
    return -(-(quota * num_minutes + by_the_minute) // (_AT_ONCE_DIVISOR * num_minutes))


@dataclass(frozen=True)
class _Quotas:
    taken: Taken
    settings: SamplingSettings
    pool: Pool

    def why_chance_leaves_out(self, candidate: Candidate) -> str:
        """Return why, or an empty string if chance takes it."""
        is_chosen = point_of("sample", candidate.request_id) < self.settings.rate * 100.0
        if candidate.rule == "failed" or not is_chosen:
            return "not_chosen"
        if candidate.class_names and not any(map(self._wants, candidate.class_names)):
            return "class_quota"
        return "" if self.have_room("chance") else "over_quota"

    def have_room(self, budget: Budget) -> bool:
        """Tell whether minute, hour and day have room for one more of a budget."""
        asked, taken, pool = self.settings, self.taken, self.pool
        quotas = (asked.max_per_minute, asked.max_per_hour, asked.max_per_day)
        per_minute, per_hour, per_day = (limit_of(budget, quota) for quota in quotas)
        if per_day <= _HOURS_PER_DAY * per_hour:
            per_day = spread(per_day, taken.minute.number % _MINUTES_PER_DAY, _MINUTES_PER_DAY)
        else:  # the hours' quotas end sooner
            per_hour = spread(per_hour, taken.minute.number % _MINUTES_PER_HOUR, _MINUTES_PER_HOUR)
        return (
            taken.minute.counts.get(budget, 0) < pool.part_of(per_minute)
            and taken.hour.counts.get(budget, 0) < pool.part_of(per_hour)
            and pool.has_room_today(budget, per_day, taken)
        )

    def _wants(self, class_name: str) -> bool:
        quota = self.settings.max_per_class_per_day
        return not quota or self.pool.has_room_today(name_class(class_name), quota, self.taken)
