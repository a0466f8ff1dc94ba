"""What an incident is, in words and plain data, with its timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final

from flows.notifications.notices import classes_of
from flows.notifications.runbooks import INCIDENT_RUNBOOKS
from maskloop.errors import NotFoundError
from maskloop.folding.history import recall_incidents
from maskloop.ledger.port import Entry, Ledger, check_entry
from maskloop.records.kinds import IncidentAcknowledged, IncidentNoted, read_record
from maskloop.state.incident_state import Incident
from maskloop.state.loop_state import LoopState
from maskloop.wording import count, span


@dataclass(frozen=True)
class TimelineLine:
    """One entry of an incident's timeline.

    Attributes:
        at: UTC.
        actor: Who did it.
        what: ``before``, ``alarm``, ``acknowledged``, ``cause``, ``action``, ``note`` or ``restored``.
        said: In plain words.
        sequence: Of the ledger's entry.
    """

    at: datetime
    actor: str
    what: str
    said: str
    sequence: int


def find_incident(ledger: Ledger, state: LoopState, incident_id: str) -> Incident:
    """Return an incident, however old. Raises NotFoundError."""
    name = incident_id if incident_id.startswith("incident-") else f"incident-{incident_id}"
    if name in state.incidents:
        return state.incidents[name]
    number = name.removeprefix("incident-")
    if number.isdigit() and 1 <= int(number) <= state.num_incidents:
        return next(one for one in recall_incidents(ledger) if one.id == name)
    raise NotFoundError(f"there is no {name}", hint="`maskloop incidents list` names them")


def read_timeline(ledger: Ledger, incident: Incident) -> tuple[TimelineLine, ...]:
    """Return what happened in an incident, oldest first. Raises IntegrityError for a changed entry."""
    numbers = [*_numbers_before(ledger, incident), *incident.entries]
    entries = [check_entry(ledger.entries(after=number - 1, limit=1)[0]) for number in numbers]
    return tuple(_describe(entry, incident) for entry in entries)


def _numbers_before(ledger: Ledger, incident: Incident) -> list[int]:
    """Return the entries that led to the alarm of a training or a rollout: its first cycle's own."""
    if incident.kind not in ("training", "rollout") or not incident.cycles:
        return []
    first = incident.entries[0]
    found = ledger.find(
        kinds=_LEADING[incident.kind],
        cycle_id=incident.cycles[0],
        before=first,
        newest_first=True,
        limit=_MAX_BEFORE,
    )
    return [entry.sequence for entry in reversed(found)]


def _describe(entry: Entry, incident: Incident) -> TimelineLine:
    record = read_record(entry)
    what = "action"
    if entry.sequence < incident.entries[0]:
        what = "before"
    elif entry.sequence == incident.entries[0]:
        what = "alarm"
    elif incident.restored_at is not None and entry.kind in _ENDS and entry.at == incident.restored_at:
        what = "restored"
    elif isinstance(record, IncidentAcknowledged):
        what = "acknowledged"
    elif isinstance(record, IncidentNoted):
        what = record.aspect
    elif entry.kind == "drift.judged":
        what = "alarm"
    said = record.sentence() if record else entry.kind
    return TimelineLine(entry.at, entry.actor, what, said, entry.sequence)


_MAX_BEFORE: Final = 20
_LEADING: Final = {
    "training": ("cycle.opened", "training.started", "training.failed", "judging.started"),
    "rollout": ("rollout.started", "rollout.moved"),
}
_ENDS: Final = (
    "drift.judged",
    "champion.changed",
    "verdict.reached",
    "cycle.closed",
    "rollout.moved",
    "incident.ended",
)
"""Kinds of entries that can end an incident."""


def describe_incident(incident: Incident) -> dict[str, Any]:
    """Return an incident as plain data; durations in seconds."""
    return {
        "id": incident.id,
        "kind": incident.kind,
        "headline": incident.headline,
        "version": incident.version or None,
        "classes": list(classes_of(incident.signals)),
        "signals": list(incident.signals),
        "sources": list(incident.sources),
        "cycles": list(incident.cycles),
        "pages": list(incident.pages),
        "num_alarms": incident.num_alarms,
        "began_at": incident.began_at.isoformat(),
        "detected_at": incident.detected_at.isoformat(),
        "acknowledged_at": incident.acknowledged_at.isoformat() if incident.acknowledged_at else None,
        "acknowledged_by": incident.acknowledged_by or None,
        "cause": incident.cause or None,
        "restored_at": incident.restored_at.isoformat() if incident.restored_at else None,
        "restored_by": incident.restored_by or None,
        "seconds_to_detect": incident.time_to_detect.total_seconds(),
        "seconds_to_acknowledge": _seconds(incident.time_to_acknowledge),
        "seconds_to_restore": _seconds(incident.time_to_restore),
        "runbook": INCIDENT_RUNBOOKS[incident.kind],
    }


def incident_row(incident: Incident) -> dict[str, Any]:
    """Return a line of the list of incidents."""
    restored = span(incident.time_to_restore) if incident.restored_at else "open"
    return {
        "incident": incident.id.removeprefix("incident-"),
        "kind": incident.kind,
        "detected (UTC)": f"{incident.detected_at:%Y-%m-%d %H:%M}",
        "to detect": f"≤ {span(incident.time_to_detect)}",
        "to look": span(incident.time_to_acknowledge),
        "to restore": restored,
    }


def incident_line(incident: Incident) -> str:
    """Say in one line how far an open incident is."""
    by = incident.acknowledged_by
    looked = f"acknowledged by {by}" if by else "nobody looked yet"
    since = f"{incident.detected_at:%Y-%m-%d %H:%M} UTC"
    alarms = count(incident.num_alarms, "alarm")
    return f"{incident.id} ({incident.kind}), {alarms} since {since}, {looked}: {incident.headline}"


@dataclass(frozen=True)
class Times:
    """How long incidents take, in the middle and at worst; None without any.

    Attributes:
        name: What is measured.
        number: How many incidents it is known of.
        median: Of those.
        longest: Of those.
    """

    name: str
    number: int
    median: timedelta | None
    longest: timedelta | None


def measure_times(incidents: Sequence[Incident]) -> tuple[Times, ...]:
    """Return the times to detect, acknowledge and restore over some incidents."""
    measured: dict[str, list[timedelta | None]] = {
        "to detect (at most)": [one.time_to_detect for one in incidents],
        "to acknowledge": [one.time_to_acknowledge for one in incidents],
        "to restore": [one.time_to_restore for one in incidents],
    }
    found = []
    for name, times in measured.items():
        known = [one for one in times if one is not None]
        seconds = [one.total_seconds() for one in known]
        middle = timedelta(seconds=median(seconds)) if seconds else None
        found.append(Times(name, len(known), middle, max(known, default=None)))
    return tuple(found)


def _seconds(time: timedelta | None) -> float | None:
    return None if time is None else time.total_seconds()
