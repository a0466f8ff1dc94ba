"""What serves, runs, died, failed, waits and is due; and what happened, as sentences."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.deciding.freezing import find_freeze
from flows.incidents.overview import describe_incident, incident_line
from flows.notifications.sending import ChannelStatus, describe_channels
from flows.planning.due import Due, find_due, waiting_now
from flows.planning.plan import LoopFacts
from flows.workspace.running import Running, find_died, find_running
from flows.workspace.wiring import App
from maskloop.errors import IntegrityError, NotFoundError
from maskloop.folding.history import serving_at
from maskloop.ledger.port import Entry, Ledger, check_chain, check_entry
from maskloop.records.kinds import CycleWaiting, read_record
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState, Rollout
from maskloop.workspace import Workspace
from monitoring.sequential.confirmation import Watched
from monitoring.sequential.storage import load_detector

if TYPE_CHECKING:
    from monitoring.samples.corrections import Judged


@dataclass(frozen=True)
class Status:
    """The loop at one moment.

    Attributes:
        state: What is recorded.
        sample_counts: Production samples: received, scored, skipped, pending.
        judged: What people said about answers.
        running: The work that somebody alive is at.
        died: The work whose process ended without recording why, or whose lease has expired.
        waiting: What open cycles wait for as of now, by cycle.
        due: What is due next, and the command for it.
        channels: How far people were told what they should know.
        pages: Pages that are there to be read, by what they are about.
        evidence: What the sequential drift detector says; empty without one.
    """

    state: LoopState
    sample_counts: dict[str, int]
    judged: tuple[Judged, ...] = ()
    running: Running | None = None
    died: Running | None = None
    waiting: Mapping[str, CycleWaiting] = field(default_factory=dict)
    due: tuple[Due, ...] = ()
    channels: tuple[ChannelStatus, ...] = ()
    pages: Mapping[str, Path] = field(default_factory=dict)
    evidence: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        champion, failed = self.state.champion, self.state.unanswered_failure
        rejected, drift = self.state.newest_rejection, self.state.last_drift
        return {
            "champion": champion.model_dump(mode="json") if champion else None,
            "data": self.state.data.tag if self.state.data else None,
            "open_cycles": [self._describe_cycle(cycle) for cycle in self.state.open_cycles],
            "running": asdict(self.running) if self.running else None,
            "died": asdict(self.died) if self.died else None,
            "failed": self._describe_cycle(failed) if failed else None,
            "rejected": self._describe_cycle(rejected) if rejected else None,
            "rollout": _describe_rollout(self.state.rollout) if self.state.rollout else None,
            "samples": self.sample_counts,
            "feedback": [asdict(one) for one in self.judged],
            "last_drift": drift[1].model_dump(mode="json") if drift else None,
            "evidence": self.evidence or None,
            "incidents": [describe_incident(one) for one in self.state.open_incidents],
            "channels": [asdict(one) for one in self.channels],
            "pages": {name: str(path) for name, path in self.pages.items()},
            "due": [asdict(one) for one in self.due],
        }

    def to_text(self) -> str:
        """Say it in a few lines."""
        lines = [self._champion_line(), self._data_line(), self._sample_line()]
        lines += [f"drift:    {self.evidence}"] if self.evidence else []
        lines += [f"feedback: {one.sentence()}" for one in self.judged]
        lines += [f"running:  {self.running.sentence()}"] if self.running else []
        lines += [f"died:     {_describe_died(self.died)}"] if self.died else []
        lines += [f"cycle:    {self._cycle_line(cycle)}" for cycle in self.state.open_cycles]
        if failed := self.state.unanswered_failure:
            lines.append(f"failed:   {_describe_end(failed)}")
        if rejected := self.state.newest_rejection:
            lines.append(f"rejected: {_describe_rejection(rejected)}")
        if rollout := self.state.rollout:
            said = (rollout.moved or rollout.started).sentence()
            since = minute(rollout.since)
            lines.append(f"rollout:  version {rollout.started.version}, since {since}: {said}")
        lines += [f"incident: {incident_line(one)}" for one in self.state.open_incidents]
        lines += [f"channel:  {one.sentence()}" for one in self.channels if one.trouble]
        lines += [f"page:     {name}: {path}" for name, path in self.pages.items()]
        lines += [f"next:     {one.command}   ({one.why})" for one in self.due]
        if not self.due:
            lines.append("next:     nothing is due" + (", the work goes on" if self.running else ""))
        return "\n".join(lines)

    def _champion_line(self) -> str:
        if not self.state.serving:
            return "serving:  nothing yet"
        serving = self.state.serving[-1]
        return f"serving:  version {serving.change.version} since {minute(serving.since)}, by {serving.actor}"

    def _data_line(self) -> str:
        data = self.state.data
        if data is None:
            return "data:     none yet"
        newest = self.state.newest_tag
        restored = f" (brought back; newest: {newest})" if newest != data.tag else ""
        return f"data:     {data.sentence()}{restored}"

    def _sample_line(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.sample_counts.items())
        if self.state.last_drift is None:
            return f"samples:  {counts}; no window judged yet"
        at, judged = self.state.last_drift
        quality = "\n          ".join(["", *judged.tell_quality()]).rstrip()
        return f"samples:  {counts}; {minute(at)}: {judged.sentence()}{quality}"

    def _cycle_line(self, cycle: Cycle) -> str:
        verdict = f", verdict {cycle.verdict.outcome}" if cycle.verdict else ""
        opened = f"opened {minute(cycle.opened_at)}: {'; and '.join(cycle.causes)}"
        said = [f"{cycle.id} ({cycle.phase}{verdict}), {opened}"]
        if waiting := self.waiting.get(cycle.id):
            since = f" (since {minute(cycle.waiting_since)})" if cycle.waiting_since else ""
            said.append(f"{waiting.sentence()}{since}")
        if cycle.failures:
            said.append(f"tried {_times(len(cycle.failures))}, last: {cycle.failures[-1]}")
        return "\n          ".join(said)

    def _describe_cycle(self, cycle: Cycle) -> dict[str, Any]:
        waiting = self.waiting.get(cycle.id)
        return {
            "id": cycle.id,
            "phase": cycle.phase,
            "reason": cycle.opened.reason,
            "causes": list(cycle.causes),
            "version": cycle.candidate.version if cycle.candidate else None,
            "verdict": cycle.verdict.outcome if cycle.verdict else None,
            "waiting": waiting.model_dump(mode="json") if waiting else None,
            "waiting_since": cycle.waiting_since.isoformat() if cycle.waiting_since else None,
            "failures": list(cycle.failures),
            "outcome": cycle.closed.model_dump(mode="json") if cycle.closed else None,
        }


def describe_status(app: App) -> Status:
    """Read the ledger, the lease on training, the sample log and what people said. Changes nothing."""
    counts = app.samples.counts()
    names = ("received", "scored", "skipped", "pending")
    state = app.state()
    running = find_running(app.ledger, state, app.workspace)
    facts = LoopFacts(
        now=app.clock.now(),
        working=frozenset({running.cycle_id} if running else ()),
        freeze=find_freeze(app.state(), app.settings, app.clock.now()),
    )
    found = {one.id: waiting_now(one, state, facts, app.settings) for one in state.open_cycles}
    return Status(
        state,
        {name: getattr(counts, name) for name in names},
        tuple(app.corrections.judged()),
        running=running,
        died=find_died(app.ledger, state, app.workspace),
        waiting={cycle: waiting for cycle, waiting in found.items() if waiting},
        due=find_due(state, facts, app.settings, option=_workspace_option(app.workspace.root)),
        channels=describe_channels(app),
        pages=_find_pages(app.workspace, state),
        evidence=_read_evidence(app.workspace, state),
    )


def _read_evidence(workspace: Workspace, state: LoopState) -> str:
    """Return what the sequential detector says of the champion's production; empty if it says nothing yet."""
    budget = workspace.settings.monitoring.max_false_alarms_per_quarter
    if not budget or state.champion is None:
        return ""
    try:
        detector = load_detector(workspace.detector_file(state.champion.weights_digest))
    except IntegrityError as error:
        return str(error)
    return Watched(budget, detector).sentence() if detector else ""


