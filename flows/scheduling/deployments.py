"""The stories as Prefect flows, for `prefect.yaml` and a worker. Parameters are plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from prefect import flow, get_run_logger, task
from prefect.artifacts import (
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.deployments import run_deployment
from prefect.runtime import flow_run
from prefect.states import Crashed

from dataset.ingestion.plan import IngestOptions
from flows.answering.batch_prediction import predict
from flows.drift.monitor import monitor
from flows.intake.batch_intake import ingest
from flows.loop.cycles import record_trigger
from flows.loop.reconcile import WorkStarter, reconcile
from flows.loop.work import work_on_cycle
from flows.workspace.telling import Teller
from flows.workspace.wiring import App, open_app
from maskloop.clock import Clock
from maskloop.errors import BusyError
from maskloop.records.kinds import TriggerReason
from maskloop.workspace import Workspace

if TYPE_CHECKING:
    from uuid import UUID

    from dataset.labelled_pictures import Split

_Result = TypeVar("_Result")
_PROGRESS_STEPS = 20
_PAGE = 200
_LATE = 30
"""A run that waits for a worker is given this many leases."""


class PrefectTeller:
    """Writes sentences to the run's log, and progress, tables and links as Prefect artifacts."""

    def say(self, sentence: str) -> None:
        """Log one sentence."""
        get_run_logger().info(sentence)

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """Keep a progress artifact up to date while the body runs."""
        artifact = cast("UUID", create_progress_artifact(progress=0.0, description=title))
        told = 0

        def advance(done: int, total: int) -> None:
            nonlocal told
            step = _PROGRESS_STEPS * done // max(total, 1)
            if step > told:
                told = step
                update_progress_artifact(artifact_id=artifact, progress=100.0 * done / total)

        yield advance

    def table(self, key: str, rows: Sequence[Mapping[str, Any]], title: str) -> None:
        """Keep a table artifact."""
        create_table_artifact(table=[dict(row) for row in rows], key=key, description=title)

    def link(self, key: str, url: str, text: str) -> None:
        """Keep a link artifact; Prefect shows http links only, so others go to the log."""
        if url.startswith("http"):
            create_link_artifact(link=url, link_text=text, key=key)
        else:
            self.say(f"{text}: {url}")


class BothTellers:
    """Tells two."""

    def __init__(self, first: Teller, second: Teller) -> None:
        self._tellers = (first, second)

    def say(self, sentence: str) -> None:
        """Tell both."""
        for teller in self._tellers:
            teller.say(sentence)

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """Tell both."""
        with ExitStack() as stack:
            told = [stack.enter_context(teller.progress(title)) for teller in self._tellers]

            def advance_both(done: int, total: int) -> None:
                for advance in told:
                    advance(done, total)

            yield advance_both

    def table(self, key: str, rows: Sequence[Mapping[str, Any]], title: str) -> None:
        """Tell both."""
        for teller in self._tellers:
            teller.table(key, rows, title)

    def link(self, key: str, url: str, text: str) -> None:
        """Tell both."""
        for teller in self._tellers:
            teller.link(key, url, text)


@flow(name="ingest")
def ingest_flow(
    workspace: str, annotations: str, images_dir: str = "", source: str = "", split: str | None = None
) -> str:
    """Add a batch of labelled pictures to the data; returns the current version's tag."""
    result = _step("ingest")(ingest)(
        _open(workspace),
        Path(annotations),
        Path(images_dir) if images_dir else None,
        options=IngestOptions(source, cast("Split | None", split)),
    )
    return result.version.tag if result.version else ""


@flow(name="train")
def train_flow(workspace: str, cycle: str) -> str:
    """Train and judge for one cycle, going on where an earlier run ended; returns the phase it reached."""
    return str(_step(f"train and judge {cycle}")(work_on_cycle)(_open(workspace), cycle).phase)


@flow(name="retrain")
def retrain_flow(workspace: str, reason: TriggerReason = "schedule", detail: str = "") -> list[str]:
    """Ask for a turn of the loop and start it."""
    app = _open(workspace)
    scheduled = flow_run.get_scheduled_start_time().isoformat(timespec="minutes")
    said = detail or f"scheduled for {scheduled}"
    record_trigger(app.journal, f"{reason}:{scheduled}", reason, said, by=app.actor)
    return _reconcile(workspace)


