"""One incident, as the ledger's entries tell it: from the first alarm until production is well again.

An alarm opens it; further alarms with the same cause join it; it is restored once its condition has ended.
What the ledger cannot see, such as an alert of the service, a person reports and ends. People add that they
looked, the cause, and what they did.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

IncidentKind = Literal["drift", "training", "rollout", "champion", "alias", "reported"]


@dataclass(frozen=True)
class Incident:
    """One incident, as far as it has come. All times are UTC.

    Attributes:
        id: ``incident-1``, ``incident-2``, … in the order of detection.
        kind: ``drift`` of production, a ``training`` that was given up, a challenger's ``rollout`` that was
            stopped, a ``champion`` that was rolled back from, an ``alias`` that was moved by hand, or what a
            person ``reported``.
        subject: What it is about: further alarms about it, of the same kind, join this incident.
        headline: What happened, in plain words.
        began_at: The latest time at which all was still well, as far as the record tells.
        detected_at: When the alarm came.
        version: The model version concerned; empty if none is.
        entries: Sequence numbers of the ledger's entries that belong to it, in order; of very many the
            first and the newest ones.
        num_alarms: How many there were with this cause.
        is_automatic: The loop acted by itself; no person asked for it.
        cycles: Turns of the loop that answer it.
        signals: What a drift showed in, by the names of its features.
        sources: Where the pictures came from.
        pages: Paths of reports about it, relative to the workspace, the newest last.
        acknowledged_at: When a person looked first.
        acknowledged_by: That person.
        cause: As a person wrote it down last.
        restored_at: When the condition ended; None while it goes on.
        restored_by: What ended it.
    """

    id: str
    kind: IncidentKind
    subject: str
    headline: str
    began_at: datetime
    detected_at: datetime
    version: str = ""
    entries: tuple[int, ...] = ()
    num_alarms: int = 1
    is_automatic: bool = False
    cycles: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    cause: str = ""
    restored_at: datetime | None = None
    restored_by: str = ""

    @property
    def is_open(self) -> bool:
        """Tell whether its condition goes on."""
        return self.restored_at is None

    @property
    def time_to_detect(self) -> timedelta:
        """At most so long did it go on unnoticed."""
        return max(self.detected_at - self.began_at, timedelta(0))

    @property
    def time_to_acknowledge(self) -> timedelta | None:
        """From the alarm until a person looked; None as long as nobody did."""
        return _since(self.detected_at, self.acknowledged_at)

    @property
    def time_to_restore(self) -> timedelta | None:
        """From the alarm until the condition ended; None while it goes on."""
        return _since(self.detected_at, self.restored_at)


@dataclass(frozen=True)
class ChannelTrouble:
    """A channel that does not take messages.

    Attributes:
        since: When it first refused one, UTC.
        num_attempts: Attempts since then.
        last_attempt_at: UTC.
        reason: What the last one met.
    """

    since: datetime
    num_attempts: int
    last_attempt_at: datetime
    reason: str


def _since(begin: datetime, end: datetime | None) -> timedelta | None:
    return None if end is None else max(end - begin, timedelta(0))
