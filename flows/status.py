"""What serves, what runs, what waits; and what happened, as sentences."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flows.wiring import App
from maskloop.errors import NotFoundError
from maskloop.ledger import check_chain
from maskloop.records import read_record
from maskloop.state import Cycle, LoopState, Rollout

if TYPE_CHECKING:
    from monitoring.corrections import Judged


@dataclass(frozen=True)
class Status:
    """The loop at one moment."""

    state: LoopState
    sample_counts: dict[str, int]
    judged: tuple[Judged, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        champion = self.state.champion
        return {
            "champion": champion.model_dump(mode="json") if champion else None,
            "data": self.state.versions[-1].tag if self.state.versions else None,
            "open_cycles": [_describe_cycle(cycle) for cycle in self.state.open_cycles],
            "rollout": _describe_rollout(self.state.rollout) if self.state.rollout else None,
            "samples": self.sample_counts,
            "feedback": [asdict(one) for one in self.judged],
            "last_drift": self.state.drift[-1][1].model_dump(mode="json") if self.state.drift else None,
        }

    def to_text(self) -> str:
        """Say it in a few lines."""
        lines = [self._champion_line(), self._data_line(), self._sample_line()]
        lines += [f"feedback: {one.sentence()}" for one in self.judged]
        lines += [f"{cycle.id} ({cycle.phase}): {_progress_of(cycle)}" for cycle in self.state.open_cycles]
        if rollout := self.state.rollout:
            said = (rollout.moved or rollout.started).sentence()
            lines.append(
                f"rollout:  version {rollout.started.version}, since {_minute(rollout.since)}: {said}"
            )
        return "\n".join(lines)

    def _champion_line(self) -> str:
        if not self.state.serving:
            return "serving:  nothing yet"
        serving = self.state.serving[-1]
        since = _minute(serving.since)
        return f"serving:  version {serving.change.version} since {since}, moved there by {serving.actor}"

    def _data_line(self) -> str:
        if not self.state.versions:
            return "data:     none yet"
        return f"data:     {self.state.versions[-1].sentence()}"

    def _sample_line(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.sample_counts.items())
        if not self.state.drift:
            return f"samples:  {counts}; no window judged yet"
        at, judged = self.state.drift[-1]
        return f"samples:  {counts}; {at:%m-%d %H:%M} {judged.sentence()}"


def describe_status(app: App) -> Status:
    """Read the ledger, the sample log and what people said."""
    counts = app.samples.counts()
    names = ("received", "scored", "skipped", "pending")
    sample_counts = {name: getattr(counts, name) for name in names}
    return Status(app.state(), sample_counts, tuple(app.corrections.judged()))


def tell_history(app: App) -> list[dict[str, Any]]:
    """Return every entry of the ledger with its sentence.

    Raises:
        IntegrityError: if the ledger was changed by hand.
    """
    entries = app.ledger.entries()
    check_chain(entries)
    lines = []
    for entry in entries:
        record = read_record(entry)
        lines.append(
            {
                "sequence": entry.sequence,
                "at": entry.at.isoformat(),
                "cycle": entry.cycle,
                "actor": entry.actor,
                "kind": entry.kind,
                "sentence": record.sentence() if record else f"({entry.kind}: written by a newer version)",
                "record": dict(entry.payload),
            }
        )
    return lines


def describe_serving_at(app: App, time: datetime) -> dict[str, Any]:
    """Say what served at a time and who moved it there. Raises NotFoundError if nothing did."""
    serving = app.state().serving_at(time)
    if serving is None:
        raise NotFoundError(f"nothing served at {time:%Y-%m-%d %H:%M:%S} UTC")
    change = serving.change
    return {
        "version": change.version,
        "weights_digest": change.weights_digest,
        "since": serving.since.isoformat(),
        "moved_by": serving.actor,
        "cycle": serving.cycle,
        "sentence": (
            f"version {change.version} ({change.weights_digest[:12]}) served, since "
            f"{serving.since:%Y-%m-%d %H:%M:%S} UTC, moved there by {serving.actor} "
            f"({change.cause}): {change.why}"
        ),
    }


def _describe_cycle(cycle: Cycle) -> dict[str, Any]:
    return {
        "id": cycle.id,
        "phase": cycle.phase,
        "reason": cycle.opened.reason,
        "version": cycle.candidate.version if cycle.candidate else None,
        "verdict": cycle.verdict.outcome if cycle.verdict else None,
        "waiting": cycle.waiting.model_dump(mode="json") if cycle.waiting else None,
        "waiting_since": cycle.waiting_since.isoformat() if cycle.waiting_since else None,
        "failures": list(cycle.failures),
    }


def _describe_rollout(rollout: Rollout) -> dict[str, Any]:
    return {
        "cycle": rollout.cycle,
        "version": rollout.started.version,
        "phase": rollout.phase,
        "share_percent": rollout.share_percent,
        "since": rollout.since.isoformat(),
    }


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _progress_of(cycle: Cycle) -> str:
    if cycle.waiting and cycle.waiting.waiting_for == "rollout":
        return "its rollout is under way"
    if cycle.waiting and cycle.waiting_since:
        return f"{cycle.waiting.sentence()} (since {cycle.waiting_since:%m-%d %H:%M})"
    if cycle.failures:
        return f"tried {cycle.num_attempts} times, last: {cycle.failures[-1]}"
    return cycle.opened.sentence()
