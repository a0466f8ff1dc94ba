"""The embedded servers: free ports, notes about who runs, and processes that end with their children."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from flows.scheduling.foreground import check_answers, find_prefect_url, run_story
from flows.workspace import servers
from flows.workspace.servers import (
    HOST,
    find_free_port,
    prefect_environment,
    running_server_url,
    servers_running,
    service_running,
    start_process,
    stop_process,
)
from flows.workspace.wiring import open_app
from maskloop.errors import ConfigurationError, UnavailableError
from maskloop.workspace import Workspace
from tests.fakes.loop_world import World

ANSWERS_HEALTH = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
HAS_A_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE%s)
with open(sys.argv[1], "w") as pipe:
    pipe.write(str(child.pid))
child.wait()
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return World(tmp_path, settings="[servers]\nmlflow_port = 0\nprefect_port = 0\n").workspace


def note(workspace: Workspace, **notes: object) -> None:
    workspace.state_dir.mkdir(exist_ok=True)
    (workspace.state_dir / "servers.json").write_text(json.dumps(notes))


# --- ports ---------------------------------------------------------------------------------------


def test_a_free_port_can_be_listened_on() -> None:
    port = find_free_port()
    with socket.socket() as listener:
        listener.bind((HOST, port))
        assert listener.getsockname() == (HOST, port)


def test_a_port_in_use_is_reported_before_anything_is_started(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        port = listener.getsockname()[1]
        workspace = World(tmp_path, settings=f"[servers]\nmlflow_port = {port}\n").workspace
        with (
            pytest.raises(ConfigurationError, match=f"port {port} is in use") as refused,
            servers_running(workspace, names=("mlflow",)),
        ):
            pass
    assert "servers.mlflow_port" in refused.value.hint
    assert not (workspace.state_dir / "logs").exists()


# --- who runs ------------------------------------------------------------------------------------


def test_a_noted_server_is_found_while_its_process_lives(workspace: Workspace) -> None:
    here = psutil.Process()
    note(workspace, mlflow={"url": "http://x", "pid": here.pid, "created": here.create_time()})
    assert running_server_url(workspace, "mlflow") == "http://x"
    assert running_server_url(workspace, "prefect") == ""


def test_a_note_whose_process_id_another_process_has_now_is_stale(workspace: Workspace) -> None:
    here = psutil.Process()
    note(workspace, mlflow={"url": "http://x", "pid": here.pid, "created": here.create_time() - 100.0})
    assert running_server_url(workspace, "mlflow") == ""


def test_a_server_noted_in_the_workspace_that_this_one_is_a_copy_of_is_not_ours(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(one: Workspace, name: str) -> servers.Server:
        command = [sys.executable, "-c", ANSWERS_HEALTH, str(port := find_free_port())]
        process = start_process(command, one.state_dir / "x.log", os.environ, one.root)
        return servers.Server(name, f"http://{HOST}:{port}", process)

    monkeypatch.setattr(servers, "_start_server", start)
    copy = Workspace(tmp_path / "copy")
    with servers_running(workspace, names=("mlflow",)) as urls:
        shutil.copytree(workspace.state_dir, copy.state_dir)
        assert running_server_url(workspace, "mlflow") == urls["mlflow"]
        assert running_server_url(copy, "mlflow") == ""


@pytest.mark.parametrize("text", ["", "{", "[]", '{"mlflow": {}}', '{"mlflow": null}'])
def test_a_damaged_note_counts_as_no_server(workspace: Workspace, text: str) -> None:
    workspace.state_dir.mkdir()
    (workspace.state_dir / "servers.json").write_text(text)
    assert running_server_url(workspace, "mlflow") == ""


def test_servers_that_are_named_are_used_and_left_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example/api")
    with servers_running(workspace) as urls:
        assert urls == {"prefect": "http://prefect.example/api", "mlflow": "http://mlflow.example"}
        assert running_server_url(workspace, "mlflow") == "", "not ours to note"


def test_a_server_is_started_noted_and_gone_afterwards(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in takes MLflow's place, through the same start, wait, note and stop."""

    def start(one: Workspace, name: str) -> servers.Server:
        port = find_free_port()
        command = [sys.executable, "-c", ANSWERS_HEALTH, str(port)]
        process = start_process(command, one.state_dir / "logs" / "x.log", os.environ, one.root)
        return servers.Server(name, f"http://{HOST}:{port}", process)

    monkeypatch.setattr(servers, "_start_server", start)
    with servers_running(workspace, names=("mlflow",)) as urls:
        assert running_server_url(workspace, "mlflow") == urls["mlflow"]
        check_answers(f"{urls['mlflow']}/health", "MLflow")
        app = open_app(workspace.root)
        assert app.tracking_uri == urls["mlflow"]
        pid = json.loads((workspace.state_dir / "servers.json").read_text())["mlflow"]["pid"]
    assert not psutil.pid_exists(pid)
    assert running_server_url(workspace, "mlflow") == ""
    assert app.tracking_uri.startswith("sqlite:///")


