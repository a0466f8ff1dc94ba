"""What a killed `maskloop up` leaves running is ended by the next one, and nothing else is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from flows.workspace.leftovers import end_leftovers, note_process
from flows.workspace.servers import start_process, stop_process
from maskloop.workspace import Workspace

OWNER = """
import sys
from pathlib import Path
from flows.workspace.leftovers import note_process
from flows.workspace.servers import start_process
from maskloop.workspace import Workspace
root = Path(sys.argv[1])
command = [sys.executable, "-c", "import signal; signal.pause()"]
process = start_process(command, root / "log", {}, root)
note_process(Workspace(root), process)
print(process.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "maskloop.toml").write_text("")
    found = Workspace(tmp_path)
    found.state_dir.mkdir(parents=True, exist_ok=True)
    return found


def start_owner(workspace: Workspace) -> tuple[subprocess.Popen[str], psutil.Process]:
    """Start a process that starts and notes another, as `maskloop up` does."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(workspace.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    return owner, psutil.Process(int(owner.stdout.readline()))


def close(owner: subprocess.Popen[str]) -> None:
    for stream in (owner.stdin, owner.stdout):
        assert stream is not None
        stream.close()
    owner.wait(20)


def test_processes_of_a_killed_owner_are_ended_once(workspace: Workspace) -> None:
    owner, left = start_owner(workspace)
    assert end_leftovers(workspace) == 0, "its owner is alive"
    assert left.is_running()
    owner.kill()
    close(owner)
    assert end_leftovers(workspace) == 1
    assert not left.is_running()
    assert end_leftovers(workspace) == 0
    assert not (workspace.state_dir / "processes.json").exists()


@pytest.mark.parametrize(
    ("field", "value"), [("host", "another-host"), ("workspace", "/where/it/was/copied/from")]
)
def test_processes_of_another_machine_or_workspace_are_left_alone(
    workspace: Workspace, field: str, value: str
) -> None:
    owner, left = start_owner(workspace)
    owner.kill()
    close(owner)
    file = workspace.state_dir / "processes.json"
    (note,) = json.loads(file.read_text())
    file.write_text(json.dumps([{**note, field: value}]))
    assert end_leftovers(workspace) == 0
    assert left.is_running()
    left.kill()
    left.wait(20)


def test_a_process_id_that_another_process_has_now_is_left_alone(workspace: Workspace) -> None:
    owner, left = start_owner(workspace)
    owner.kill()
    close(owner)
    file = workspace.state_dir / "processes.json"
    (note,) = json.loads(file.read_text())
    note["process"]["created"] -= 3600
    file.write_text(json.dumps([note]))
    assert end_leftovers(workspace) == 0
    assert left.is_running()
    left.kill()
    left.wait(20)


@pytest.mark.parametrize("text", ["", "[", "{}", '[{"pid": 1}]', "[1]"])
def test_a_damaged_note_names_no_process(workspace: Workspace, text: str) -> None:
    (workspace.state_dir / "processes.json").write_text(text)
    assert end_leftovers(workspace) == 0


def test_a_process_that_ended_by_itself_is_not_noted_any_more(workspace: Workspace) -> None:
    def start(code: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", code]
        return start_process(command, workspace.root / "log", os.environ, workspace.root)

    file = workspace.state_dir / "processes.json"
    ended = start("")
    ended.wait(20)
    note_process(workspace, ended)
    assert not file.exists()
    first, second = start("import signal; signal.pause()"), start("import signal; signal.pause()")
    note_process(workspace, first)
    stop_process(first)
    note_process(workspace, second)
    (note,) = json.loads(file.read_text())
    assert note["process"]["pid"] == second.pid
    stop_process(second)
