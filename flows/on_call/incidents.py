"""`maskloop incidents`: from the alarm to the postmortem."""

from __future__ import annotations

from pathlib import Path

import click

from flows.console.output import Output, open_workspace, user_name, with_output
from flows.incidents.additions import (
    acknowledge_incident,
    add_to_incident,
    end_incident,
    report_incident,
)
from flows.incidents.overview import (
    describe_incident,
    find_incident,
    incident_line,
    incident_row,
    measure_times,
    read_timeline,
)
from flows.incidents.page import write_incident_page
from flows.incidents.postmortem import write_postmortem
from flows.notifications.notices import classes_of
from flows.notifications.runbooks import INCIDENT_RUNBOOKS
from maskloop.files import write_text
from maskloop.folding.history import recall_incidents
from maskloop.records.kinds import Aspect
from maskloop.state.incident_state import Incident
from maskloop.wording import span


@with_output
def incidents_list(root: Path, out: Output, *, everything: bool, only_open: bool) -> None:
    """List incidents, with the time until each was noticed, acknowledged and restored."""
    app = open_workspace(root)
    kept = recall_incidents(app.ledger) if everything else tuple(app.state().incidents.values())
    found = [one for one in kept if one.is_open or not only_open]

    def show() -> None:
        if not found:
            click.echo("no incident goes on" if only_open else "there was no incident")
            return
        out.table([incident_row(one) for one in found], "incidents")
        for times in measure_times(found):
            if times.number:
                click.echo(
                    f"{times.name}: median {span(times.median)}, longest {span(times.longest)} "
                    f"(of {times.number})"
                )
        for one in found:
            if one.is_open:
                click.echo(incident_line(one))

    out.answer([describe_incident(one) for one in found], show)


@with_output
def incidents_show(root: Path, out: Output, *, incident: str) -> None:
    """Show one INCIDENT: what happened, its timeline, its pictures, and its runbook."""
    app = open_workspace(root)
    found = find_incident(app.ledger, app.state(), incident)
    timeline = read_timeline(app.ledger, found)

    def show() -> None:
        click.echo(f"{found.id} ({found.kind}): {found.headline}")
        for name, said in _facts(found).items():
            if said:
                click.echo(f"  {name + ':':<14} {said}")
        for line in timeline:
            click.echo(f"{line.at:%Y-%m-%d %H:%M}Z  {line.what:<12} {line.actor:<10} {line.said}")

    out.answer({**describe_incident(found), "timeline": timeline}, show)


def _facts(incident: Incident) -> dict[str, str]:
    restored = f"{incident.restored_at:%Y-%m-%d %H:%M} UTC" if incident.restored_at else ""
    looked = f"{incident.acknowledged_at:%Y-%m-%d %H:%M} UTC" if incident.acknowledged_at else ""
    return {
        "model": f"version {incident.version}" if incident.version else "",
        "classes": ", ".join(classes_of(incident.signals)),
        "shows in": ", ".join(incident.signals),
        "sources": ", ".join(incident.sources),
        "began": f"at the earliest {incident.began_at:%Y-%m-%d %H:%M} UTC",
        "detected": f"{incident.detected_at:%Y-%m-%d %H:%M} UTC",
        "acknowledged": f"{looked}, by {incident.acknowledged_by}" if looked else "nobody looked yet",
        "cause": incident.cause or "not written down yet",
        "restored": f"{restored}, {incident.restored_by}" if restored else "it goes on",
        "pictures": ", ".join(incident.pages),
        "runbook": INCIDENT_RUNBOOKS[incident.kind],
    }


@with_output
def incidents_report(root: Path, out: Output, *, headline: str, by: str) -> None:
    """Open an incident that the loop cannot see, in the words of HEADLINE."""
    app = open_workspace(root)
    _answer(out, report_incident(app, headline, by=by or user_name()))


@with_output
def incidents_end(root: Path, out: Output, *, incident: str, why: str, by: str) -> None:
    """Record that an INCIDENT that a person reported is over."""
    app = open_workspace(root)
    ended = end_incident(app, incident, by=by or user_name(), why=why)
    out.answer(describe_incident(ended), lambda: click.echo(f"{ended.id} is over, {ended.restored_by}"))


@with_output
def incidents_acknowledge(root: Path, out: Output, *, incident: str, by: str, note: str) -> None:
    """Record that somebody looks into an INCIDENT."""
    app = open_workspace(root)
    _answer(out, acknowledge_incident(app, incident, by=by or user_name(), note=note))


@with_output
def incidents_note(root: Path, out: Output, *, incident: str, text: str, aspect: Aspect, by: str) -> None:
    """Write down the cause of an INCIDENT, something that was done about it, or a remark."""
    app = open_workspace(root)
    _answer(out, add_to_incident(app, incident, aspect=aspect, text=text, by=by or user_name()))


@with_output
def incidents_postmortem(root: Path, out: Output, *, incident: str, output: Path | None) -> None:
    """Write a draft of an INCIDENT's postmortem in Markdown, from the record."""
    app = open_workspace(root)
    found = find_incident(app.ledger, app.state(), incident)
    text = write_postmortem(found, read_timeline(app.ledger, found), model_name=app.settings.model_name)
    if output:
        write_text(output, text)
    answer = {"incident": found.id, "file": str(output) if output else None, "text": text}
    out.answer(answer, lambda: click.echo(str(output) if output else text))


@with_output
def incidents_page(root: Path, out: Output, *, output: Path | None) -> None:
    """Write the page of all incidents with their timelines."""
    app = open_workspace(root)
    path = write_incident_page(app, output)
    out.answer({"page": str(path)}, lambda: click.echo(str(path)))


def _answer(out: Output, incident: Incident) -> None:
    out.answer(describe_incident(incident), lambda: click.echo(incident_line(incident)))
