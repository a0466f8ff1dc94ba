"""What is due now: a pure function from the recorded state and a few facts to the next steps.

The reconcile applies what `plan` returns and calls it again until nothing is due. So a lost, late or repeated
event makes no difference, and a second reconcile does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from maskloop.records.kinds import CycleOutcome, CycleWaiting
from maskloop.settings.workspace_settings import RetrainingSettings, RolloutSettings, Settings
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState, Rollout
from maskloop.wording import count
from registry.approval.freeze import Freeze, is_held_back


@dataclass(frozen=True)
class LoopFacts:
    """Facts from outside the ledger.

    Attributes:
        now: The time.
        working: Cycles that somebody alive is training or judging.
        decidable: Cycles whose approval has been decided in the meantime, by a person or by the policy.
        waiting: What the undecided ones wait for.
        freeze: Why no yes of the policy promotes anything now.
    """

    now: datetime
    working: frozenset[str] = frozenset()
    decidable: frozenset[str] = frozenset()
    waiting: Mapping[str, CycleWaiting] = field(default_factory=dict)
    freeze: Freeze | None = None


@dataclass(frozen=True)
class OpenCycle:
    """Open a cycle for a trigger."""

    trigger_key: str


@dataclass(frozen=True)
class JoinCycle:
    """Answer a trigger with the cycle that is already open."""

    trigger_key: str
    cycle_id: str


@dataclass(frozen=True)
class Wait:
    """Record what a cycle waits for."""

    cycle_id: str
    waiting: CycleWaiting


@dataclass(frozen=True)
class StartWork:
    """Train or judge, in a process of its own or in this one."""

    cycle_id: str


@dataclass(frozen=True)
class Decide:
    """Record the decision about a judged candidate."""

    cycle_id: str


@dataclass(frozen=True)
class StartRollout:
    """Let a blessed candidate answer beside the champion, in the shadow."""

    cycle_id: str


@dataclass(frozen=True)
class Promote:
    """Make an approved candidate the champion."""

    cycle_id: str


@dataclass(frozen=True)
class CompletePromotion:
    """Finish a change of champion that was interrupted."""


@dataclass(frozen=True)
class CloseCycle:
    """End a cycle."""

    cycle_id: str
    outcome: CycleOutcome
    reason: str


Step = (
    OpenCycle
    | JoinCycle
    | Wait
    | StartWork
    | Decide
    | StartRollout
    | Promote
    | CompletePromotion
    | CloseCycle
)


def plan(state: LoopState, facts: LoopFacts, settings: Settings) -> tuple[Step, ...]:
    """Return the steps that are due, at most one per cycle and trigger."""
    if state.changing:
        return (CompletePromotion(),)
    steps = [step for cycle in state.open_cycles if (step := plan_cycle(cycle, state, facts, settings))]
    return (*steps, *_plan_triggers(state))


def plan_cycle(cycle: Cycle, state: LoopState, facts: LoopFacts, settings: Settings) -> Step | None:
    """Return the one step that is due in an open cycle, or None."""
    rollout = state.rollouts.get(cycle.id)
    match cycle.phase:
        case "opened" | "training" | "candidate":
            return _plan_work(cycle, state, facts, settings.retraining)
        case "judged" | "approved" if rollout and rollout.phase == "rolled-back":
            return CloseCycle(cycle.id, "rejected", _why_rolled_back(rollout))
        case "judged" | "approved" if needs_rollout(cycle, state, settings.rollout):
            return StartRollout(cycle.id)
        case "judged":
            return _plan_decision(cycle, facts)
        case "approved":
            if serves_already(cycle, state):
                return CloseCycle(cycle.id, "promoted", "the same weights serve already")
            answers_all = rollout is not None and rollout.phase == "promoting"
            if facts.freeze and is_held_back(cycle.approval, facts.freeze) and not answers_all:
                return _plan_wait_for_person(cycle, facts.freeze)
            if rollout and not rollout.is_over:
                return _plan_wait_for_rollout(cycle, rollout)
            return Promote(cycle.id)
        case "rejected":
            why = cycle.approval.why if cycle.approval else ""
            return CloseCycle(cycle.id, "rejected", why or "the candidate was rejected")
        case "promoting":
            return CloseCycle(cycle.id, "promoted", "the candidate serves")
        case "closed":
            return None


def needs_rollout(cycle: Cycle, state: LoopState, settings: RolloutSettings) -> bool:
    """Tell whether a candidate must first show itself beside the champion, and may begin to now."""
    verdict, champion = cycle.verdict, state.champion
    if not settings.enabled or verdict is None or verdict.outcome == "fail" or champion is None:
        return False
    is_against_champion = verdict.champion_digest == champion.weights_digest
    is_new = cycle.id not in state.rollouts and verdict.candidate_digest != champion.weights_digest
    return is_against_champion and is_new and state.rollout is None


def serves_already(cycle: Cycle, state: LoopState) -> bool:
    """Tell whether a cycle's candidate is the champion: the same training again makes the same weights."""
    digest = cycle.verdict.candidate_digest if cycle.verdict else ""
    return state.champion is not None and state.champion.weights_digest == digest