def test_a_server_that_ends_while_starting_is_reported_with_its_log(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(one: Workspace, name: str) -> servers.Server:
        log = one.state_dir / "logs" / f"{name}.log"
        process = start_process([sys.executable, "-c", "raise SystemExit(3)"], log, os.environ, one.root)
        return servers.Server(name, f"http://{HOST}:{find_free_port()}", process)

    monkeypatch.setattr(servers, "_start_server", start)
    with (
        pytest.raises(UnavailableError, match=r"mlflow stopped while starting \(.*mlflow.log"),
        servers_running(workspace, names=("mlflow",)),
    ):
        pass


@pytest.mark.server
def test_the_service_runs_beside_the_others_and_is_noted(tmp_path: Path) -> None:
    workspace = World(tmp_path, settings="[serving]\nport = 0\nstop_notice_s = 0\n").workspace
    note(workspace, mlflow={"url": "http://x", "pid": 1, "created": 0})
    with service_running(workspace) as url:
        assert running_server_url(workspace, "service") == url
        check_answers(f"{url}/healthz", "the service")
        check_answers(f"{url}/docs", "the service")
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{url}/readyz", timeout=10)
        assert "mlflow" in json.loads((workspace.state_dir / "servers.json").read_text())
    assert running_server_url(workspace, "service") == ""
    assert "nothing was promoted yet" in (workspace.state_dir / "logs" / "service.log").read_text()


def test_a_service_that_strangers_could_ask_without_a_key_does_not_start(tmp_path: Path) -> None:
    workspace = World(tmp_path, settings='[serving]\nhost = "0.0.0.0"\nport = 0\n').workspace
    with pytest.raises(UnavailableError, match="service stopped while starting"), service_running(workspace):
        pass
    log = (workspace.state_dir / "logs" / "service.log").read_text()
    assert "other machines could reach the service, and there is no API key yet (0.0.0.0)" in log
    assert "maskloop keys add" in log
    assert "Traceback" not in log


# --- processes -----------------------------------------------------------------------------------


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    yield path
    path.unlink()


@pytest.mark.parametrize("apart", ["", ", start_new_session=True"])
def test_stopping_a_process_ends_its_children_too(tmp_path: Path, pipe: Path, apart: str) -> None:
    """Also a child that has left the process group, as a worker's flow run has."""
    command = [sys.executable, "-c", HAS_A_CHILD % apart, str(pipe)]
    process = start_process(command, tmp_path / "log", os.environ, tmp_path)
    child = psutil.Process(int(pipe.read_text()))  # waits until the child is there
    stop_process(process)
    assert process.poll() is not None
    assert has_ended(child)


def has_ended(process: psutil.Process) -> bool:
    """Tell whether a process is gone, or dead and only not yet cleared away by its parent."""
    psutil.wait_procs([process], timeout=10)
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return True


def test_a_process_that_has_ended_by_itself_can_be_stopped(tmp_path: Path) -> None:
    process = start_process([sys.executable, "-c", ""], tmp_path / "log", os.environ, tmp_path)
    process.wait()
    stop_process(process)
    assert process.returncode == 0


def test_the_output_of_a_process_is_appended_to_its_log(tmp_path: Path) -> None:
    for word in ("one", "two"):
        command = [sys.executable, "-c", f"print('{word}')"]
        start_process(command, tmp_path / "logs" / "x.log", os.environ, tmp_path).wait()
    assert (tmp_path / "logs" / "x.log").read_text() == "one\ntwo\n"


# --- which server a story runs on ----------------------------------------------------------------


def test_prefect_belongs_to_the_workspace(workspace: Workspace) -> None:
    environment = prefect_environment(workspace, "http://x/api")
    assert environment["PREFECT_API_URL"] == "http://x/api"
    assert environment["PREFECT_HOME"] == str(workspace.prefect_dir)
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_without_a_server_a_story_runs_plainly(workspace: Workspace) -> None:
    app = open_app(workspace.root)
    assert find_prefect_url(app.workspace) == ""
    assert run_story(app, "story", lambda given, word: (given is app, word), word="hello") == (True, "hello")


def test_the_environment_names_the_server_before_the_settings_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = World(tmp_path, settings='[servers]\nprefect_api_url = "http://a/api"\n').workspace.root
    assert find_prefect_url(open_app(root).workspace) == "http://a/api"
    monkeypatch.setenv("PREFECT_API_URL", "http://b/api")
    assert find_prefect_url(open_app(root).workspace) == "http://b/api"
