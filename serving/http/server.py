"""The application on a socket: uvicorn, guarded connections, several workers, and an orderly end.

On SIGTERM the service first reports on /readyz that it is stopping, so that load balancers send no more
requests. Then it stops accepting, answers everything it accepted, and exits. With several workers, uvicorn's
supervisor restarts a dead one; workers exit if the supervisor is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import math
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import psutil
import uvicorn
import uvicorn._subprocess
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from maskloop.errors import ConfigurationError, UnavailableError
from maskloop.memory import keep_freed_memory
from maskloop.settings.workspace_settings import ServingSettings
from serving.access.keys import KeyStore
from serving.http.connections import GuardedProtocol
from serving.telemetry.log_lines import LineWriter
from serving.telemetry.metrics import share_figures

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope

Application = Callable[[], Any]
"""Makes the ASGI application. It is pickled for the workers: a function of a module, or a partial of one."""

_log = logging.getLogger("maskloop.serving")
_KEEP_ALIVE_S: Final = 30
_HUNG_AFTER_S: Final = 30
"""A worker that has not reacted for this long is killed and restarted."""
_LOOK_FOR_STARTER_S: Final = 5.0
_UNREAD_ANSWER_MS: Final = 30_000
_BACKLOG: Final = 512
_STOP_S: Final = 30.0
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of our own is made below it
_LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "sentence": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
        "as it is": {"format": "%(message)s"},
    },
    "handlers": {
        "errors": {"()": LineWriter, "formatter": "sentence", "stream": "ext://sys.stderr"},
        "requests": {"()": LineWriter, "formatter": "as it is", "stream": "ext://sys.stdout"},
    },
    "loggers": {
        "maskloop": {"handlers": ["errors"], "level": "INFO", "propagate": False},
        "maskloop.serving.requests": {"handlers": ["requests"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["errors"], "level": "WARNING", "propagate": False},
    },
}


def decide_on_keys(settings: ServingSettings, keys: KeyStore) -> bool:
    """Tell whether every request needs a key.

    Raises:
        ConfigurationError: if other machines could reach the service and there is no valid key.
    """
    if is_loopback(settings.host):
        return settings.require_keys
    if settings.platform:
        return True  # its own two routes need none, and all others are closed until there is one
    now = datetime.now(UTC)
    made = keys.all()
    if not any(key.is_valid_at(now) for key in made):
        lack = "every API key has expired" if made else "there is no API key yet"
        raise ConfigurationError(
            f"other machines could reach the service, and {lack}",
            where=settings.host,
            hint="make one with `maskloop keys add NAME`, or bind 127.0.0.1",
        )
    return True


def choose_trusted_hosts(settings: ServingSettings) -> Sequence[str]:
    """Return the Host headers to accept: against pages that let their name point at loopback."""
    if settings.trusted_hosts:
        return settings.trusted_hosts
    return _LOOPBACK_NAMES if is_loopback(settings.host) else ("*",)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "example.com")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def open_listener(host: str, port: int) -> socket.socket:
    """Listen on an address; port 0 takes any free one. Raises ConfigurationError if that cannot be done."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"the service cannot listen there: {error.strerror}",
            where=f"{host}:{port}",
            hint="stop what uses the port, or name another one (serving.port, --port; 0 takes any free one)",
        ) from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # connections inherit it: who reads no answer is let go
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_ANSWER_MS)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the URL under which this machine reaches what listens there."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run_server(
    application: Application,
    settings: ServingSettings,
    listener: socket.socket,
    *,
    preload: Sequence[str] = (),
) -> None:
    """Answer requests until SIGTERM or Ctrl-C.

    Args:
        application: Makes the ASGI application.
        settings: The [serving] section.
        listener: The socket to answer on.
        preload: Modules that are imported once, for all of several workers. They may start no thread.

    Raises:
        UnavailableError: if the application did not start; the log says why.
    """
    try:
        if settings.workers == 1:
            _run_alone(make_config(application, settings), listener)
        else:
            _fork_workers_after(preload)
            _run_workers(application, settings, listener)
    finally:
        _flush_log()