def _find_pages(workspace: Workspace, state: LoopState) -> dict[str, Path]:
    """Name the pages that are there: of drift, of the newest candidate, of incidents and the loop."""
    pages = {}
    if state.last_drift:
        pages["last drift check"] = workspace.root / state.last_drift[1].report
    for cycle in (*state.open_cycles, *([state.newest_rejection] if state.newest_rejection else [])):
        if cycle.verdict:
            version = cycle.verdict.candidate_version
            pages[f"evidence on version {version}"] = workspace.verdict_page(version)
    pages["incidents"] = workspace.incident_page
    pages["the loop"] = workspace.loop_page
    return {name: path for name, path in pages.items() if path.exists()}


def _workspace_option(root: Path) -> str:
    """Return what a command typed here needs to mean this workspace."""
    named = os.environ.get("MASKLOOP_WORKSPACE", ".")
    if Path(named).resolve() == root:
        return ""
    beside = os.path.relpath(root)
    return f" -w {shlex.quote(str(root) if beside.startswith('..') else beside)}"


def tell_history(
    ledger: Ledger, *, cycle: str = "", before: int = 0, newest: int = 0
) -> list[dict[str, Any]]:
    """Return entries of the ledger with their sentences, oldest first.

    Args:
        ledger: Holds them.
        cycle: Only those of this cycle.
        before: Only those with a lower sequence number; 0 for all.
        newest: Only so many of those, the newest; 0 for all. All entries are read and the whole chain is
            checked only if nothing limits them.

    Raises:
        IntegrityError: if an entry that was read was changed by hand.
    """
    if not (cycle or before or newest):
        entries = ledger.entries()
        check_chain(entries)
    else:
        entries = ledger.find(cycle_id=cycle, before=before, newest_first=True, limit=newest)[::-1]
        for entry in entries:
            check_entry(entry)
    return [_describe_entry(entry) for entry in entries]


