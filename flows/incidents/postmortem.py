"""A draft of an incident's postmortem, in Markdown: what the record knows is filled in, the rest is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from flows.incidents.overview import TimelineLine
from flows.notifications.notices import classes_of
from flows.notifications.runbooks import INCIDENT_RUNBOOKS
from maskloop.state.incident_state import Incident
from maskloop.wording import count, span


def write_postmortem(incident: Incident, timeline: Sequence[TimelineLine], *, model_name: str) -> str:
    """Return the draft. Pure: the same incident and timeline give the same text."""
    return "\n".join(
        [
            f"# {incident.id}: {_one_line(incident.headline)}",
            "",
            *_summary(incident, model_name),
            "",
            "## Timeline (UTC)",
            "",
            "| when | after | who | what | |",
            "|---|---|---|---|---|",
            *(_row(line, incident.detected_at) for line in timeline),
            "",
            "## Cause",
            "",
            incident.cause or "*(unknown: what made it possible, and why was it not noticed earlier?)*",
            "",
            "## What was done",
            "",
            *_listed(timeline, "action", "*(nothing was recorded)*"),
            "",
            "## Remarks",
            "",
            *_listed(timeline, "note", "*(none)*"),
            "",
            "## What will be different",
            "",
            *_questions(incident),
            "",
        ]
    )


def _summary(incident: Incident, model_name: str) -> Iterator[str]:
    classes = ", ".join(classes_of(incident.signals))
    facts = {
        "model": f"{model_name} {incident.version}".strip(),
        "kind": incident.kind,
        "classes": classes or ("no single one" if incident.kind == "drift" else ""),
        "shows in": ", ".join(incident.signals),
        "sources": ", ".join(incident.sources),
        "well at the latest": _when(incident.began_at),
        "detected": f"{_when(incident.detected_at)} (at most {span(incident.time_to_detect)} unnoticed)",
        "acknowledged": _after(incident.acknowledged_at, incident.time_to_acknowledge, "nobody did yet")
        + (f", by {incident.acknowledged_by}" if incident.acknowledged_by else ""),
        "restored": _after(incident.restored_at, incident.time_to_restore, "it goes on")
        + (f": {incident.restored_by}" if incident.restored_by else ""),
        "alarms": count(incident.num_alarms, "alarm"),
        "cycles": ", ".join(incident.cycles),
        "pictures": ", ".join(incident.pages),
        "runbook": INCIDENT_RUNBOOKS[incident.kind],
    }
    yield "| | |"
    yield "|---|---|"
    for name, said in facts.items():
        if said:
            yield f"| {name} | {_cell(said)} |"


def _questions(incident: Incident) -> Iterator[str]:
    noticed = span(incident.time_to_detect)
    yield f"- [ ] Detection: it took at most {noticed}. What would have shown it earlier?"
    yield "- [ ] Prevention: which check, gate or alarm would have kept it out?"
    if incident.kind == "drift":
        yield "- [ ] Data: are labelled pictures of the new condition in the data now?"
    if incident.kind in ("rollout", "champion"):
        yield "- [ ] Gates: why did the gates pass this version? Is the slice of its pictures corrected?"
    yield f"- [ ] Runbook: was {INCIDENT_RUNBOOKS[incident.kind]} right and enough?"


def _row(line: TimelineLine, detected_at: datetime) -> str:
    after = line.at - detected_at
    told = f"+{span(after)}" if after.total_seconds() >= 0 else f"-{span(-after)}"
    what = {"alarm": "**alarm**", "restored": "**restored**"}.get(line.what, line.what)
    return f"| {_when(line.at)} | {told} | {_cell(line.actor)} | {_cell(line.said)} | {what} |"


def _listed(timeline: Sequence[TimelineLine], what: str, nothing: str) -> list[str]:
    lines = [f"- {_when(one.at)}, {one.actor}: {_one_line(one.said)}" for one in timeline if one.what == what]
    return lines or [nothing]


def _after(at: datetime | None, taken: timedelta | None, not_yet: str) -> str:
    return f"{_when(at)}, after {span(taken)}" if at else not_yet


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    """Return a text that cannot end a cell of a table."""
    return _one_line(text).replace("|", "\\|")
