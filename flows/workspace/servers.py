"""What `maskloop up` runs: Prefect, MLflow and a worker on 127.0.0.1 only; the service where settings say."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from flows.workspace.leftovers import note_process
from maskloop.errors import ConfigurationError, UnavailableError
from maskloop.files import write_text
from maskloop.workspace import Workspace

HOST = "127.0.0.1"
WORK_POOL = "maskloop"
SECONDS_BETWEEN_LOOKS = 15.0
"""An approval or new labels wait at most this long for the look that acts on them."""
_STOP_TIMEOUT_S = 20.0
_ONLY_A_REGISTRY = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""Without it MLflow runs seven more processes that execute jobs we never ask for, 2 GB in all."""

_FOR_ONE_WORKSPACE = {
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS": "60",
    "PREFECT_SERVER_SERVICES_CLEANUP_RECONCILER_LOOP_SECONDS": "60",
    "PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS": "60",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "60",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_LOOP_SECONDS": "60",
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "60",
    "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "60",
}
"""Prefect's housekeeping is timed for thousands of runs, every 5 to 20 s; a minute is often enough here."""


@dataclass(frozen=True)
class Server:
    """One running process of ours."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    health: str = "/health"
    """Below the URL; answers 200 once the server does."""


def running_server_url(workspace: Workspace, name: str) -> str:
    """Return the URL of a server that `maskloop up` keeps running for this workspace, or an empty string."""
    try:
        noted = _read_notes(workspace)[name]
        process = psutil.Process(noted["pid"])
        is_copied = noted.get("workspace", str(workspace.root)) != str(workspace.root)
        is_alive = abs(process.create_time() - noted["created"]) < 1.0
        return str(noted["url"]) if is_alive and not is_copied else ""
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return ""


@contextmanager
def servers_running(
    workspace: Workspace, *, names: Sequence[str] = ("prefect", "mlflow"), timeout_s: float = 180.0
) -> Iterator[Mapping[str, str]]:
    """Start the named servers, wait until all answer, give their URLs, and stop them afterwards.

    A server named by the settings or the environment is used instead, and never started or stopped.

    Raises:
        ConfigurationError: if a port is in use, or this workspace's own servers run already.
        UnavailableError: if a server does not answer in time; its log is named.
    """
    for name in names:
        if url := running_server_url(workspace, name):
            raise ConfigurationError(
                f"the {name} of this workspace runs already at {url}",
                where=str(_notes_file(workspace)),
                hint="use it, or end that `maskloop up` with Ctrl-C or SIGTERM",
            )
    urls = {name: url for name in names if (url := _external_url(workspace, name))}
    started: list[Server] = []
    try:
        for name in names:
            if name not in urls:
                started.append(_start_server(workspace, name))
                urls[name] = started[-1].url
        for server in started:
            _wait_until_healthy(server, _log_file(workspace, server.name), timeout_s)
        _note_servers(workspace, started)
        yield urls
    finally:
        _notes_file(workspace).unlink(missing_ok=True)
        for server in reversed(started):
            stop_process(server.process)


@contextmanager
def worker_running(workspace: Workspace, prefect_url: str) -> Iterator[None]:
    """Deploy the workspace's `prefect.yaml` and keep a worker running for the body."""
    environment = prefect_environment(workspace, prefect_url)
    _run_prefect(workspace, environment, "work-pool", "create", WORK_POOL, "--type", "process", "--overwrite")
    _drop_schedules(workspace, environment)
    _run_prefect(workspace, environment, "--no-prompt", "deploy", "--all")
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", WORK_POOL]
    worker = _start(workspace, "worker", command, environment)
    try:
        yield
    finally:
        stop_process(worker)


@contextmanager
def reconciler_running(workspace: Workspace) -> Iterator[Callable[[], None]]:
    """Keep `maskloop reconcile --every` running for the body; what it gives starts it again if it ended."""
    command = [sys.executable, "-P", "-m", "flows.cli", "reconcile", "--workspace", str(workspace.root)]
    command += ["--every", f"{SECONDS_BETWEEN_LOOKS:g}"]

    def start() -> subprocess.Popen[bytes]:
        return _start(workspace, "reconcile", command, os.environ)

    process, started_at_s = start(), time.monotonic()

    def keep_alive() -> None:
        nonlocal process, started_at_s
        is_due = time.monotonic() - started_at_s >= SECONDS_BETWEEN_LOOKS
        if is_due and process.poll() is not None:
            process, started_at_s = start(), time.monotonic()

    try:
        yield keep_alive
    finally:
        stop_process(process)


@contextmanager
def service_running(workspace: Workspace, *, timeout_s: float = 180.0) -> Iterator[str]:
    """Run `maskloop serve` as a separate process for the body, and give its URL.

    Raises:
        ConfigurationError: if its port is in use.
        UnavailableError: if it does not answer in time; its log is named.
    """
    serving = workspace.settings.serving
    host = HOST if serving.host in ("0.0.0.0", "::", "localhost") else serving.host  # noqa: S104
    port = serving.port or find_free_port()
    _check_port(port, "service", setting="serving.port")
    command = [sys.executable, "-P", "-m", "flows.cli", "serve", "--workspace", str(workspace.root)]
    log = _log_file(workspace, "service")
    process = _start(workspace, "service", [*command, "--port", str(port)], os.environ)
    server = Server("service", f"http://{host}:{port}", process, health="/healthz")
    try:
        _wait_until_healthy(server, log, timeout_s)
        _note_servers(workspace, [server])
        yield server.url
    finally:
        stop_process(process)


