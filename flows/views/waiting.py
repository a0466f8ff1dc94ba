"""The queue: what waits, for whom, since when, and what to type. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from flows.notifications.notices import Notice
from flows.pages.status import Status
from maskloop.records.kinds import CycleWaiting, WaitingFor
from maskloop.state.cycle_state import Cycle
from maskloop.wording import count

Party = Literal["a reviewer", "an annotator", "the person on call", "maskloop", "more pictures"]
PEOPLE: Final[frozenset[Party]] = frozenset({"a reviewer", "an annotator", "the person on call"})
_PARTIES: Final[dict[WaitingFor, Party]] = {
    "approval": "a reviewer",
    "labels": "an annotator",
    "rollout": "more pictures",
    "retry": "maskloop",
    "training": "maskloop",
}
_COMMANDS: Final[dict[WaitingFor, str]] = {
    "labels": "maskloop ingest LABELS",
    "rollout": "maskloop rollout show",
    "retry": "maskloop reconcile",
    "training": "maskloop reconcile",
}


@dataclass(frozen=True)
class Waiting:
    """One thing that waits.

    Attributes:
        what: In a few words.
        party: For whom, or for what.
        since: UTC; None where the record does not say.
        why: More about it.
        command: What to type.
        page: Name of the page to look at, as in `Status.pages`; empty for none.
    """

    what: str
    party: Party
    since: datetime | None
    why: str
    command: str
    page: str = ""

    @property
    def is_for_a_person(self) -> bool:
        """Tell whether a person is waited for, and not the loop or time."""
        return self.party in PEOPLE


def find_waiting(
    status: Status, notices: tuple[Notice, ...] = (), *, num_feedback_waiting: int = 0
) -> tuple[Waiting, ...]:
    """Return what waits: for people first, then the longest first."""
    found = [*_find(status, notices, num_feedback_waiting)]
    return tuple(
        sorted(found, key=lambda one: (not one.is_for_a_person, one.since is None, one.since or datetime.max))
    )


def _find(status: Status, notices: tuple[Notice, ...], num_feedback_waiting: int) -> Iterator[Waiting]:
    state = status.state
    for cycle in state.open_cycles:
        if waiting := status.waiting.get(cycle.id):
            yield _describe_cycle(cycle, waiting)
    for notice in notices:
        if notice.event == "decision" and "rollout" in notice.headline:
            why = dict(notice.facts).get("why", "")
            yield Waiting(notice.headline, "the person on call", notice.since, why, notice.commands[-1])
    for request in state.open_requests:
        name, awaited = request.requested.request_id, count(request.num_awaited, "picture")
        command = "maskloop label push" if request.pushed is None else "maskloop label pull"
        what = f"labels of {awaited}, request {name}"
        yield Waiting(what, "an annotator", request.requested_at, request.requested.cause, command)
    for incident in state.open_incidents:
        if incident.acknowledged_at is None:
            yield Waiting(
                f"{incident.id} is not acknowledged",
                "the person on call",
                incident.detected_at,
                incident.headline,
                f"maskloop incidents acknowledge {incident.id}",
                "incidents",
            )
    for trigger in state.pending_triggers.values():
        yield Waiting("a trigger is not answered yet", "maskloop", None, trigger.detail, "maskloop reconcile")
    if num_feedback_waiting:
        what = f"{count(num_feedback_waiting, 'correction')} to become labels"
        yield Waiting(what, "the person on call", None, "feedback about answers", "maskloop feedback ingest")
    if pending := status.sample_counts.get("pending"):
        what = f"{count(pending, 'sample')} of production, not judged yet"
        yield Waiting(what, "more pictures", None, "for the next drift verdict", "maskloop monitor")


def _describe_cycle(cycle: Cycle, waiting: CycleWaiting) -> Waiting:
    version = cycle.candidate.version if cycle.candidate else ""
    command = _COMMANDS.get(waiting.waiting_for, f"maskloop approve {version} --by NAME")
    what = f"{cycle.id}: {waiting.waiting_for}" + (f" of version {version}" if version else "")
    return Waiting(
        what,
        _PARTIES[waiting.waiting_for],
        cycle.waiting_since,
        waiting.reason,
        command,
        f"evidence on version {version}" if version else "",
    )
