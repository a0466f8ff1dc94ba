"""Cycles are asked for, opened, closed and given up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from flows.loop.traces import choose_trace_id
from flows.workspace.journal import Journal
from flows.workspace.running import WORK_LEASE
from flows.workspace.wiring import App
from maskloop.errors import NotFoundError, RefusedError
from maskloop.folding.history import recall_cycles
from maskloop.ledger.leases import leased
from maskloop.ledger.port import Ledger
from maskloop.records.kinds import (
    CycleClosed,
    CycleOpened,
    StartsFrom,
    TriggerReason,
    TriggerRecorded,
    write_record,
)
from maskloop.settings.workspace_settings import RetrainingSettings
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState


def record_trigger(
    journal: Journal,
    key: str,
    reason: TriggerReason,
    detail: str,
    *,
    by: str = "maskloop",
    starts_from: StartsFrom = "champion",
    is_taught: bool = False,
    rejudges: str = "",
) -> TriggerRecorded:
    """Write down that a turn of the loop is wanted; the same key twice is one trigger."""
    trigger = TriggerRecorded(
        trigger_key=key,
        reason=reason,
        detail=detail,
        baseline_tag=journal.state().newest_tag,
        starts_from=starts_from,
        is_taught=is_taught,
        rejudges=rejudges,
    )
    write_record(journal.ledger, trigger, actor=by, key=f"trigger:{key}")
    return trigger


def open_cycle(journal: Journal, trigger_key: str) -> str:
    """Open the cycle a recorded trigger asks for and return its id; twice gives the same cycle."""
    state = journal.state()
    trigger = state.pending_triggers[trigger_key]
    failed = None if trigger.rejudges else state.unanswered_failure
    cycle_id = f"cycle-{state.num_cycles + 1}"
    opened = CycleOpened(
        trigger_key=trigger_key,
        reason=trigger.reason,
        detail=trigger.detail,
        baseline_tag=failed.opened.baseline_tag if failed else trigger.baseline_tag,
        starts_from=trigger.starts_from,
        is_taught=trigger.is_taught,
        rejudges=trigger.rejudges,
        takes_up=(*failed.opened.takes_up, failed.id) if failed else (),
        trace_id=choose_trace_id(journal.ledger, cycle_id, trigger_key),
    )
    actor = state.trigger_actors[trigger_key]
    return journal.write(cycle_id, opened, actor=actor, key=f"cycle:{trigger_key}").cycle_id


def close_cycle(journal: Journal, cycle_id: str, record: CycleClosed) -> None:
    """End a cycle, once."""
    journal.write(cycle_id, record, key=f"closed:{cycle_id}")


def abandon_cycle(app: App, cycle_id: str, *, by: str, why: str) -> CycleClosed:
    """End an open cycle by hand, in any phase.

    Raises:
        NotFoundError: if there is no such cycle.
        RefusedError: if it has ended already, or its candidate is being promoted.
        BusyError: if somebody is training or judging for it.
    """
    cycle = find_cycle(recall_cycles(app.ledger, app.state(), [cycle_id]), cycle_id)
    if cycle.phase in ("closed", "promoting"):
        raise RefusedError(f"{cycle_id} is {cycle.phase}; there is nothing to abandon")
    closed = CycleClosed(outcome="abandoned", reason=why)
    with work_lease(app.ledger, app.settings.retraining):
        write_record(app.ledger, closed, actor=by, cycle_id=cycle_id, key=f"closed:{cycle_id}")
    return closed


def find_cycle(state: LoopState, cycle_id: str) -> Cycle:
    """Return one cycle. Raises NotFoundError."""
    cycle = state.cycles.get(cycle_id)
    if cycle is None:
        raise NotFoundError(f"there is no {cycle_id}", hint="`maskloop history` lists the cycles")
    return cycle


def work_lease(ledger: Ledger, settings: RetrainingSettings) -> AbstractContextManager[Callable[[], None]]:
    """Return the one lease on training and judging; what it gives checks that it is still held."""
    return leased(ledger, WORK_LEASE, ttl_s=settings.lease_s)
