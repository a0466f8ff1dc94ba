"""The page of all incidents: how long they took, and the timeline of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from flows.incidents.overview import TimelineLine, measure_times, read_timeline
from flows.notifications.notices import classes_of
from flows.notifications.runbooks import INCIDENT_RUNBOOKS
from flows.workspace.wiring import App
from maskloop.files import write_text
from maskloop.folding.history import recall_incidents
from maskloop.pages.templates import open_template
from maskloop.state.incident_state import Incident
from maskloop.wording import span
from registry.evidence.approval_page import TEMPLATE as STYLED
from registry.wording import sentence, when

_TEMPLATE: Final = Path(__file__).with_name("incidents.html.j2")
_MAX_SHOWN: Final = 50
_WIDTH: Final = 1000.0


@dataclass(frozen=True)
class Bar:
    """One stretch of an incident on the common axis, in thousandths of the page's width."""

    x: float
    width: float
    kind: str
    title: str


def write_incident_page(app: App, output: Path | None = None) -> Path:
    """Write the page and return its path; it needs no server and no network to be read."""
    path = output or app.workspace.incident_page
    incidents = recall_incidents(app.ledger)
    shown = incidents[-_MAX_SHOWN:]
    timelines = {one.id: read_timeline(app.ledger, one) for one in shown}
    links = {
        page: quote(os.path.relpath(app.workspace.root / page, path.parent))
        for one in shown
        for page in one.pages
        if (app.workspace.root / page).exists()
    }
    text = render_incidents(
        incidents,
        timelines,
        links,
        model_name=app.settings.model_name,
        now=app.clock.now(),
        last_sequence=app.state().last_sequence,
    )
    write_text(path, text)
    return path


def render_incidents(
    incidents: Sequence[Incident],
    timelines: dict[str, tuple[TimelineLine, ...]],
    links: dict[str, str],
    *,
    model_name: str,
    now: datetime,
    last_sequence: int,
) -> str:
    """Return the page. Pure.

    Args:
        incidents: All, oldest first; those without a timeline are counted only.
        timelines: By incident.
        links: From the page to pages of reports, by their paths in the workspace.
        model_name: The registered model's name.
        now: UTC.
        last_sequence: Of the newest entry that it shows.
    """
    shown = [one for one in reversed(incidents) if one.id in timelines]
    return open_template(_TEMPLATE, STYLED.parent).render(
        model_name=model_name,
        now=now,
        last_sequence=last_sequence,
        incidents=shown,
        num_all=len(incidents),
        times=measure_times(incidents),
        timelines=timelines,
        links=links,
        bars=draw_bars(shown, now),
        runbooks=INCIDENT_RUNBOOKS,
        classes_of=classes_of,
        span=span,
        when=when,
        sentence=sentence,
    )


def draw_bars(incidents: Sequence[Incident], now: datetime) -> dict[str, Any]:
    """Place incidents on one axis of time: unnoticed, then until acknowledged, then until restored."""
    if not incidents:
        return {}
    first = min(one.began_at for one in incidents)
    last = max([now, *(one.restored_at or now for one in incidents)])
    whole = max((last - first).total_seconds(), 1.0)

    def place(at: datetime) -> float:
        return min(max((at - first).total_seconds() / whole, 0.0), 1.0) * _WIDTH

    rows = {one.id: list(_bars_of(one, now, place)) for one in incidents}
    return {"first": first, "last": last, "rows": rows}


def _bars_of(incident: Incident, now: datetime, place: Callable[[datetime], float]) -> Iterator[Bar]:
    end = incident.restored_at or now
    looked = min(incident.acknowledged_at or end, end)
    stretches = (
        ("unnoticed", incident.began_at, incident.detected_at),
        ("unacknowledged", incident.detected_at, looked),
        ("in hand", looked, end),
    )
    for kind, begin, until in stretches:
        if until - begin > timedelta(0):
            x = place(begin)
            title = f"{kind}: {when(begin)} to {when(until)}, {span(until - begin)}"
            yield Bar(x, max(place(until) - x, 3.0), kind.replace(" ", "-"), title)
