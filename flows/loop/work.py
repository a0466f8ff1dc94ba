"""Training and judging of one cycle; after a crash it resumes where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flows.health.policy import hold_for_data_check
from flows.learning.candidate_training import train_candidate
from flows.learning.judge import judge_candidate
from flows.loop.cycles import find_cycle, work_lease
from flows.pages.evidence_pack import refresh_pack
from flows.workspace.journal import Journal
from flows.workspace.wiring import App
from maskloop.errors import ConfigurationError, MaskloopError, StoppedError, UnavailableError
from maskloop.ledger.port import Ledger
from maskloop.records.kinds import CycleWaiting, TrainingFailed, write_record
from maskloop.state.cycle_state import Cycle
from maskloop.stopping import StopRequest, stop_request


def work_on_cycle(app: App, cycle_id: str) -> Cycle:
    """Train and judge, whichever is still to be done, holding the one lease on training.

    A failure is recorded; the next reconcile retries until the attempts without progress are used up. An
    unreachable server, invalid settings and a request to stop do not count as attempts.

    Raises:
        UnavailableError: if another process is already working, or a server does not answer.
        RefusedError: if a finding of the data check blocks the training; it costs no attempt.
        StoppedError: after Ctrl-C or SIGTERM; a training has written a checkpoint.
        MaskloopError: whatever ended the attempt, after it was recorded.
    """
    with stop_request() as stop, work_lease(app.ledger, app.settings.retraining) as check_lease:

        def check() -> None:
            check_lease()
            stop.check()

        hold_for_data_check(app, find_cycle(app.state(), cycle_id))
        with _failure_recorded(app.journal, cycle_id, stop, actor=app.actor):
            app.settings.required_gates()  # a training that nobody can judge is not worth its time
            cycle = find_cycle(app.state(), cycle_id)
            if cycle.phase in ("opened", "training"):
                train_candidate(app, cycle, check_lease, stop.is_made)
                cycle = find_cycle(app.state(), cycle_id)
            if cycle.phase == "candidate":
                check()
                judge_candidate(app, cycle, check)
                refresh_pack(app, cycle_id)
    return find_cycle(app.state(), cycle_id)


@contextmanager
def _failure_recorded(journal: Journal, cycle_id: str, stop: StopRequest, *, actor: str) -> Iterator[None]:
    """Record an error of the body: as a failed attempt, or as one that does not count."""
    cycle = find_cycle(journal.state(), cycle_id)
    try:
        yield
    except (UnavailableError, StoppedError, ConfigurationError, KeyboardInterrupt) as error:
        num_attempts = find_cycle(journal.state(), cycle_id).num_attempts
        if num_attempts > cycle.num_attempts:  # the attempt had begun: it is given back
            _record_retry(journal.ledger, cycle_id, error)
        if isinstance(error, StoppedError):
            error.exit_code = stop.exit_code
        raise
    except MaskloopError as error:
        failed = TrainingFailed(attempt=cycle.num_attempts + 1, reason=str(error))
        write_record(journal.ledger, failed, actor=actor, cycle_id=cycle_id)
        raise


def _record_retry(ledger: Ledger, cycle_id: str, error: BaseException) -> None:
    """Write down that an attempt ended for a reason that is not its own, so that it costs none."""
    reason, way_out = str(error), "it is tried again by itself"
    if isinstance(error, StoppedError):
        reason, way_out = error.headline, "`maskloop reconcile` goes on from there"
    elif isinstance(error, KeyboardInterrupt):
        reason, way_out = "the work was stopped by Ctrl-C", "`maskloop reconcile` takes it up again"
    elif isinstance(error, ConfigurationError):
        way_out = "mend the settings and start it again"
    waiting = CycleWaiting(waiting_for="retry", reason=reason, way_out=way_out)
    write_record(ledger, waiting, cycle_id=cycle_id)
