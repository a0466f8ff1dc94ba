"""Whatever is due gets done: read the record, plan, apply, until nothing is left to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from flows.deciding.decision_log import DecisionLog
from flows.deciding.decisions import read_approvals, record_decision, settle_tags
from flows.deciding.freezing import find_freeze
from flows.deciding.promotion import promote_cycle
from flows.evidence.production_quality import measure_production_quality
from flows.intake.batch_intake import record_missing_versions
from flows.intake.feedback import ingest_enough_corrections
from flows.labelling.pull import pull_open_requests
from flows.labelling.waiting_cycles import ask_for_labels
from flows.loop.cycles import close_cycle, find_cycle, open_cycle
from flows.loop.traces import send_traces
from flows.loop.work import work_on_cycle
from flows.notifications.sending import tell_people
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
from flows.workspace.journal import Journal
from flows.workspace.running import is_working, refuse_if_running
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.clock import Clock
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
from maskloop.settings.workspace_settings import ApprovalSettings, Settings
from maskloop.state.loop_state import LoopState
from maskloop.wording import count
from maskloop.workspace import Workspace
from registry.champion.promotion import reconcile_aliases, recover
from registry.ports import ModelStore
from serving.telemetry.tracing import send_spans

_TRACES_S: Final = 2.0
"""A collector that hangs costs a reconcile no more, and only when a step has ended."""
WorkStarter = Callable[[str], object]
"""Starts the training and judging of the cycle with this id: in this process, or in its own flow run.

Called twice, it must start the work once.
"""


def work_here(work: WorkStarter, teller: Teller, cycle_id: str) -> None:
    """Train and judge in this process, and leave a recorded failure to the next plan."""
    try:
        work(cycle_id)
    except (UnavailableError, StoppedError):
        raise
    except MaskloopError as error:
        teller.say(f"{cycle_id}: {error}")


@dataclass(frozen=True)
class StepActions:
    """The actions of those steps that do more than write one record; each but the last takes the cycle's id.

    Attributes:
        start_work: Starts training and judging.
        decide: Records the decision of the policy or of a person.
        start_rollout: Begins the rollout.
        promote: Makes the candidate the champion.
        complete_promotion: Completes a promotion that was interrupted.
    """

    start_work: WorkStarter
    decide: Callable[[str], object]
    start_rollout: Callable[[str], object]
    promote: Callable[[str], object]
    complete_promotion: Callable[[], object]


@dataclass(frozen=True)
class Reconciled:
    """The actions of one reconcile, as sentences; empty if nothing was due.

    Attributes:
        done: In order.
        failed: What failed among it: attempts at training or judging, and cycles that were given up.
    """

    done: tuple[str, ...]
    failed: tuple[str, ...] = ()


def reconcile(app: App, *, start_work: WorkStarter | None = None) -> Reconciled:
    """Do everything that is due, under one lease. Running it again at once does nothing.

    Args:
        app: The workspace.
        start_work: Trains and judges. Default: `work_here`.

    Raises:
        UnavailableError: if another reconcile is running, or the registry does not answer.
    """
    done: list[str] = []
    before_all = app.state().last_sequence
    decisions = DecisionLog(app.ledger, app.state, app.models, app.teller)
    approval = app.settings.approval
    actions = StepActions(
        start_work=start_work or partial(work_here, partial(work_on_cycle, app), app.teller),
        decide=partial(_decide, decisions, app.settings, app.clock),
        start_rollout=lambda cycle_id: start_rollout(app.journal, app.pairs, app.settings.rollout, cycle_id),
        promote=partial(_promote, app.journal, app.models, approval, app.clock),
        complete_promotion=partial(recover, app.ledger, app.models),
    )
    with _telling_people(partial(tell_people, app)), _alone(app.ledger, app.state, app.workspace):
        if number := record_missing_versions(app.ledger, app.state(), app.data):
            done.append(f"recorded {count(number, 'data version')} that the ledger did not have")
        done += restore_aliases(app.state(), app.ledger, app.models, app.teller)
        done += settle_tags(decisions)
        done += pull_open_requests(app)
        done += ingest_enough_corrections(app)
        done += measure_production_quality(app)
        done += advance_rollout(app)
        plan_now = partial(_plan_now, app.journal, app.models, app.settings, app.clock)
        tried: set[Step] = set()
        while steps := [step for step in plan_now() if step not in tried]:
            for step in steps:
                tried.add(step)
                before = app.state()
                _apply(step, app.journal, actions)
                if app.state().last_sequence > before.last_sequence:
                    done.append(describe_step(step, before))
        done += ask_for_labels(app)
        if done:  # the challenger follows what was just judged or decided
            done += restore_aliases(app.state(), app.ledger, app.models, app.teller)
        refresh_packs(app)
        refresh_report(app)
        if endpoint := app.settings.serving.otlp_endpoint:
            send_traces(app.journal, partial(send_spans, endpoint, timeout_s=_TRACES_S))
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
def _telling_people(tell: Callable[[], object]) -> Iterator[None]:
    """Tell people what they should know afterwards, also if a server that does not answer ends the body."""
    try:
        yield
    except (BusyError, StoppedError):
        raise
    except MaskloopError:
        with suppress(MaskloopError):  # the error that ended the body is the one to be told
            tell()
        raise
    tell()


@contextmanager
def _alone(ledger: Ledger, read_state: Callable[[], LoopState], workspace: Workspace) -> Iterator[None]:
    """Hold the reconcile's lease. Raises BusyError, which names a training if that is what holds it."""
    with ExitStack() as held:
        try:
            held.enter_context(leased(ledger, "reconcile", ttl_s=workspace.settings.retraining.lease_s))
        except BusyError:
            refuse_if_running(ledger, read_state(), workspace)
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


