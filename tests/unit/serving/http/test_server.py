"""The service as a process: who may reach it, an end that loses nothing, workers that come back."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import httpx
import numpy as np
import psutil
import pytest
from uvicorn.config import STARTUP_FAILURE

from flows.workspace.wiring import REPOSITORY
from maskloop.errors import ConfigurationError, UnavailableError
from maskloop.settings.workspace_settings import ServingSettings
from serving.access.keys import KeyStore
from serving.client import Client
from serving.http import server
from serving.http.server import address_of, choose_trusted_hosts, decide_on_keys, open_listener
from tests.fakes.key_book import FakeKeyBook
from tests.fakes.ledger import FakeClock
from tests.fakes.served import WAITING
from tests.fakes.service_world import PNG, write_picture
from tests.unit.serving.http.test_connections import wait_until

SLOW = write_picture(pixels=np.full((16, 24, 3), WAITING, np.uint8))


# --- who may reach it --------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.com"])
def test_a_service_without_keys_is_reachable_from_loopback_alone(tmp_path: Path, host: str) -> None:
    keys = KeyStore(FakeKeyBook())
    settings = ServingSettings(host=host)
    with pytest.raises(ConfigurationError, match="there is no API key yet") as refused:
        decide_on_keys(settings, keys)
    assert "maskloop keys add" in refused.value.hint
    keys.add("anna")
    assert decide_on_keys(settings, keys)


def test_a_key_that_has_expired_is_none(tmp_path: Path) -> None:
    keys = KeyStore(FakeKeyBook(), clock=FakeClock())
    keys.add("anna", valid_days=1.0)
    with pytest.raises(ConfigurationError):
        decide_on_keys(ServingSettings(host="0.0.0.0"), keys)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_loopback_keys_are_asked_for_only_if_settings_say_so(tmp_path: Path, host: str) -> None:
    keys = KeyStore(FakeKeyBook())
    assert not decide_on_keys(ServingSettings(host=host), keys)
    assert decide_on_keys(ServingSettings(host=host, require_keys=True), keys)


def test_on_loopback_only_its_names_are_trusted_unless_others_are_named() -> None:
    assert "localhost" in choose_trusted_hosts(ServingSettings())
    assert "*" not in choose_trusted_hosts(ServingSettings())
    assert choose_trusted_hosts(ServingSettings(host="0.0.0.0")) == ("*",)
    assert choose_trusted_hosts(ServingSettings(trusted_hosts=("a.example",))) == ("a.example",)


def test_a_port_in_use_and_an_unknown_host_are_reported() -> None:
    listener = open_listener("127.0.0.1", 0)
    with listener, pytest.raises(ConfigurationError, match=r"cannot listen there: .*in use"):
        open_listener("127.0.0.1", listener.getsockname()[1])
    with pytest.raises(ConfigurationError, match=r"cannot listen there.*203.0.113.1"):
        open_listener("203.0.113.1", 0)


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1")])
def test_the_address_is_one_that_can_be_opened(host: str, shown: str) -> None:
    with open_listener(host, 0) as listener:
        assert address_of(listener) == f"http://{shown}:{listener.getsockname()[1]}"


def test_sigterm_is_announced_before_anything_stops() -> None:
    happened: list[str] = []
    is_stopped = asyncio.Event()

    def stop(_number: int, _frame: Any) -> None:
        happened.append("stopped")
        is_stopped.set()

    async def story() -> None:
        with server.stop_noticed(lambda: happened.append("announced"), notice_s=0.05):
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0)
            assert happened == ["announced"]
            await is_stopped.wait()
        assert signal.getsignal(signal.SIGTERM) is stop

    before = signal.signal(signal.SIGTERM, stop)
    try:
        asyncio.run(story())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert happened == ["announced", "stopped"]


# --- a process of its own ----------------------------------------------------------------------------


@contextmanager
def served(
    directory: Path, *, stdout: IO[str] | None = None, **settings: Any
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start a service over fakes, wait until it is ready, give process and URL; gone afterwards.

    Its request log goes to ``stdout``, or else to the file ``output``.
    """
    command = [sys.executable, "-m", "tests.fakes.served", str(directory), "0", json.dumps(settings)]
    with (directory / "output").open("w") as output, (directory / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=stdout or output, stderr=log, cwd=REPOSITORY, start_new_session=True
        )
    said = directory / "url"
    try:
        wait_until(lambda: said.exists() and said.read_text().endswith("\n"))
        url = said.read_text().strip()
        wait_until(lambda: is_ready(url))
        yield process, url
    finally:
        for one in descendants(process.pid):
            one.kill()
        process.kill()
        process.wait()


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def descendants(pid: int) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return found


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the copies of the process that has imported everything."""
    return [
        one for child in psutil.Process(process.pid).children() if forks(child) for one in child.children()
    ]


def forks(process: psutil.Process) -> bool:
    with suppress(psutil.Error):  # it may be dead, and not yet cleared away
        return "multiprocessing.forkserver" in " ".join(process.cmdline())
    return False


def is_refused(url: str) -> bool:
    try:
        httpx.get(f"{url}/healthz")
    except httpx.ConnectError:
        return True
    except httpx.TransportError:  # taken in just before the end, and closed before it asked
        return False
    return False


@pytest.mark.server
def test_on_sigterm_nothing_more_is_accepted_and_what_was_is_answered(tmp_path: Path) -> None:
    answers: list[httpx.Response] = []
    with served(tmp_path, stop_notice_s=0.1) as (process, url):
        asking = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{url}/v1/predict", content=SLOW, timeout=60))
        )
        asking.start()
        wait_until((tmp_path / "arrived").exists)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: is_refused(url))
        (tmp_path / "go").touch()
        asking.join(60)
        assert process.wait(60) == 0
    assert answers[0].status_code == 200
    assert answers[0].headers["connection"] == "close"


@pytest.mark.server
def test_workers_end_with_the_process_that_they_are_copies_of_and_others_take_their_places(
    tmp_path: Path,
) -> None:
    with served(tmp_path, workers=2, stop_notice_s=0) as (process, url):
        before = workers_of(process)
        os.kill(before[0].ppid(), signal.SIGKILL)
        assert psutil.wait_procs(before, timeout=60)[1] == []
        wait_until(lambda: len(workers_of(process)) == 2)
        wait_until(lambda: is_ready(url))


@pytest.mark.server
def test_a_killed_worker_costs_waiting_only_and_comes_back_a_killed_supervisor_takes_all_along(
    tmp_path: Path,
) -> None:
    failures: list[BaseException] = []
    counted = [0] * 4
    is_over = threading.Event()

    def ask(number: int, url: str) -> None:
        with Client(url, timeout_s=30) as client:
            while not is_over.is_set():
                try:
                    request_id = f"r{number}.{counted[number]}"
                    assert client.predict(PNG, request_id=request_id).request_id == request_id
                except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
                    failures.append(error)
                    return
                counted[number] += 1

    with served(tmp_path, workers=2, stop_notice_s=0) as (process, url):
        before = workers_of(process)
        assert len(before) == 2
        asking = [threading.Thread(target=ask, args=(number, url)) for number in range(4)]
        for thread in asking:
            thread.start()
        wait_until(lambda: min(counted) > 3)
        busy = next(worker for worker in before if worker.children())  # it has decoded something
        os.kill(busy.pid, signal.SIGKILL)
        after_kill = list(counted)
        wait_until(lambda: all(now > then + 3 for now, then in zip(counted, after_kill, strict=True)))
        wait_until(lambda: len([one for one in workers_of(process) if one not in before]) == 1)
        is_over.set()
        for thread in asking:
            thread.join(60)
        assert failures == []
        children = descendants(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        assert psutil.wait_procs(children, timeout=30)[1] == []


@pytest.mark.server
def test_requests_are_answered_while_nobody_reads_the_log_whose_lines_come_later(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)  # holds some 25 lines
    asked = [f"r{number}" for number in range(100)]
    with (
        os.fdopen(reading) as log,
        os.fdopen(writing) as stdout,
        served(tmp_path, stdout=stdout, workers=2, stop_notice_s=0) as (process, url),
    ):
        stdout.close()
        for request_id in asked:
            with Client(url, timeout_s=30) as client:
                assert client.predict(PNG, request_id=request_id).request_id == request_id
        process.send_signal(signal.SIGTERM)
        lines = [json.loads(line) for line in log]
        assert process.wait(60) == 0
    assert sorted(line["request_id"] for line in lines) == sorted(asked)


def test_a_worker_that_cannot_start_ends_the_service_instead_of_coming_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def application() -> None:
        raise ConfigurationError("the rate limit cannot be read")

    with pytest.raises(SystemExit) as ended:
        server._start_worker(application)
    assert ended.value.code == STARTUP_FAILURE
    assert "the rate limit cannot be read" in caplog.text

    class Supervisor:
        processes = (SimpleNamespace(exitcode=-9), SimpleNamespace(exitcode=STARTUP_FAILURE))

        def __init__(self, *_arguments: Any, **_options: Any) -> None:
            pass

        def run(self) -> None:
            pass

    monkeypatch.setattr(server, "Supervisor", Supervisor)
    monkeypatch.setattr(server, "make_config", lambda *_: None)
    monkeypatch.setattr(server, "share_figures", lambda _folder: None)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with open_listener("127.0.0.1", 0) as listener, pytest.raises(UnavailableError, match="did not start"):
        server.run_server(application, ServingSettings(workers=2), listener)


def test_what_a_killed_service_left_in_memory_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_MEMORY", tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    kept = [f"maskloop-{os.getpid()}-a", "maskloop-a-b", "others"]
    for name in (f"maskloop-{dead.pid}-a", *kept):
        (tmp_path / name).mkdir()
    with server._folder_in_memory() as folder:
        assert folder.parent == tmp_path
        assert {one.name for one in tmp_path.iterdir()} == {*kept, folder.name}
    assert {one.name for one in tmp_path.iterdir()} == set(kept)


def test_the_listener_drops_a_client_that_reads_no_answer() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        with client, accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