def _plan_work(cycle: Cycle, state: LoopState, facts: LoopFacts, settings: RetrainingSettings) -> Step | None:
    if cycle.id in facts.working:
        return None
    if cycle.num_fruitless_attempts >= settings.max_training_attempts:
        reason = cycle.failures[-1] if cycle.failures else "the process was killed every time"
        why = f"{cycle.num_fruitless_attempts} attempts without progress: {reason}"
        return CloseCycle(cycle.id, "failed", why)
    if cycle.phase == "opened" and not cycle.num_attempts:
        missing = settings.min_new_labelled_samples - state.count_new_labels(cycle.opened.baseline_tag)
        if cycle.opened.reason == "drift" and missing > 0:
            return _plan_wait_for_labels(cycle, missing, facts.now, settings)
    return StartWork(cycle.id)


def _plan_wait_for_labels(
    cycle: Cycle, missing: int, now: datetime, settings: RetrainingSettings
) -> Step | None:
    if now - cycle.opened_at > timedelta(days=settings.wait_for_labels_days):
        return CloseCycle(
            cycle.id, "abandoned", f"no labels came within {settings.wait_for_labels_days:g} days"
        )
    verb = "is" if missing == 1 else "are"
    waiting = CycleWaiting(
        waiting_for="labels",
        reason=f"{count(missing, 'more labelled picture')} from after the drift {verb} needed",
        way_out="`maskloop label request` and `label push` send pictures to a labelling tool, `label status` "
        "tells how far they are; `maskloop ingest` takes labels made elsewhere",
    )
    return None if cycle.waiting == waiting else Wait(cycle.id, waiting)


def _plan_wait_for_rollout(cycle: Cycle, rollout: Rollout) -> Step | None:
    reason = f"{rollout.phase} at {rollout.share_percent:g} % of the traffic"
    way_out = "it goes on by itself while the service gets pictures; see `maskloop rollout show`"
    if rollout.phase == "paused" and rollout.moved:
        reason = f"{reason}: {rollout.moved.reason}"
        way_out = "`maskloop rollout resume` or `maskloop rollout stop`"
    waiting = CycleWaiting(waiting_for="rollout", reason=reason, way_out=way_out)
    return None if cycle.waiting == waiting else Wait(cycle.id, waiting)


def _plan_wait_for_person(cycle: Cycle, freeze: Freeze) -> Step | None:
    version = cycle.verdict.candidate_version if cycle.verdict else ""
    waiting = CycleWaiting(waiting_for="approval", reason=freeze.reason, way_out=freeze.way_out(version))
    return None if cycle.waiting == waiting else Wait(cycle.id, waiting)


def _why_rolled_back(rollout: Rollout) -> str:
    return f"rolled back: {rollout.moved.reason}" if rollout.moved else "rolled back"


def _plan_decision(cycle: Cycle, facts: LoopFacts) -> Step | None:
    if cycle.id in facts.decidable:
        return Decide(cycle.id)
    waiting = facts.waiting.get(cycle.id)
    return Wait(cycle.id, waiting) if waiting and waiting != cycle.waiting else None


def _plan_triggers(state: LoopState) -> tuple[Step, ...]:
    """Open a cycle for the oldest trigger, or let those that ask for a training join the one that trains.

    Triggers that ask for another verdict on an old candidate, or arrive while a verdict is being reached,
    stay pending.
    """
    pending = state.pending_triggers
    if not pending:
        return ()
    if not state.open_cycles:
        return (OpenCycle(next(iter(pending))),)
    if state.open_cycles[0].opened.rejudges:
        return ()
    joining = [key for key, trigger in pending.items() if not trigger.rejudges]
    return tuple(JoinCycle(key, state.open_cycles[0].id) for key in joining)
