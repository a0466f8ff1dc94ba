"""The service of a copy on a free port of loopback, and what is asked of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import httpx

from flows.answering.service_assembly import make_application
from flows.gameday.scenario import Stage, UnhandledError
from serving.http.server import running_in_thread

_READY_S: Final = 180.0
_BYTES: Final = {"Content-Type": "application/octet-stream"}


@contextmanager
def running_service(stage: Stage) -> Iterator[str]:
    """Serve the copy in a thread until the body ends; gives its address once it is ready.

    Raises:
        UnhandledError: if it is not ready within three minutes.
    """
    settings = stage.app.settings.serving.model_copy(update={"stop_notice_s": 0.0, "drain_s": 5.0})
    application = partial(make_application, stage.workspace.root, settings)
    with running_in_thread(application, settings) as address:
        _wait_until_ready(address)
        yield address


def _wait_until_ready(address: str) -> None:
    until, said = time.monotonic() + _READY_S, "it does not answer"
    while time.monotonic() < until:
        try:
            answer = httpx.get(f"{address}/readyz", timeout=5.0, trust_env=False)
        except httpx.HTTPError as error:
            said = str(error)
        else:
            if answer.is_success:
                return
            said = answer.text
        time.sleep(0.1)
    raise UnhandledError("the service of the copy is not ready", where=address, hint=said[:300])


def open_client(address: str, key: str = "") -> httpx.Client:
    """Return a client of a service on loopback, whatever proxy the environment names."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=address, headers=headers, timeout=60.0, trust_env=False)


@dataclass(frozen=True)
class Asked:
    """What came of one request.

    Attributes:
        status: Of HTTP.
        seconds: Until its answer.
        is_strange: It was flagged as unlike everything the model knows.
        cause: Why it was refused; empty if it was not.
    """

    status: int
    seconds: float
    is_strange: bool = False
    cause: str = ""


def ask(client: httpx.Client, data: bytes) -> Asked:
    """Send one picture."""
    began = time.monotonic()
    answer = client.post("/v1/predict", content=data, headers=_BYTES)
    seconds = time.monotonic() - began
    body: dict[str, Any] = answer.json()
    if not answer.is_success:
        return Asked(answer.status_code, seconds, cause=str(body.get("title", "")))
    strange = bool((body.get("novelty") or {}).get("out_of_distribution"))
    return Asked(answer.status_code, seconds, strange)