def prefect_environment(workspace: Workspace, prefect_url: str) -> dict[str, str]:
    """Return the environment in which Prefect's client, server and worker belong to this workspace."""
    return {
        **os.environ,
        "PREFECT_HOME": str(workspace.prefect_dir),
        "PREFECT_API_URL": prefect_url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def start_process(
    command: Sequence[str], log: Path, environment: Mapping[str, str], directory: Path
) -> subprocess.Popen[bytes]:
    """Start a process in its own process group, with its output in a log file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=dict(environment),
            cwd=directory,
            start_new_session=True,
        )


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """End a process we started and its children: politely first."""
    children = _descendants(process.pid)
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):  # the group outlives its first process
            os.killpg(process.pid, sign)
        try:
            process.wait(_STOP_TIMEOUT_S)
            break
        except subprocess.TimeoutExpired:
            continue
    for child in psutil.wait_procs(children, timeout=3)[1]:
        child.kill()


def _start(
    workspace: Workspace, name: str, command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a process of `maskloop up`, noted so that the next one ends it if this one is killed."""
    process = start_process(command, _log_file(workspace, name), environment, workspace.root)
    note_process(workspace, process)
    return process


def find_free_port() -> int:
    """Return a TCP port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _start_server(workspace: Workspace, name: str) -> Server:
    servers = workspace.settings.servers
    port = servers.prefect_port if name == "prefect" else servers.mlflow_port
    port = port or find_free_port()
    _check_port(port, name, setting=f"servers.{name}_port")
    if name == "prefect":
        address = f"http://{HOST}:{port}/api"
        environment = {
            **_FOR_ONE_WORKSPACE,
            **prefect_environment(workspace, address),
            "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port}",
        }
        command = ["-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    else:
        address = f"http://{HOST}:{port}"
        environment = {**os.environ, **_ONLY_A_REGISTRY}
        command = ["-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{workspace.mlflow_dir / 'mlflow.db'}"]
        command += ["--default-artifact-root", str(workspace.mlflow_dir / "artifacts")]
    workspace.mlflow_dir.mkdir(parents=True, exist_ok=True)
    workspace.prefect_dir.mkdir(parents=True, exist_ok=True)
    return Server(name, address, _start(workspace, name, [sys.executable, *command], environment))


def _external_url(workspace: Workspace, name: str) -> str:
    servers = workspace.settings.servers
    if name == "prefect":
        return os.environ.get("PREFECT_API_URL") or servers.prefect_api_url
    return os.environ.get("MLFLOW_TRACKING_URI") or servers.mlflow_tracking_uri


def _check_port(port: int, name: str, *, setting: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} is in use, so {name} cannot start",
                where="maskloop.toml",
                hint=f"stop what uses it, or set {setting} (0 takes any free one)",
            ) from error


def _wait_until_healthy(server: Server, log: Path, timeout_s: float) -> None:
    health = f"{server.url}{server.health}"
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise UnavailableError(f"{server.name} stopped while starting", where=str(log))
        try:
            with urllib.request.urlopen(health, timeout=2):  # noqa: S310 - our own http URL on loopback
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise UnavailableError(f"{server.name} did not answer within {timeout_s:.0f} s", where=str(log))


def _drop_schedules(workspace: Workspace, environment: Mapping[str, str]) -> None:
    """Drop the schedules of an earlier `prefect.yaml`, which deploying the present one would leave active."""
    code = "import sys; from flows.deployments import drop_schedules; drop_schedules(sys.argv[1])"
    arguments = ["-P", "-c", code, str(workspace.root)]
    _run_python(workspace, environment, arguments, "the schedules in Prefect could not be renewed")


def _run_prefect(workspace: Workspace, environment: Mapping[str, str], *arguments: str) -> None:
    said = f"prefect {arguments[0]} {arguments[1]} failed"
    _run_python(workspace, environment, ["-m", "prefect", *arguments], said)


def _run_python(
    workspace: Workspace, environment: Mapping[str, str], arguments: Sequence[str], said_on_failure: str
) -> None:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=workspace.root,
        env={**environment, "PWD": str(workspace.root)},  # prefect.yaml names its folder so
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise UnavailableError(f"{said_on_failure}: {' '.join(reason)}", where=str(workspace.root))


def _note_servers(workspace: Workspace, servers: Sequence[Server]) -> None:
    notes = _read_notes(workspace)
    for server in servers:
        created = psutil.Process(server.process.pid).create_time()
        note = {"url": server.url, "pid": server.process.pid, "created": created}
        notes[server.name] = {**note, "workspace": str(workspace.root)}
    write_text(_notes_file(workspace), json.dumps(notes))


def _read_notes(workspace: Workspace) -> dict[str, Any]:
    try:
        notes = json.loads(_notes_file(workspace).read_text())
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
        return found
    except psutil.Error:
        return []


def _notes_file(workspace: Workspace) -> Path:
    return workspace.state_dir / "servers.json"


def _log_file(workspace: Workspace, name: str) -> Path:
    return workspace.state_dir / "logs" / f"{name}.log"
