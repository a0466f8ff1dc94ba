"""What records about messages and incidents do to the state; what alarms do is in `incident_rules`."""

from __future__ import annotations

from dataclasses import replace

from maskloop.ledger.port import Entry
from maskloop.records.kinds import (
    IncidentAcknowledged,
    IncidentNoted,
    NotificationFailed,
    NotificationSent,
)
from maskloop.reducing.draft import Draft, Past
from maskloop.reducing.incident_rules import with_entry
from maskloop.reducing.reducers import reduces
from maskloop.state.incident_state import ChannelTrouble


@reduces(NotificationSent)
def note_sent(draft: Draft, _entry: Entry, record: NotificationSent, _past: Past) -> None:
    """Forget the trouble of a channel that takes messages."""
    draft.channel_troubles.pop(record.channel, None)


@reduces(NotificationFailed)
def note_failed(draft: Draft, entry: Entry, record: NotificationFailed, _past: Past) -> None:
    """Count the attempts of a channel that takes none."""
    earlier = draft.channel_troubles.get(record.channel)
    draft.channel_troubles[record.channel] = ChannelTrouble(
        since=earlier.since if earlier else entry.at,
        num_attempts=earlier.num_attempts + 1 if earlier else 1,
        last_attempt_at=entry.at,
        reason=record.reason,
    )


@reduces(IncidentAcknowledged)
def acknowledge(draft: Draft, entry: Entry, record: IncidentAcknowledged, _past: Past) -> None:
    """Note who looked first."""
    if (incident := draft.incidents.get(record.incident_id)) is None:
        return
    if incident.acknowledged_at is None:
        incident = replace(incident, acknowledged_at=entry.at, acknowledged_by=record.by)
    draft.incidents[incident.id] = with_entry(incident, entry)


@reduces(IncidentNoted)
def add_note(draft: Draft, entry: Entry, record: IncidentNoted, _past: Past) -> None:
    """Keep the newest cause; the other notes are in the timeline."""
    if (incident := draft.incidents.get(record.incident_id)) is None:
        return
    if record.aspect == "cause":
        incident = replace(incident, cause=record.text)
    draft.incidents[incident.id] = with_entry(incident, entry)