@contextlib.contextmanager
def running_in_thread(application: Application, settings: ServingSettings) -> Iterator[str]:
    """Answer requests on a free port of loopback while the body runs; gives the address. Logs nothing."""
    listener = open_listener("127.0.0.1", 0)
    server = uvicorn.Server(make_config(application, settings, logging_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="service")
    thread.start()
    try:
        yield address_of(listener)
    finally:
        server.should_exit = True
        thread.join(_STOP_S)
        listener.close()


class Supervisor(Multiprocess):
    """Starts dead workers again, at once.

    uvicorn's supervisor keeps the worker's end of the pipe open too. So if a worker dies during a health
    check, the supervisor notices only when that check times out.
    """

    def init_processes(self) -> None:
        """Start the workers."""
        super().init_processes()
        self._let_go()

    def keep_subprocess_alive(self) -> None:
        """Look after the workers."""
        super().keep_subprocess_alive()
        self._let_go()

    def _let_go(self) -> None:
        for process in self.processes:
            process.child_conn.close()


def make_config(
    application: Application, settings: ServingSettings, *, logging_config: dict[str, Any] | None = LOGGING
) -> uvicorn.Config:
    """Return how uvicorn shall run an application. Sets up logging, unless that is None."""
    protocol = partial(GuardedProtocol, max_connections=settings.max_connections)
    return uvicorn.Config(
        application,
        factory=True,
        lifespan="on",
        http=cast("type[asyncio.Protocol]", protocol),
        ws="none",
        workers=settings.workers,
        backlog=_BACKLOG,
        log_config=logging_config,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(settings.drain_s),
        timeout_worker_healthcheck=_HUNG_AFTER_S,
    )


@contextlib.contextmanager
def stop_noticed(announce: Callable[[], None], *, notice_s: float) -> Iterator[None]:
    """While the body runs inside uvicorn, SIGTERM calls ``announce`` first, and stops ``notice_s`` later."""
    stop = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(stop):
        yield
        return
    loop = asyncio.get_running_loop()

    def notice(number: int, _frame: Any) -> None:
        announce()
        loop.call_soon_threadsafe(loop.call_later, notice_s, stop, number, None)

    signal.signal(signal.SIGTERM, notice)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, stop)


@contextlib.contextmanager
def _folder_in_memory() -> Iterator[Path]:
    """Give an empty folder, removed afterwards; also those of services that were killed."""
    parent = _MEMORY if _MEMORY.is_dir() else Path(tempfile.gettempdir())
    for left in parent.glob("maskloop-*-*"):
        pid = left.name.split("-")[1]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"maskloop-{os.getpid()}-", dir=parent) as folder:
        yield Path(folder)


def _run_alone(config: uvicorn.Config, listener: socket.socket) -> None:
    # uvicorn raises the signal again when it is done; an orderly stop is not a failure
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    server = uvicorn.Server(config)
    keep_freed_memory()
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    except SystemExit as error:
        raise UnavailableError("the service did not start", hint="the lines above say why") from error
    finally:
        signal.signal(signal.SIGTERM, before)


def _run_workers(application: Application, settings: ServingSettings, listener: socket.socket) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // settings.workers)))
    with _folder_in_memory() as folder:
        share_figures(folder / "figures")
        config = make_config(partial(_start_worker, application), settings)
        supervisor = Supervisor(config, sockets=[listener])
        supervisor.run()
    listener.close()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        raise UnavailableError("a worker of the service did not start", hint="the lines above say why")


def _fork_workers_after(preload: Sequence[str]) -> None:
    """Let workers begin as copies of a process that has imported everything, instead of from nothing.

    They share the pages that none of them writes, and a worker that died is replaced after a second of CPU
    time instead of ten. uvicorn has no setting for how its workers start. Nothing happens where the system
    cannot fork.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        forking = multiprocessing.get_context("forkserver")
        forking.set_forkserver_preload([*preload])
        vars(uvicorn._subprocess)["spawn"] = forking


def _start_worker(application: Application) -> Any:
    """Make the application in a worker; one that cannot be made ends the service instead of coming again."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel, os.getppid()), daemon=True).start()
    keep_freed_memory()
    try:
        return _flushing_its_log(application())
    except Exception:  # noqa: BLE001 - whatever keeps the application from being made
        _log.exception("the service cannot start")
        sys.exit(STARTUP_FAILURE)


def _end_with(supervisor: int, starter_pid: int) -> None:
    """End with the supervisor, or with the process that this one is a copy of, and that reports its end."""
    while os.getppid() == starter_pid:
        if multiprocessing.connection.wait([supervisor], timeout=_LOOK_FOR_STARTER_S):
            break
    os.kill(os.getpid(), signal.SIGTERM)


def _flushing_its_log(app: ASGI3Application) -> ASGI3Application:
    """Return an application that ends when its log is written: uvicorn ends a worker by a signal."""

    async def flushing(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        async def flush_and_send(message: ASGISendEvent) -> None:
            if message["type"].startswith("lifespan.shutdown"):
                await asyncio.to_thread(_flush_log)
            await send(message)

        await app(scope, receive, flush_and_send if scope["type"] == "lifespan" else send)

    return flushing


def _flush_log() -> None:
    for name in LOGGING["loggers"]:
        for handler in logging.getLogger(name).handlers:
            handler.flush()
