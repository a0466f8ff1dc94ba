"""A turn of the loop that a person asks for, carried as far as it goes without another decision."""

from __future__ import annotations

from functools import partial

from flows.loop.cycles import record_trigger
from flows.loop.reconcile import reconcile
from flows.loop.work import work_on_cycle
from flows.workspace.running import refuse_if_running
from flows.workspace.wiring import App
from maskloop.errors import BusyError, DataError
from maskloop.records.kinds import StartsFrom
from maskloop.state.cycle_state import Cycle


def run_turn(app: App, *, starts_from: StartsFrom, is_taught: bool = False) -> Cycle:
    """Ask for a turn by hand and carry it as far as it goes without a person.

    A turn that was interrupted before its verdict is resumed instead.

    Raises:
        BusyError: if another turn waits for a person or for labels, its work is running, or it is unfinished
            and of another kind.
        ConfigurationError: if no gates are configured.
        DataError: if there is nothing to train on.
        MaskloopError: whatever ended the attempt; it is recorded, and the next start tries again.
    """
    app.settings.required_gates()
    refuse_if_running(app.ledger, app.state(), app.workspace)
    if not app.state().labels_by_tag and app.data.current() is None:
        raise DataError("there is nothing to train on yet", hint="run `maskloop ingest` first")
    open_now = app.state().open_cycles
    if open_now and open_now[0].phase not in ("opened", "training", "candidate"):
        raise BusyError(
            f"{open_now[0].id} is still open ({open_now[0].phase})",
            hint="approve or reject its candidate, or `maskloop abandon` it; `maskloop status` tells",
        )
    if open_now and open_now[0].waiting and open_now[0].waiting.waiting_for == "labels":
        raise BusyError(
            f"{open_now[0].id} is open, {open_now[0].waiting.sentence()}", hint="or `maskloop abandon` it"
        )
    if open_now:
        _refuse_another_kind(open_now[0], starts_from, is_taught)
    key = f"manual:{app.state().last_sequence + 1}"
    if not open_now:
        detail = f"{app.actor} asked for it"
        record_trigger(
            app.journal,
            key,
            "manual",
            detail,
            by=app.actor,
            starts_from=starts_from,
            is_taught=is_taught,
        )
    reconcile(
        app, start_work=partial(work_on_cycle, app)
    )  # a person waits, to whom a failed attempt is an error
    cycles = list(reversed(app.state().cycles.values()))
    own = (cycle for cycle in cycles if cycle.opened.trigger_key == key)
    return next(own, cycles[0])  # an older one was open or pending: this one has joined it


def _refuse_another_kind(cycle: Cycle, starts_from: StartsFrom, is_taught: bool) -> None:
    opened = cycle.opened
    if (opened.starts_from, opened.is_taught) == (starts_from, is_taught):
        return
    begun = "distil" if opened.is_taught else "retrain" if opened.starts_from == "champion" else "train"
    raise BusyError(
        f"{cycle.id} is unfinished, and it is another kind of training",
        hint=f"carry it on with `maskloop {begun}`, or end it with `maskloop abandon {cycle.id}`",
    )
