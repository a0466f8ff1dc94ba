"""What is due next, and the command for it: what `maskloop status` ends with. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from flows.planning.plan import LoopFacts, StartWork, Step, Wait, plan, plan_cycle
from maskloop.records.kinds import CycleWaiting
from maskloop.settings.workspace_settings import Settings
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState
from maskloop.wording import count


@dataclass(frozen=True)
class Due:
    """One thing to do.

    Attributes:
        command: To be typed as it stands, but for words in capitals.
        why: What it does, or what is waited for.
    """

    command: str
    why: str


def find_due(state: LoopState, facts: LoopFacts, settings: Settings, *, option: str = "") -> tuple[Due, ...]:
    """Return what is due now, most urgent first; nothing if the loop rests or works.

    Args:
        state: What is recorded.
        facts: The time, and who works.
        settings: Of the workspace.
        option: Goes after each command, such as `` -w parts``.
    """
    return tuple(replace(one, command=f"{one.command}{option}") for one in _find(state, facts, settings))


def waiting_now(cycle: Cycle, state: LoopState, facts: LoopFacts, settings: Settings) -> CycleWaiting | None:
    """Return what a cycle waits for as of now, which the next reconcile is going to record."""
    step = plan_cycle(cycle, state, facts, settings)
    if isinstance(step, Wait):
        return step.waiting
    return cycle.waiting if step is None else None


def _find(state: LoopState, facts: LoopFacts, settings: Settings) -> Iterator[Due]:
    for cycle in state.open_cycles:
        yield from _due_in(cycle, state, facts, settings)
    if state.open_cycles:
        return
    steps = plan(state, facts, settings)
    if steps:
        yield Due("maskloop reconcile", _describe_pending(state, steps))
    elif not state.labels_by_tag:
        yield Due("maskloop ingest LABELS", "adds the first labelled pictures")
    elif failed := state.unanswered_failure:
        is_anew = state.champion is None or failed.opened.starts_from == "first-weights"
        kind = "distil" if failed.opened.is_taught else "train" if is_anew else "retrain"
        yield Due(f"maskloop {kind}", f"takes up what {failed.id} failed at, once the cause is mended")
    elif state.champion is None:
        yield from _due_without_model(state)


def _due_without_model(state: LoopState) -> Iterator[Due]:
    last = state.newest_cycle
    if last and last.verdict and last.verdict.outcome == "fail":
        version = last.verdict.candidate_version
        yield Due(f"maskloop judge {version}", "judges it again, once a gate that was set wrongly is changed")
    yield Due("maskloop train", "trains a model on the newest data and judges it")


def _due_in(cycle: Cycle, state: LoopState, facts: LoopFacts, settings: Settings) -> Iterator[Due]:
    if cycle.id in facts.working:
        return
    step = plan_cycle(cycle, state, facts, settings)
    waiting = waiting_now(cycle, state, facts, settings)
    if step is not None and not isinstance(step, Wait):
        yield Due("maskloop reconcile", _describe_step(cycle, step))
    elif waiting and waiting.waiting_for == "labels":
        yield _due_for_labels(cycle, waiting, state)
    elif waiting and waiting.waiting_for == "rollout":
        yield Due("maskloop rollout show", f"{cycle.id}: {waiting.reason}")
    elif cycle.verdict:
        version = cycle.verdict.candidate_version
        yield Due(f"maskloop approve {version} --by NAME", f"or `maskloop reject {version}`, or in MLflow")


def _due_for_labels(cycle: Cycle, waiting: CycleWaiting, state: LoopState) -> Due:
    """Return the command that brings labels: through the labelling tool where pictures were chosen for it."""
    why = f"{cycle.id}: {waiting.reason}"
    if not state.open_requests:
        return Due("maskloop ingest LABELS", why)
    request = state.open_requests[-1]
    told = f"request {request.requested.request_id}"
    if request.pushed is None:
        return Due("maskloop label push", f"{why}; {told} was not sent to the labelling tool yet")
    awaited = count(request.num_awaited, "picture")
    return Due("maskloop label pull", f"{why}; {told}: {awaited} still to be labelled")


def _describe_step(cycle: Cycle, step: Step) -> str:
    if not isinstance(step, StartWork):
        return f"{cycle.id}: takes the next step"
    if cycle.phase == "candidate":
        return f"{cycle.id}: judges its candidate"
    return f"{cycle.id}: goes on with its training" if cycle.training else f"{cycle.id}: starts its training"


def _describe_pending(state: LoopState, steps: tuple[Step, ...]) -> str:
    pending = next(iter(state.pending_triggers.values()), None)
    return f"opens a cycle: {pending.detail}" if pending and steps else "takes the next step"