@flow(name="monitor")
def monitor_flow(workspace: str) -> str:
    """Judge the newest production samples, then do whatever is due."""
    app = _open(workspace)
    if app.state().champion is None:
        return "nothing serves yet"
    try:
        found = _step("monitor")(monitor)(app)
    except BusyError as error:  # another host's
        app.teller.say(str(error))
        return str(error)
    _reconcile(workspace)
    return found.judged.outcome if found.judged else f"{found.num_pending} samples wait"


@flow(name="promote")
def promote_flow(workspace: str) -> list[str]:
    """Carry out decisions made in the MLflow UI; what needs training is left to the reconcile."""
    return _reconcile(workspace, start_work=lambda _cycle: None)


@flow(name="reconcile")
def reconcile_flow(workspace: str) -> list[str]:
    """Do everything that is due."""
    return _reconcile(workspace)


@flow(name="predict")
def predict_flow(workspace: str, pictures: list[str], source: str = "production") -> int:
    """Answer pictures with the champion and log them; returns how many were answered."""
    answers = _step("predict")(predict)(_open(workspace), [Path(path) for path in pictures], source=source)
    return sum(not answer.error for answer in answers)


def run_in_foreground(name: str, teller: Teller, work: Callable[[Teller], _Result]) -> _Result:
    """Run a piece of work in this process as a flow run; its teller reports to Prefect as well."""

    def run() -> _Result:
        return work(BothTellers(teller, PrefectTeller()))

    result: _Result = flow(name=name, persist_result=False)(run)()
    return result


def start_train_run(workspace: Workspace, clock: Clock, cycle_id: str) -> None:
    """See to it that a flow run works on the cycle: leave a living one alone, replace a dead one.

    Prefect shows a killed run as RUNNING for ever. So a run that is older than a lease and does not hold the
    training lease is first marked as crashed, and so is a run that no worker picked up for much longer.
    """
    settings = workspace.settings
    tag = f"maskloop:{settings.model_name}:{cycle_id}"
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[tag])))
        grace = timedelta(seconds=settings.retraining.lease_s)
        for run in runs:
            if run.state is None or run.state.is_final():
                continue
            since = run.start_time or run.expected_start_time or clock.now()
            if clock.now() - since < (grace if run.state.is_running() else _LATE * grace):
                return
            client.set_flow_run_state(run.id, Crashed(message="its lease expired"), force=True)
    run_deployment(
        f"train/{settings.model_name}",
        parameters={"workspace": str(workspace.root), "cycle": cycle_id},
        tags=[tag],
        idempotency_key=f"{tag}:{len(runs)}",
        timeout=0,
        as_subflow=False,
    )


def drop_schedules(workspace: str) -> int:
    """Remove every schedule that calls for this workspace, and return how many there were.

    `prefect deploy` adds and changes schedules but never removes one. Schedules that were deleted from
    prefect.yaml would stay active, so all are dropped before the file is deployed.
    """
    dropped, offset = 0, 0
    with get_client(sync_client=True) as client:
        while page := client.read_deployments(limit=_PAGE, offset=offset):
            offset += len(page)
            for deployment in page:
                if deployment.parameters.get("workspace") != workspace:
                    continue
                for schedule in deployment.schedules:
                    client.delete_deployment_schedule(deployment.id, schedule.id)
                    dropped += 1
    return dropped


def pause_schedules(workspace: str, flow_name: str) -> int:
    """Pause one flow's schedules of this workspace, and return how many; `maskloop up` deploys them again."""
    paused, offset = 0, 0
    with get_client(sync_client=True) as client:
        flow_id = client.read_flow_by_name(flow_name).id
        while page := client.read_deployments(limit=_PAGE, offset=offset):
            offset += len(page)
            for deployment in page:
                if deployment.flow_id != flow_id or deployment.parameters.get("workspace") != workspace:
                    continue
                for schedule in deployment.schedules:
                    client.update_deployment_schedule(deployment.id, schedule.id, active=False)
                    paused += 1
    return paused


def _reconcile(workspace: str, *, start_work: WorkStarter | None = None) -> list[str]:
    app = _open(workspace)
    start_work = start_work or partial(start_train_run, app.workspace, app.clock)
    try:
        return list(_step("reconcile")(reconcile)(app, start_work=start_work).done)
    except BusyError as error:
        app.teller.say(str(error))
        return []


def _open(workspace: str) -> App:
    return open_app(Path(workspace), teller=PrefectTeller())


def _step(name: str) -> Any:
    return task(name=name, cache_policy=NO_CACHE, persist_result=False)