def _describe_entry(entry: Entry) -> dict[str, Any]:
    record = read_record(entry)
    return {
        "sequence": entry.sequence,
        "at": entry.at.isoformat(),
        "cycle": entry.cycle_id,
        "actor": entry.actor,
        "kind": entry.kind,
        "sentence": record.sentence() if record else f"({entry.kind}: written by a newer version)",
        "record": dict(entry.payload),
    }


def describe_serving_at(ledger: Ledger, time: datetime) -> dict[str, Any]:
    """Say what served at a time and who moved it there. Raises NotFoundError if nothing did."""
    serving = serving_at(ledger, time)
    if serving is None:
        raise NotFoundError(f"nothing served at {time:%Y-%m-%d %H:%M:%S} UTC")
    change = serving.change
    return {
        "version": change.version,
        "weights_digest": change.weights_digest,
        "since": serving.since.isoformat(),
        "moved_by": serving.actor,
        "cycle": serving.cycle_id,
        "sentence": (
            f"version {change.version} ({change.weights_digest[:12]}) served, since "
            f"{serving.since:%Y-%m-%d %H:%M:%S} UTC, moved there by {serving.actor} "
            f"({change.cause}): {change.why}"
        ),
    }


def _describe_rollout(rollout: Rollout) -> dict[str, Any]:
    return {
        "cycle": rollout.cycle_id,
        "version": rollout.started.version,
        "phase": rollout.phase,
        "share_percent": rollout.share_percent,
        "since": rollout.since.isoformat(),
    }


def minute(time: datetime) -> str:
    """Write a time as status does.

    >>> from datetime import UTC
    >>> minute(datetime(2026, 11, 30, 1, 17, tzinfo=UTC))
    '2026-11-30 01:17 UTC'
    """
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _describe_died(died: Running) -> str:
    ended = "the process ended without recording why"
    return f"{died.sentence()}: {ended}; `maskloop reconcile` goes on from its last checkpoint"


def _describe_rejection(cycle: Cycle) -> str:
    version = cycle.candidate.version if cycle.candidate else "none"
    said = f"version {version}, {_describe_end(cycle)}"
    if cycle.verdict and cycle.verdict.outcome == "fail":
        said += f". If a gate was set wrongly, change it and run `maskloop judge {version}`"
    return said


def _describe_end(cycle: Cycle) -> str:
    reason = cycle.closed.reason if cycle.closed else "still open"
    at = f" at {minute(cycle.closed_at)}" if cycle.closed_at else ""
    return f"{cycle.id}{at} ({'; and '.join(cycle.causes)}): {reason}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
