"""One turn of the loop, from a trigger to a verdict. Started again after a crash, it goes on where it was."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from flows.learning.judge import judge_candidate
from flows.learning.train import train_candidate
from flows.workspace.running import WORK_LEASE, refuse_if_running
from flows.workspace.wiring import App
from maskloop.errors import (
    BusyError,
    ConfigurationError,
    DataError,
    MaskloopError,
    NotFoundError,
    RefusedError,
    StoppedError,
    UnavailableError,
)
from maskloop.ledger.leases import leased
from maskloop.records.kinds import (
    CycleClosed,
    CycleOpened,
    CycleWaiting,
    StartsFrom,
    TrainingFailed,
    TriggerReason,
    TriggerRecorded,
    write_record,
)
from maskloop.state.cycle_state import Cycle
from maskloop.stopping import StopRequest, stop_request


def record_trigger(
    app: App,
    key: str,
    reason: TriggerReason,
    detail: str,
    *,
    starts_from: StartsFrom = "champion",
    is_taught: bool = False,
    rejudges: str = "",
) -> TriggerRecorded:
    """Write down that a turn of the loop is wanted; the same key twice is one trigger."""
    versions = app.state().versions
    trigger = TriggerRecorded(
        trigger_key=key,
        reason=reason,
        detail=detail,
        baseline_tag=versions[-1].tag if versions else "",
        starts_from=starts_from,
        is_taught=is_taught,
        rejudges=rejudges,
    )
    write_record(app.ledger, trigger, actor=app.actor, key=f"trigger:{key}")
    return trigger


def open_cycle(app: App, trigger_key: str) -> str:
    """Open the cycle a recorded trigger asks for and return its id; twice gives the same cycle."""
    state = app.state()
    trigger = state.pending_triggers[trigger_key]
    failed = None if trigger.rejudges else state.unanswered_failure
    opened = CycleOpened(
        trigger_key=trigger_key,
        reason=trigger.reason,
        detail=trigger.detail,
        baseline_tag=failed.opened.baseline_tag if failed else trigger.baseline_tag,
        starts_from=trigger.starts_from,
        is_taught=trigger.is_taught,
        rejudges=trigger.rejudges,
        takes_up=(*failed.opened.takes_up, failed.id) if failed else (),
    )
    entry = write_record(
        app.ledger,
        opened,
        actor=state.trigger_actors[trigger_key],
        cycle=f"cycle-{len(state.cycles) + 1}",
        key=f"cycle:{trigger_key}",
    )
    app.teller.say(f"{entry.cycle}: {opened.sentence()}")
    return entry.cycle


def work_on_cycle(app: App, cycle_id: str) -> Cycle:
    """Train and judge, whichever is still to be done, holding the one lease on training.

    A failure is recorded; the next reconcile tries again until attempts without progress are used up. Servers
    that do not answer, settings that cannot be, and being asked to stop cost no attempt.

    Raises:
        UnavailableError: if another process is already working, or a server does not answer.
        StoppedError: after Ctrl-C or SIGTERM; a training has written a checkpoint.
        MaskloopError: whatever ended the attempt, after it was recorded.
    """
    with stop_request() as stop, _work_lease(app) as check_lease:
        cycle = find_cycle(app, cycle_id)
        try:
            _train_and_judge(app, cycle, check_lease, stop)
        except (UnavailableError, StoppedError, ConfigurationError, KeyboardInterrupt) as error:
            if find_cycle(app, cycle_id).num_attempts > cycle.num_attempts:  # it had begun: give it back
                _record_retry(app, cycle_id, error)
            if isinstance(error, StoppedError):
                error.exit_code = stop.exit_code
            raise
        except MaskloopError as error:
            failed = TrainingFailed(attempt=cycle.num_attempts + 1, reason=str(error))
            write_record(app.ledger, failed, actor=app.actor, cycle=cycle_id)
            raise
    return find_cycle(app, cycle_id)


def _train_and_judge(app: App, cycle: Cycle, check_lease: Callable[[], None], stop: StopRequest) -> None:
    def check() -> None:
        check_lease()
        stop.check()

    app.settings.required_gates()  # a training that nobody can judge is not worth its time
    if cycle.phase in ("opened", "training"):
        train_candidate(app, cycle, check_lease, stop.is_made)
        cycle = find_cycle(app, cycle.id)
    if cycle.phase == "candidate":
        check()
        judge_candidate(app, cycle, check)


def _record_retry(app: App, cycle_id: str, error: BaseException) -> None:
    """Write down that an attempt ended for a reason that is not its own, so that it costs none."""
    reason, way_out = str(error), "it is tried again by itself"
    if isinstance(error, StoppedError):
        reason, way_out = error.headline, "`maskloop reconcile` goes on from there"
    elif isinstance(error, KeyboardInterrupt):
        reason, way_out = "the work was stopped by Ctrl-C", "`maskloop reconcile` takes it up again"
    elif isinstance(error, ConfigurationError):
        way_out = "mend the settings and start it again"
    waiting = CycleWaiting(waiting_for="retry", reason=reason, way_out=way_out)
    write_record(app.ledger, waiting, cycle=cycle_id)


def _work_lease(app: App) -> AbstractContextManager[Callable[[], None]]:
    return leased(app.ledger, WORK_LEASE, ttl_s=app.settings.retraining.lease_s)


def close_cycle(app: App, cycle_id: str, record: CycleClosed) -> None:
    """End a cycle, once."""
    write_record(app.ledger, record, cycle=cycle_id, key=f"closed:{cycle_id}")
    app.teller.say(f"{cycle_id}: {record.sentence()}")


def abandon_cycle(app: App, cycle_id: str, *, by: str, why: str) -> CycleClosed:
    """End an open cycle by hand, whatever it waits for.

    Raises:
        NotFoundError: if there is no such cycle.
        RefusedError: if it has ended already, or its candidate is being promoted.
        BusyError: if somebody is training or judging for it.
    """
    cycle = find_cycle(app, cycle_id)
    if cycle.phase in ("closed", "promoting"):
        raise RefusedError(f"{cycle_id} is {cycle.phase}; there is nothing to abandon")
    closed = CycleClosed(outcome="abandoned", reason=why)
    with _work_lease(app):
        write_record(app.ledger, closed, actor=by, cycle=cycle_id, key=f"closed:{cycle_id}")
    return closed


def find_cycle(app: App, cycle_id: str) -> Cycle:
    """Read one cycle's state. Raises NotFoundError."""
    cycle = app.state().cycles.get(cycle_id)
    if cycle is None:
        raise NotFoundError(f"there is no {cycle_id}", hint="`maskloop history` lists the cycles")
    return cycle


def run_turn(app: App, *, starts_from: StartsFrom, is_taught: bool = False) -> Cycle:
    """Ask for a turn by hand and carry it as far as it goes without a person.

    A turn that was interrupted before its verdict is carried on instead.

    Raises:
        BusyError: if another turn waits for a person or for labels, its work is running, or it is unfinished
            and of another kind.
        ConfigurationError: if no gates are configured.
        DataError: if there is nothing to train on.
        MaskloopError: whatever ended the attempt; it is recorded, and the next start tries again.
    """
    from flows.loop.reconcile import reconcile

    app.settings.required_gates()
    refuse_if_running(app.ledger, app.state(), app.workspace)
    if not app.state().versions and app.data.current() is None:
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
        record_trigger(
            app, key, "manual", f"{app.actor} asked for it", starts_from=starts_from, is_taught=is_taught
        )
    reconcile(app, start_work=_work_or_say_why)
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


def _work_or_say_why(app: App, cycle_id: str) -> None:
    """Work on a cycle for a person who waits, to whom a failed attempt is an error."""
    work_on_cycle(app, cycle_id)