def _plan_now(journal: Journal, models: ModelStore, settings: Settings, clock: Clock) -> tuple[Step, ...]:
    state = journal.state()
    approvals = read_approvals(state, models, settings, clock.now())
    working = {cycle.id for cycle in state.open_cycles} if is_working(journal.ledger) else set[str]()
    facts = LoopFacts(
        now=clock.now(),
        working=frozenset(working),
        decidable=frozenset(approvals.decided),
        waiting=approvals.waiting,
        freeze=find_freeze(state, settings, clock.now()),
    )
    return plan(state, facts, settings)


def _apply(step: Step, journal: Journal, actions: StepActions) -> None:
    match step:
        case OpenCycle(trigger_key):
            open_cycle(journal, trigger_key)
        case JoinCycle(trigger_key, cycle):
            _join(journal, trigger_key, cycle)
        case Wait(cycle, waiting):
            journal.write(cycle, waiting)
        case StartWork(cycle):
            actions.start_work(cycle)
        case Decide(cycle):
            actions.decide(cycle)
        case StartRollout(cycle):
            actions.start_rollout(cycle)
        case Promote(cycle):
            actions.promote(cycle)
        case CompletePromotion():
            actions.complete_promotion()
        case CloseCycle(cycle, outcome, reason):
            close_cycle(journal, cycle, CycleClosed(outcome=outcome, reason=reason))


def _join(journal: Journal, trigger_key: str, cycle_id: str) -> None:
    state = journal.state()
    trigger = state.pending_triggers[trigger_key]
    joined = TriggerJoined(trigger_key=trigger_key, reason=trigger.reason, detail=trigger.detail)
    actor = state.trigger_actors[trigger_key]
    journal.write(cycle_id, joined, actor=actor, key=f"joined:{trigger_key}")


def _decide(log: DecisionLog, settings: Settings, clock: Clock, cycle_id: str) -> None:
    approvals = read_approvals(log.state(), log.models, settings, clock.now())
    if decision := approvals.decided.get(cycle_id):
        record_decision(log, find_cycle(log.state(), cycle_id), decision)


def _promote(
    journal: Journal, models: ModelStore, settings: ApprovalSettings, clock: Clock, cycle_id: str
) -> None:
    cycle = find_cycle(journal.state(), cycle_id)
    try:
        promote_cycle(journal, models, settings, clock, cycle)
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
