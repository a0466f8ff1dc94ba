"""Whatever is due gets done: read the record, plan, apply, until nothing is left to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from flows.deciding.decision_log import DecisionLog
from flows.deciding.decisions import Approvals, read_approvals, record_decision, settle_tags
from flows.deciding.promotion import promote_cycle
from flows.intake.batch_intake import record_missing_versions
from flows.intake.feedback import ingest_enough_corrections
from flows.loop.cycles import close_cycle, find_cycle, open_cycle
from flows.loop.journal import Journal
from flows.loop.work import work_on_cycle
from flows.pages.evidence_pack import refresh_packs
from flows.pages.loop_report import refresh_report
from flows.planning.plan import (
    CloseCycle,
    CompletePromotion,
    Decide,
    JoinCycle,
    LoopFacts,
    OpenCycle,
    Promote,
    StartRollout,
    StartWork,
    Step,
    Wait,
    plan,
)
from flows.rollouts.rollout import advance_rollout, start_rollout
from flows.workspace.running import is_working, refuse_if_running
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.errors import (
    BusyError,
    MaskloopError,
    NotFoundError,
    RefusedError,
    StoppedError,
    UnavailableError,
)
from maskloop.ledger.leases import leased
from maskloop.ledger.port import Ledger
from maskloop.records.kinds import (
    CycleClosed,
    CycleWaiting,
    TrainingFailed,
    TriggerJoined,
    read_record,
)
from maskloop.state.loop_state import LoopState
from maskloop.wording import count
from registry.champion.promotion import reconcile_aliases, recover
from registry.ports import ModelStore


class WorkStarter(Protocol):
    """Starts the training and judging of a cycle: in this process, or in its own flow run."""

    def __call__(self, app: App, cycle_id: str) -> object:
        """Do the work, or start it; doing it twice must start it once."""
        ...


def work_here(app: App, cycle_id: str) -> None:
    """Train and judge in this process, and leave a recorded failure to the next plan."""
    try:
        work_on_cycle(app, cycle_id)
    except (UnavailableError, StoppedError):
        raise
    except MaskloopError as error:
        app.teller.say(f"{cycle_id}: {error}")


@dataclass(frozen=True)
class Reconciled:
    """The actions of one reconcile, as sentences; empty if nothing was due.

    Attributes:
        done: In order.
        failed: What failed among it: attempts at training or judging, and cycles that were given up.
    """

    done: tuple[str, ...]
    failed: tuple[str, ...] = ()


def reconcile(app: App, *, start_work: WorkStarter = work_here) -> Reconciled:
    """Do everything that is due, under one lease. Running it again at once does nothing.

    Raises:
        UnavailableError: if another reconcile is running, or the registry does not answer.
    """
    done: list[str] = []
    before_all = app.state().last_sequence
    with _alone(app):
        if number := record_missing_versions(app):
            done.append(f"recorded {count(number, 'data version')} that the ledger did not have")
        done += restore_aliases(app.state(), app.ledger, app.models, app.teller)
        done += settle_tags(DecisionLog.of(app))
        done += ingest_enough_corrections(app)
        done += advance_rollout(app)
        tried: set[Step] = set()
        while steps := [step for step in _plan_now(app) if step not in tried]:
            for step in steps:
                tried.add(step)
                before = app.state()
                _apply(app, step, start_work)
                if app.state().last_sequence > before.last_sequence:
                    done.append(describe_step(step, before))
        if done:  # the challenger follows what was just judged or decided
            done += restore_aliases(app.state(), app.ledger, app.models, app.teller)
        refresh_packs(app)
        refresh_report(app)
        app.state_reader.keep_snapshot()
    return Reconciled(tuple(done), tuple(_failures_since(app.ledger, before_all)))


def _failures_since(ledger: Ledger, sequence: int) -> Iterator[str]:
    for entry in ledger.entries(after=sequence):
        record = read_record(entry)
        if isinstance(record, TrainingFailed) or (
            isinstance(record, CycleClosed) and record.outcome == "failed"
        ):
            yield f"{entry.cycle_id}: {record.sentence()}"


@contextmanager
def _alone(app: App) -> Iterator[None]:
    """Hold the reconcile's lease. Raises BusyError, which names a training if that is what holds it."""
    with ExitStack() as held:
        try:
            held.enter_context(leased(app.ledger, "reconcile", ttl_s=app.settings.retraining.lease_s))
        except BusyError:
            refuse_if_running(app.ledger, app.state(), app.workspace)
            raise
        yield


