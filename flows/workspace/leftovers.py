"""Processes of a `maskloop up` that was killed: each is noted when it starts, and ended by the next one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from contextlib import suppress
from typing import Any

import psutil

from maskloop.files import write_text
from maskloop.workspace import Workspace

_STOP_TIMEOUT_S = 20.0


def note_process(workspace: Workspace, process: subprocess.Popen[bytes]) -> None:
    """Note a process that leads its own process group, with the current process as its owner."""
    with suppress(psutil.Error):  # it has ended already
        note = {
            "host": socket.gethostname(),
            "workspace": str(workspace.root),
            "process": _identify(process.pid),
            "owner": _identify(os.getpid()),
        }
        kept = [one for one in _read_notes(workspace) if _is_alive(one["process"])]
        _write_notes(workspace, [*kept, note])


def end_leftovers(workspace: Workspace) -> int:
    """End the noted processes of this workspace, on this machine, whose owner has gone; returns how many.

    They are stopped with SIGTERM; their work survives that, as it survives a kill.
    """
    here = (socket.gethostname(), str(workspace.root))
    notes = [one for one in _read_notes(workspace) if (one["host"], one["workspace"]) == here]
    left = [one["process"] for one in notes if _is_alive(one["process"]) and not _is_alive(one["owner"])]
    for identity in reversed(left):
        _end_group(identity["pid"])
    _write_notes(workspace, [one for one in notes if _is_alive(one["process"])])
    return len(left)


def _end_group(pid: int) -> None:
    with suppress(psutil.Error):
        leader = psutil.Process(pid)
        group = [leader, *leader.children(recursive=True)]
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGTERM)
        for process in psutil.wait_procs(group, timeout=_STOP_TIMEOUT_S)[1]:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(group, timeout=_STOP_TIMEOUT_S)


def _identify(pid: int) -> dict[str, float]:
    return {"pid": pid, "created": psutil.Process(pid).create_time()}


def _is_alive(identity: dict[str, Any]) -> bool:
    try:
        process = psutil.Process(identity["pid"])
        is_same = abs(process.create_time() - identity["created"]) < 1.0
        return bool(is_same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _read_notes(workspace: Workspace) -> list[dict[str, Any]]:
    try:
        notes = json.loads((workspace.state_dir / "processes.json").read_text())
        return [one for one in notes if {"host", "workspace", "process", "owner"} <= one.keys()]
    except (OSError, ValueError, TypeError, AttributeError):
        return []


def _write_notes(workspace: Workspace, notes: list[dict[str, Any]]) -> None:
    file = workspace.state_dir / "processes.json"
    if notes:
        write_text(file, json.dumps(notes))
    else:
        file.unlink(missing_ok=True)
