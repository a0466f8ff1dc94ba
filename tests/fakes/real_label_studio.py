"""A real Label Studio server on a free loopback port, from an environment of its own (`make test-studio`)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from tests.fakes.label_studio_server import LEGACY_TOKEN, PEOPLE
from tests.label_tools.environments import LABEL_STUDIO

EXECUTABLE: Final = Path(os.environ.get("LABEL_STUDIO", LABEL_STUDIO.python.parent / "label-studio"))
_START_S: Final = 300.0
_QUIET: Final = {
    "COLLECT_ANALYTICS": "false",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
}


@dataclass(frozen=True)
class RealServer:
    """A server that runs.

    Attributes:
        url: Its address.
        served: The folder from which it serves local files (`LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`).
    """

    url: str
    served: Path


@contextmanager
def real_label_studio(folder: Path) -> Iterator[RealServer]:
    """Run a server; it takes one or two minutes to start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, served = f"http://127.0.0.1:{port}", folder / "served"
    served.mkdir()
    serving = {
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(served),
    }
    command = [
        *(str(EXECUTABLE), "start", "--no-browser", "--data-dir", str(folder / "data"), "--host", address),
        *("--internal-host", "127.0.0.1"),  # its own default listens on every address
        *("-p", str(port), "--username", "a@example.org", "--password", "a-test-1"),
        *("--enable-legacy-api-token", "--user-token", LEGACY_TOKEN),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **_QUIET, **serving, "HOME": str(folder)},
            stdout=log,
            stderr=log,
            start_new_session=True,  # it has a child, which is to end with it
        )
    try:
        _wait(address, process, folder / "log")
        second = {"email": PEOPLE[2], "username": "b", "first_name": "b", "last_name": "b"}
        headers = {"Authorization": f"Token {LEGACY_TOKEN}"}
        httpx.post(f"{address}/api/users/", headers=headers, json=second).raise_for_status()
        yield RealServer(address, served)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{url}/health", timeout=5).is_success:
                return
        except httpx.HTTPError:
            time.sleep(1.0)
    raise RuntimeError(f"Label Studio did not start:\n{log.read_text(errors='replace')[-3000:]}")
