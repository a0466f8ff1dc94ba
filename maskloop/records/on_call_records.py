"""What the ledger holds about people on call: what they were told, and what they did about incidents."""

from __future__ import annotations

from typing import ClassVar, Literal

from maskloop.records.record import Record

__all__ = [
    "Aspect",
    "GamedayPlayed",
    "IncidentAcknowledged",
    "IncidentEnded",
    "IncidentNoted",
    "IncidentReported",
    "NotificationFailed",
    "NotificationSent",
]

Aspect = Literal["cause", "action", "note"]


class NotificationSent(Record):
    """A channel took a message."""

    kind: ClassVar[str] = "notification.sent"
    channel: str
    """Its name in the settings; its address is written nowhere."""
    notice_id: str
    """What was told, such as ``drift:incident-2``: it is told once on each channel."""
    headline: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"{self.channel} was told: {self.headline}"


class NotificationFailed(Record):
    """A channel did not take a message; it is tried again later."""

    kind: ClassVar[str] = "notification.failed"
    channel: str
    notice_id: str
    attempt: int
    """1, 2, 3, … since the channel last took a message."""
    reason: str
    """Without the channel's address."""

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"{self.channel} could not be told {self.notice_id} (attempt {self.attempt}): {self.reason}"


class IncidentReported(Record):
    """A person reported an incident that the ledger cannot see: an alert of the service, wrong labels."""

    kind: ClassVar[str] = "incident.reported"
    headline: str
    by: str
    version: str = ""
    """The model version concerned; empty if none is."""

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"{self.by} reported an incident: {self.headline}"


class IncidentEnded(Record):
    """A person saw that a reported incident is over; others end by themselves."""

    kind: ClassVar[str] = "incident.ended"
    incident_id: str
    by: str
    why: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"{self.by} ended {self.incident_id}: {self.why}"


class IncidentAcknowledged(Record):
    """A person looks into an incident."""

    kind: ClassVar[str] = "incident.acknowledged"
    incident_id: str
    by: str
    note: str = ""

    def sentence(self) -> str:
        """Say it in plain words."""
        note = f": {self.note}" if self.note else ""
        return f"{self.by} acknowledged {self.incident_id}{note}"


class IncidentNoted(Record):
    """A person wrote down the cause of an incident, something that was done about it, or a remark."""

    kind: ClassVar[str] = "incident.noted"
    incident_id: str
    aspect: Aspect
    text: str
    by: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"{self.by} wrote down the {self.aspect} of {self.incident_id}: {self.text}"


class GamedayPlayed(Record):
    """A failure was played in this copy of a workspace."""

    kind: ClassVar[str] = "gameday.played"
    failure: str
    """F1 to F8, as the runbooks number them."""
    outcome: str
    """``handled``, or the first phase that was missed."""
    seconds_to_detect: float | None
    """None if it was not detected."""
    seconds_to_restore: float | None
    """From the detection; None if it was not restored."""
    incident_id: str = ""
    trouble: str = ""
    """What ended it early; empty if nothing did."""

    def sentence(self) -> str:
        """Say it in plain words."""
        trouble = f": {self.trouble}" if self.trouble else ""
        return f"the failure {self.failure} was played, and {self.outcome}{trouble}"
