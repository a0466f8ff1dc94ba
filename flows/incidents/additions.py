"""What people add to incidents: one that they report, that they look into one, its cause, what they did."""

from __future__ import annotations

from flows.incidents.overview import find_incident
from flows.workspace.wiring import App
from maskloop.errors import RefusedError
from maskloop.records.kinds import (
    Aspect,
    IncidentAcknowledged,
    IncidentEnded,
    IncidentNoted,
    IncidentReported,
    write_record,
)
from maskloop.state.incident_state import Incident


def report_incident(app: App, headline: str, *, by: str) -> Incident:
    """Open an incident that the ledger cannot see by itself, such as an alert of the service.

    One with the same headline that goes on is returned as it is.
    """
    state = app.state()
    for incident in state.open_incidents:
        if incident.kind == "reported" and incident.headline == headline:
            return incident
    version = state.champion.version if state.champion else ""
    record = IncidentReported(headline=headline, by=by, version=version)
    entry = write_record(app.ledger, record, actor=by)
    incidents = app.state().incidents.values()
    return next(one for one in incidents if one.entries[0] == entry.sequence)


def end_incident(app: App, incident_id: str, *, by: str, why: str) -> Incident:
    """End an incident that a person reported; twice ends it once.

    Raises:
        NotFoundError: if there is no such incident.
        RefusedError: if it is one that ends by itself, once its condition is over.
    """
    incident = find_incident(app.ledger, app.state(), incident_id)
    if incident.kind != "reported":
        raise RefusedError(
            f"{incident.id} is over once its condition is: nobody ends it by hand",
            hint=f"`maskloop incidents show {incident.id}` names its runbook",
        )
    record = IncidentEnded(incident_id=incident.id, by=by, why=why)
    write_record(app.ledger, record, actor=by, key=f"ended:{incident.id}")
    return find_incident(app.ledger, app.state(), incident.id)


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
