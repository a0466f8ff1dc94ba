"""A rollout's phases, as a table, and which event is due. Pure.

::

    shadow ──passed──► progressing ──passed──► … 100 % ──all_passed──► promoting ──promoted──► promoted
      │ ▲                │     ▲                                          │
      │ └─went_back┐     │     │                                       refused
   overdue         │  overdue  └─resumed, accepted─┐                      │
      └────────────┴─────┴──────► paused ──────────┴◄─────────────────────┘
                                    │
    from any of these: failed, stopped, replaced, given_up ──► aborting ──withdrawn──► rolled-back

An event that is not in the table cannot happen in that phase; it raises RefusedError.
From the moment ``aborting`` is in the ledger, a challenger answers no client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from maskloop.errors import RefusedError
from maskloop.records.kinds import Check, RolloutMoved, RolloutPhase
from maskloop.settings.workspace_settings import RolloutSettings
from maskloop.state.loop_state import Rollout
from serving.rollout.analysis import Analysis

Event = Literal[
    "passed",
    "all_passed",
    "failed",
    "overdue",
    "given_up",
    "resumed",
    "went_back",
    "accepted",
    "all_accepted",
    "stopped",
    "replaced",
    "refused",
    "promoted",
    "withdrawn",
]

TABLE: Final[Mapping[tuple[RolloutPhase, Event], RolloutPhase]] = {
    ("shadow", "passed"): "progressing",
    ("shadow", "failed"): "aborting",
    ("shadow", "overdue"): "paused",
    ("shadow", "stopped"): "aborting",
    ("shadow", "replaced"): "aborting",
    ("progressing", "passed"): "progressing",
    ("progressing", "all_passed"): "promoting",
    ("progressing", "failed"): "aborting",
    ("progressing", "overdue"): "paused",
    ("progressing", "stopped"): "aborting",
    ("progressing", "replaced"): "aborting",
    ("paused", "resumed"): "progressing",
    ("paused", "went_back"): "shadow",
    ("paused", "accepted"): "progressing",
    ("paused", "all_accepted"): "promoting",
    ("paused", "failed"): "aborting",
    ("paused", "given_up"): "aborting",
    ("paused", "stopped"): "aborting",
    ("paused", "replaced"): "aborting",
    ("promoting", "promoted"): "promoted",
    ("promoting", "refused"): "paused",
    ("promoting", "stopped"): "aborting",
    ("promoting", "replaced"): "aborting",
    ("aborting", "withdrawn"): "rolled-back",
}


@dataclass(frozen=True)
class RolloutFacts:
    """Facts that decide a rollout besides its own comparisons.

    Attributes:
        now: UTC.
        approved_at: When it was approved, UTC; None if it is not.
        champion_digest: Of the weights that serve now.
        stopped: Why it must end now, such as a rejection; empty if it need not.
        num_in_step: Pictures compared since the rollout's last move.
    """

    now: datetime
    approved_at: datetime | None
    champion_digest: str
    stopped: str = ""
    num_in_step: int = 0


def next_move(
    rollout: Rollout, analysis: Analysis, facts: RolloutFacts, settings: RolloutSettings
) -> RolloutMoved | None:
    """Return the move that is due, or None. Without evidence there is none until a deadline passes."""
    if rollout.phase not in ("shadow", "progressing", "paused", "promoting"):
        return None
    if facts.champion_digest == rollout.started.weights_digest and rollout.phase == "promoting":
        return make_move(rollout, "promoted", "it serves all traffic as the champion", analysis)
    if facts.stopped:
        return make_move(rollout, "stopped", facts.stopped, analysis)
    if facts.champion_digest != rollout.started.champion_digest:
        reason = (
            f"version {rollout.started.champion_version}, beside which it rolled out, does not serve any more"
        )
        return make_move(rollout, "replaced", reason, analysis)
    if rollout.phase == "promoting":
        return None
    if analysis.outcome == "fail":
        return make_move(rollout, "failed", _join(analysis.failed), analysis)
    if rollout.phase == "paused":
        return _give_up_if_late(rollout, analysis, facts, settings)
    if _step_is_complete(rollout, analysis, facts, settings):
        return _go_on(rollout, analysis)
    return _pause_if_late(rollout, analysis, facts, settings)


def describe_wait(
    rollout: Rollout, analysis: Analysis, facts: RolloutFacts, settings: RolloutSettings
) -> str:
    """Return in a few words what a rollout waits for."""
    if rollout.phase == "paused":
        return "a person: resume it, accept it, or stop it"
    if rollout.phase not in ("shadow", "progressing"):
        return "nothing"
    missing = [] if rollout.phase == "progressing" else _still(analysis.num_compared, settings.min_pictures)
    if rollout.phase == "progressing":
        missing += _still(facts.num_in_step, settings.min_step_pictures)
        minutes = settings.min_step_minutes - (facts.now - rollout.since).total_seconds() / 60
        missing += [f"{minutes:.1f} more minutes"] if minutes > 0 else []
    missing += [f"{one.name} to be shown" for one in analysis.undecided]
    missing += [] if facts.approved_at else ["an approval"]
    return ", ".join(missing) or "the next look"


def _still(have: int, want: int) -> list[str]:
    return [f"{want - have} more pictures"] if have < want else []


def make_move(rollout: Rollout, event: Event, reason: str, analysis: Analysis) -> RolloutMoved:
    """Return the record of an event.

    Raises:
        RefusedError: if the event cannot happen in this phase.
    """
    phase = TABLE.get((rollout.phase, event))
    if phase is None:
        raise RefusedError(f"a rollout that is {rollout.phase} cannot be {event.replace('_', ' ')}")
    return RolloutMoved(
        event=event,
        phase=phase,
        share_percent=_share_after(rollout, event, phase),
        reason=reason,
        num_compared=analysis.num_compared,
        checks=analysis.checks,
    )


def resume(rollout: Rollout, analysis: Analysis, *, by: str, accept: bool) -> RolloutMoved:
    """Go on with a paused rollout: give its step more time, or accept what is inconclusive and go on.

    Raises:
        RefusedError: if it is not paused, or a check was shown to fail.
    """
    if rollout.phase != "paused":
        raise RefusedError(f"the rollout is not paused, it is {rollout.phase}; there is nothing to resume")
    if analysis.failed:
        raise RefusedError(f"this rollout fails: {_join(analysis.failed)}")
    if accept:
        is_last = rollout.resumes_at_percent >= rollout.started.steps_percent[-1]
        event: Event = "all_accepted" if is_last else "accepted"
        return make_move(rollout, event, f"{by} accepts what could not be shown", analysis)
    event = "went_back" if rollout.resumes_phase == "shadow" else "resumed"
    return make_move(rollout, event, f"{by} gives it more time", analysis)


def next_step(steps_percent: Sequence[float], share_percent: float) -> float:
    """Return the share after this one.

    >>> next_step((1.0, 5.0, 100.0), 1.0)
    5.0
    """
    return next(step for step in steps_percent if step > share_percent)


def _share_after(rollout: Rollout, event: Event, phase: RolloutPhase) -> float:
    match phase:
        case "aborting" | "rolled-back" | "shadow":
            return 0.0
        case "paused":
            return rollout.share_percent  # nothing is known to be wrong, and evidence keeps accumulating
        case "progressing" if event == "resumed":
            return rollout.resumes_at_percent
        case "progressing":
            before = rollout.resumes_at_percent if event == "accepted" else rollout.share_percent
            return next_step(rollout.started.steps_percent, before)
        case _:
            return rollout.started.steps_percent[-1]


def _step_is_complete(
    rollout: Rollout, analysis: Analysis, facts: RolloutFacts, settings: RolloutSettings
) -> bool:
    if analysis.outcome != "pass" or facts.approved_at is None:
        return False
    if rollout.phase == "shadow":
        return analysis.num_compared >= settings.min_pictures
    lasted = facts.now - rollout.since
    is_long_enough = lasted >= timedelta(minutes=settings.min_step_minutes)
    return is_long_enough and facts.num_in_step >= settings.min_step_pictures


def _go_on(rollout: Rollout, analysis: Analysis) -> RolloutMoved:
    reason = f"{analysis.num_compared} pictures were compared and every check holds"
    is_last = rollout.share_percent >= rollout.started.steps_percent[-1]
    return make_move(rollout, "all_passed" if is_last else "passed", reason, analysis)


def _pause_if_late(
    rollout: Rollout, analysis: Analysis, facts: RolloutFacts, settings: RolloutSettings
) -> RolloutMoved | None:
    """Pause a step without a result. The shadow has all the time that its reviewer takes."""
    if facts.approved_at is None:
        return None
    began = max(rollout.since, facts.approved_at)
    if facts.now - began < timedelta(hours=settings.deadline_hours):
        return None
    why = _join(analysis.undecided) if facts.num_in_step else "no traffic came"
    reason = f"no result after {settings.deadline_hours:g} hours: {why}"
    return make_move(rollout, "overdue", reason, analysis)


def _give_up_if_late(
    rollout: Rollout, analysis: Analysis, facts: RolloutFacts, settings: RolloutSettings
) -> RolloutMoved | None:
    if facts.now - rollout.since < timedelta(hours=settings.pause_deadline_hours):
        return None
    reason = f"nobody decided about it for {settings.pause_deadline_hours:g} hours"
    return make_move(rollout, "given_up", reason, analysis)


def _join(checks: Sequence[Check]) -> str:
    return "; ".join(check.reason for check in checks[:3]) or "too few pictures"
