"""What is wrong now: since when, where it shows, what to type, and the runbook. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from flows.metrics.figure import Figure
from flows.metrics.page import write_value
from flows.notifications.notices import Notice, classes_of
from flows.notifications.runbooks import INCIDENT_RUNBOOKS, NOTICE_RUNBOOKS
from flows.pages.status import Status
from maskloop.settings.notification_settings import NoticeEvent
from maskloop.state.incident_state import Incident
from maskloop.wording import count
from monitoring.features.table import FEATURES

FIGURE_RUNBOOKS: Final[Mapping[str, str]] = {
    "M1": "docs/runbooks/latency.md#answers-take-too-long",
    "M2": "docs/runbooks/latency.md#answers-take-too-long",
    "M4": "docs/runbooks/drift.md#a-class-is-found-badly",
    "M5": "docs/runbooks/drift.md#a-class-is-found-badly",
    "M6": "docs/runbooks/errors.md#the-error-budget-burns",
    "M7": "docs/runbooks/latency.md#more-requests-come-than-can-be-answered",
    "M8": "docs/runbooks/gpu-memory.md#gpu-memory-is-nearly-full",
    "M9": "docs/runbooks/drift.md#production-has-drifted",
    "M10": "docs/runbooks/drift.md#a-class-is-found-badly",
}
"""M3 has no target."""
_NO_TROUBLE: Final[frozenset[NoticeEvent]] = frozenset({"decision", "labels-waiting", "labels-finished"})
"""These wait in the queue."""
_TRAINING: Final = "docs/runbooks/training.md#a-training-was-given-up"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        headline: One line that a stranger understands.
        since: UTC; None where nothing records it.
        facts: Further lines, by what they are about: ``model``, ``class``, ``source``, ``why``.
        commands: What to type, in order.
        runbook: Its path in the repository; empty for none.
        incident: Its id; empty for none.
    """

    headline: str
    since: datetime | None
    facts: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()
    runbook: str = ""
    incident: str = ""


def find_problems(
    status: Status, notices: Sequence[Notice], figures: Sequence[Figure]
) -> tuple[Problem, ...]:
    """Return everything that is wrong: incidents, other troubles of the loop, targets that are missed."""
    incidents = status.state.open_incidents
    kinds = {one.kind for one in incidents}
    return (
        *(_describe_incident(one, notices) for one in incidents),
        *_find_notices(notices, incidents),
        *_find_dead_work(status),
        *_find_dead_channels(status),
        *(_describe_miss(one) for one in figures if one.is_met is False and not _is_told(one, kinds)),
    )


def _is_told(figure: Figure, kinds: Collection[str]) -> bool:
    """The drift figure misses its target because of the drift that an incident tells already."""
    return figure.id == "M9" and "drift" in kinds


def _describe_incident(incident: Incident, notices: Sequence[Notice]) -> Problem:
    own = [one for one in notices if _is_about(one, incident)]
    commands = own[0].commands if own else (f"maskloop incidents show {incident.id}",)
    looked = f"by {incident.acknowledged_by}" if incident.acknowledged_by else "by nobody yet"
    facts = (
        ("model", f"version {incident.version}" if incident.version else ""),
        ("class", ", ".join(classes_of(incident.signals))),
        ("source", ", ".join(incident.sources)),
        ("shows in", ", ".join(_in_words(name) for name in incident.signals)),
        ("alarms", str(incident.num_alarms)),
        ("acknowledged", looked),
        ("answered by", ", ".join(incident.cycles)),
    )
    return Problem(
        f"{incident.kind}: {incident.headline}",
        incident.detected_at,
        tuple((name, said) for name, said in facts if said),
        commands,
        INCIDENT_RUNBOOKS[incident.kind],
        incident.id,
    )


def _in_words(signal: str) -> str:
    feature = FEATURES.find(signal)
    return feature.label if feature else signal


def _is_about(notice: Notice, incident: Incident) -> bool:
    told = dict(notice.facts).get("incident", "")
    is_its_own = told.partition(";")[0] == incident.id
    return is_its_own or (notice.event == "failed-cycle" and incident.kind == "training")


def _find_notices(notices: Sequence[Notice], incidents: Sequence[Incident]) -> Iterator[Problem]:
    for notice in notices:
        is_trouble = notice.event not in _NO_TROUBLE and not notice.id.startswith("restored:")
        is_told = notice.event != "budget" and any(_is_about(notice, one) for one in incidents)
        if is_trouble and not is_told:
            runbook = NOTICE_RUNBOOKS[notice.event]
            yield Problem(notice.headline, notice.since, notice.facts, notice.commands, runbook)


def _find_dead_work(status: Status) -> Iterator[Problem]:
    if status.died:
        headline = f"{status.died.sentence()}: the process ended without recording why"
        yield Problem(headline, None, (), ("maskloop reconcile",), _TRAINING)


def _find_dead_channels(status: Status) -> Iterator[Problem]:
    for name, trouble in status.state.channel_troubles.items():
        yield Problem(
            f"nobody is told on the channel {name}: {trouble.reason}",
            trouble.since,
            (("tried", count(trouble.num_attempts, "attempt")),),
            (f"maskloop notify test {name}",),
        )


def _describe_miss(figure: Figure) -> Problem:
    missed = [one for one in figure.readings if one.is_met is False]
    shown = ", ".join(f"{one.of} {write_value(one.value)}".strip() for one in missed[:3])
    more = f" and {len(missed) - 3} more" if len(missed) > 3 else ""
    unit = figure.unit.partition(",")[0]
    return Problem(
        f"{figure.id} {figure.name} misses its target: {shown}{more}{f' {unit}' if unit else ''}",
        None,
        (("target", figure.target), ("window", figure.window)),
        ("maskloop metrics",),
        FIGURE_RUNBOOKS.get(figure.id, ""),
    )
