"""What M1 to M10 are made of, read from ledger, evidence, service and card; whatever is missing is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

import httpx
import psutil

from flows.evidence.judged import read_kept
from flows.metrics.figure import Figure, Gathered
from flows.metrics.measuring import measure
from flows.workspace.servers import running_server_url
from flows.workspace.wiring import App
from maskloop.errors import UnavailableError
from maskloop.folding.history import recall_version
from maskloop.ledger.port import Ledger, newest_first
from maskloop.records.kinds import DriftJudged, read_record
from maskloop.state.loop_state import LoopState
from maskloop.workspace import Workspace
from serving.telemetry.reading import ServiceFigures, read_gpus, read_service_figures

_TIMEOUT_S: Final = 10.0
_MAX_WINDOWS: Final = 200
_CONTAINER_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


def measure_workspace(
    app: App, *, url: str = "", key: str = "", service: ServiceFigures | None = None
) -> tuple[Figure, ...]:
    """Return the ten figures.

    Args:
        app: The workspace.
        url: Of the service; empty: the one that `maskloop up` runs for this workspace, if it does.
        key: An API key that may read figures.
        service: What the service counts, where that is known already.

    Raises:
        UnavailableError: if a service that was named does not answer.
        DataError: if what it answers are no figures.
    """
    service, why = (service, "") if service else ask_service(app.workspace, url, key)
    found = Gathered(
        now=app.clock.now(),
        settings=app.settings,
        service=service,
        why_no_service=why,
        gpus=service.gpus if service else read_gpus(),
        memory_limit_bytes=find_memory_limit(),
        feedback=tuple(app.corrections.judged()),
    )
    return measure(add_champion(found, app.ledger, app.state(), app.workspace))


def add_champion(found: Gathered, ledger: Ledger, state: LoopState, workspace: Workspace) -> Gathered:
    """Add what is recorded about the version that serves; nothing if none does."""
    if state.champion is None:
        return found
    version, weights_digest = state.champion.version, state.champion.weights_digest
    cycles = recall_version(ledger, state, version).cycles.values()
    own = [one for one in cycles if one.verdict and one.verdict.candidate_digest == weights_digest]
    cycle = own[-1] if own else None
    return replace(
        found,
        champion=version,
        verdict=cycle.verdict if cycle else None,
        judged_at=cycle.verdict_at if cycle else None,
        evidence=read_kept(workspace, cycle) if cycle else None,
        drift=read_drift(ledger, weights_digest),
        quality=tuple(each for each in state.quality if each[1].weights_digest == weights_digest),
    )


def read_drift(ledger: Ledger, weights_digest: str) -> tuple[tuple[datetime, DriftJudged], ...]:
    """Return the newest verdicts on windows of a model, the newest first."""
    found = []
    for entry in islice(newest_first(ledger, (DriftJudged.kind,)), _MAX_WINDOWS):
        record = read_record(entry)
        if isinstance(record, DriftJudged) and record.weights_digest == weights_digest:
            found.append((entry.at, record))
    return tuple(found)


def ask_service(workspace: Workspace, url: str, key: str) -> tuple[ServiceFigures | None, str]:
    """Return the figures of the service, or why there are none.

    Raises:
        UnavailableError: if a service that was named does not answer.
        DataError: if what it answers are no figures.
    """
    address = url or running_server_url(workspace, "service")
    if not address:
        return None, "no service of this workspace runs here"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{address.rstrip('/')}/metrics", headers=headers, timeout=_TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        if url:
            raise UnavailableError("the service does not answer", where=url, hint=str(error)) from error
        return None, f"the service does not answer at {address}"
    if answer.status_code in (401, 403):
        return None, f"the service at {address} wants an API key with the scope metrics (--key)"
    if not answer.is_success:
        return None, f"the service at {address} answered {answer.status_code}"
    return read_service_figures(answer.text), ""


def find_memory_limit() -> float:
    """Return how much memory the machine has, or this container may use, in bytes."""
    whole = float(psutil.virtual_memory().total)
    try:
        return min(whole, float(_CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit
        return whole