def restore_aliases(state: LoopState, ledger: Ledger, models: ModelStore, teller: Teller) -> list[str]:
    """Put aliases that were moved by hand back where the ledger has them."""
    if not state.candidates:
        return []
    sentences = [tampered.sentence() for tampered in reconcile_aliases(ledger, models)]
    for sentence in sentences:
        teller.say(sentence)
    return sentences


def _plan_now(app: App) -> tuple[Step, ...]:
    state = app.state()
    approvals = _read_approvals(app)
    working = {cycle.id for cycle in state.open_cycles} if is_working(app.ledger) else set[str]()
    facts = LoopFacts(
        now=app.clock.now(),
        working=frozenset(working),
        decidable=frozenset(approvals.decided),
        waiting=approvals.waiting,
    )
    return plan(state, facts, app.settings)


def _read_approvals(app: App) -> Approvals:
    return read_approvals(app.state(), app.models, app.settings.approval, app.clock.now())


def _apply(app: App, step: Step, start_work: WorkStarter) -> None:
    journal = Journal.of(app)
    match step:
        case OpenCycle(trigger_key):
            open_cycle(journal, trigger_key)
        case JoinCycle(trigger_key, cycle):
            _join(journal, trigger_key, cycle)
        case Wait(cycle, waiting):
            journal.write(cycle, waiting)
        case StartWork(cycle):
            start_work(app, cycle)
        case Decide(cycle):
            if decision := _read_approvals(app).decided.get(cycle):
                record_decision(DecisionLog.of(app), find_cycle(app.state(), cycle), decision)
        case StartRollout(cycle):
            start_rollout(app, cycle)
        case Promote(cycle):
            _promote(app, journal, cycle)
        case CompletePromotion():
            recover(app.ledger, app.models)
        case CloseCycle(cycle, outcome, reason):
            close_cycle(journal, cycle, CycleClosed(outcome=outcome, reason=reason))


def _join(journal: Journal, trigger_key: str, cycle_id: str) -> None:
    state = journal.state()
    trigger = state.pending_triggers[trigger_key]
    joined = TriggerJoined(trigger_key=trigger_key, reason=trigger.reason, detail=trigger.detail)
    actor = state.trigger_actors[trigger_key]
    journal.write(cycle_id, joined, actor=actor, key=f"joined:{trigger_key}")


def _promote(app: App, journal: Journal, cycle_id: str) -> None:
    cycle = find_cycle(journal.state(), cycle_id)
    try:
        promote_cycle(app, cycle)
    except (RefusedError, NotFoundError) as error:
        way_out = error.hint or "approve it again, or reject it"
        waiting = CycleWaiting(waiting_for="approval", reason=error.headline, way_out=way_out)
        if waiting != cycle.waiting:
            journal.write(cycle_id, waiting)


def describe_step(step: Step, before: LoopState) -> str:
    """Say in a few words what a step did to a state."""
    match step:
        case OpenCycle(trigger_key):
            return f"a cycle was opened: {before.pending_triggers[trigger_key].detail}"
        case JoinCycle(trigger_key, cycle):
            return f"{cycle} has one more reason: {before.pending_triggers[trigger_key].detail}"
        case Wait(cycle, waiting):
            return f"{cycle} waits for {waiting.waiting_for}"
        case StartWork(cycle):
            return f"{cycle}: training and judging"
        case Decide(cycle):
            return f"{cycle}: decision recorded"
        case StartRollout(cycle):
            return f"{cycle}: rollout"
        case Promote(cycle):
            return f"{cycle}: promotion"
        case CompletePromotion():
            return "completed an interrupted promotion"
        case CloseCycle(cycle, outcome, _):
            return f"{cycle}: closed, {outcome}"
