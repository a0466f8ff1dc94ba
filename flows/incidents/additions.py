"""What people add to incidents: that they look into one, its cause, what they did, and remarks."""

from __future__ import annotations

from flows.incidents.overview import find_incident
from flows.workspace.wiring import App
from maskloop.records.kinds import Aspect, IncidentAcknowledged, IncidentNoted, write_record
from maskloop.state.incident_state import Incident


def acknowledge_incident(app: App, incident_id: str, *, by: str, note: str = "") -> Incident:
    """Record that a person looks into an incident; the same person again changes nothing.

    Raises:
        NotFoundError: if there is no such incident.
    """
    incident = find_incident(app.ledger, app.state(), incident_id)
    record = IncidentAcknowledged(incident_id=incident.id, by=by, note=note)
    write_record(app.ledger, record, actor=by, key=f"acknowledged:{incident.id}:{by}")
    return find_incident(app.ledger, app.state(), incident.id)


def add_to_incident(app: App, incident_id: str, *, aspect: Aspect, text: str, by: str) -> Incident:
    """Record the cause of an incident, an action, or a remark; the newest cause counts.

    Raises:
        NotFoundError: if there is no such incident.
    """
    incident = find_incident(app.ledger, app.state(), incident_id)
    record = IncidentNoted(incident_id=incident.id, aspect=aspect, text=text, by=by)
    write_record(app.ledger, record, actor=by)
    return find_incident(app.ledger, app.state(), incident.id)
