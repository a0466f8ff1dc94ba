"""What every worker of a service took of the day's quotas: the port, and how it is divided (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from serving.sampling.quotas import Pool

LOOK_EVERY_S: Final = 60.0
_HOUR_S: Final = 3600
_GONE_AFTER_S: Final = 3 * LOOK_EVERY_S


@dataclass(frozen=True)
class Worker:
    """One process that samples.

    Attributes:
        name: Unique among all that ever ran.
        seen_at: When it last looked, by its own clock.
        counts: Its samples of the day that is asked about, by budget and class.
    """

    name: str
    seen_at: datetime
    counts: Mapping[str, int] = field(default_factory=dict)


class QuotaBook(Protocol):
    """The port. `SqlQuotaBook` is the real one; the tests' `FakeQuotaBook` keeps everything in memory."""

    def exchange(self, worker: Worker, day: int) -> Pool:
        """Write down what a worker took of a day in all, and return what everybody did.

        Args:
            worker: With its own counts since it started; they replace those it gave before.
            day: Days since the epoch, by its clock.

        Raises:
            MaskloopError: if the book cannot be used now.
        """
        ...


def divide(workers: Sequence[Worker], name: str, day: int, *, least: int = 1) -> Pool:
    """Return what one worker should know of all others. Pure.

    A worker that has not looked for three minutes has ended: its samples count, but it has no part. One whose
    clock is ahead by more than that has no part either; the pool says so.

    Args:
        workers: All that have looked or taken something on that day, the one that asks included.
        name: Of the one that asks.
        day: Its day.
        least: Divide by at least so many: workers of this machine that have not looked yet.
    """
    (me,) = [worker for worker in workers if worker.name == name]
    ages_s = {worker.name: (me.seen_at - worker.seen_at).total_seconds() for worker in workers}
    sharing = sorted(other for other, age_s in ages_s.items() if abs(age_s) <= _GONE_AFTER_S)
    ahead_s = [-age_s for age_s in ages_s.values() if age_s < -_GONE_AFTER_S]
    counts: Counter[str] = Counter()
    for worker in workers:
        counts.update(worker.counts)
    num_workers = max(len(sharing), least)
    hour = int(me.seen_at.timestamp() // _HOUR_S)  # each gets the indivisible rest for an hour, in turns
    return Pool(
        day=day,
        counts=dict(counts),
        own=dict(me.counts),
        num_workers=num_workers,
        rank=(sharing.index(name) + hour) % num_workers,
        num_ahead=len(ahead_s),
        most_ahead_s=max(ahead_s, default=0.0),
    )
