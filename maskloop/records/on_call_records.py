"""What the ledger holds about people on call: what they were told, and what they did about incidents."""

from __future__ import annotations

from typing import ClassVar, Literal

from maskloop.records.record import Record

__all__ = [
    "Aspect",
    "IncidentAcknowledged",
    "IncidentNoted",
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
