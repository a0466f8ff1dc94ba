"""The training or judging under way and its progress. Reading it never disturbs the work."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from maskloop.errors import BusyError
from maskloop.ledger.port import LeaseHolder, Ledger
from maskloop.state.loop_state import LoopState
from maskloop.workspace import Workspace

WORK_LEASE: Final = "cycle work"
_NOTE_FILE: Final = "progress.json"
_SECONDS_BETWEEN_NOTES: Final = 1.0

Work = Literal["training", "judging"]


@dataclass(frozen=True)
class Running:
    """The work under way.

    Attributes:
        cycle_id: Whose work it is.
        work: Training or judging; empty until the first step tells.
        done: Steps (of a training) or pictures (of the judging) done so far.
        total: Of how many; 0 if not known, as on another machine.
        seconds_left: At the speed so far; None if not known.
        host: The machine.
        pid: The process on it.
    """

    cycle_id: str
    work: Work | Literal[""]
    done: int
    total: int
    seconds_left: float | None
    host: str
    pid: int

    def sentence(self) -> str:
        """Say it in plain words.

        >>> Running("cycle-1", "training", 120, 400, 340.0, socket.gethostname(), 17).sentence()
        'cycle-1: training, step 120 of 400, about 6 min left (process 17)'
        """
        where = f"process {self.pid}" + (f" on {self.host}" if self.host != socket.gethostname() else "")
        unit = "picture" if self.work == "judging" else "step"
        parts: list[str] = [self.work or "at work"]
        parts += [f"{unit} {self.done} of {self.total}"] if self.total else []
        parts += [f"about {_duration(self.seconds_left)} left"] if self.seconds_left is not None else []
        return f"{self.cycle_id}: {', '.join(parts)} ({where})"


class WorkNote:
    """Notes beside the checkpoints how far a piece of work is, at most once a second."""

    def __init__(self, workspace: Workspace, cycle_id: str) -> None:
        self._file = _note_file(workspace, cycle_id)
        self._first: dict[Work, tuple[float, int]] = {}
        self._noted_at = -_SECONDS_BETWEEN_NOTES

    def write(self, work: Work, done: int, total: int) -> None:
        """Note that ``done`` of ``total`` are done."""
        now = time.monotonic()
        began_at, first = self._first.setdefault(work, (now, done))
        if now - self._noted_at < _SECONDS_BETWEEN_NOTES and done < total:
            return
        self._noted_at = now
        left = (total - done) * (now - began_at) / (done - first) if done > first else None
        note: dict[str, Any] = {"work": work, "done": done, "total": total, "seconds_left": left}
        note |= {"host": socket.gethostname(), "pid": os.getpid()}
        beside = self._file.with_suffix(".tmp")
        with suppress(
            OSError
        ):  # a full disk stops the training at its next checkpoint, with a message, not here
            self._file.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(note))
            beside.replace(self._file)


def is_working(ledger: Ledger) -> bool:
    """Tell whether a live process holds the lease on training and judging."""
    holder = ledger.lease_holder(WORK_LEASE)
    return holder is not None and holder.is_alive


def find_running(ledger: Ledger, state: LoopState, workspace: Workspace) -> Running | None:
    """Return the work of a live process, or None."""
    return _find_work(ledger, state, workspace, is_alive=True)


def find_died(ledger: Ledger, state: LoopState, workspace: Workspace) -> Running | None:
    """Return the work whose process has ended without giving its lease back, or whose lease has expired."""
    return _find_work(ledger, state, workspace, is_alive=False)


def _find_work(ledger: Ledger, state: LoopState, workspace: Workspace, *, is_alive: bool) -> Running | None:
    holder = ledger.lease_holder(WORK_LEASE)
    unfinished = [one for one in state.open_cycles if one.phase in ("opened", "training", "candidate")]
    if holder is None or holder.is_alive != is_alive or not unfinished:
        return None
    cycle = unfinished[0].id
    note = _read_note(workspace, cycle, holder)
    return Running(
        cycle_id=cycle,
        work=note.get("work", ""),
        done=note.get("done", 0),
        total=note.get("total", 0),
        seconds_left=note.get("seconds_left") if is_alive else None,
        host=holder.host,
        pid=holder.pid,
    )


def refuse_if_running(ledger: Ledger, state: LoopState, workspace: Workspace) -> None:
    """Raise BusyError, with the work under way, if a live process is training or judging."""
    if running := find_running(ledger, state, workspace):
        raise BusyError(
            f"a training is already running: {running.sentence()}",
            hint="Wait for it to end, or stop that process with Ctrl-C or SIGTERM; what it has done is kept",
        )


def _read_note(workspace: Workspace, cycle_id: str, holder: LeaseHolder) -> dict[str, Any]:
    """Read what the holder of the lease noted; nothing if that was another process."""
    try:
        note = json.loads(_note_file(workspace, cycle_id).read_text())
        is_own = (note["host"], note["pid"]) == (holder.host, holder.pid)
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return note if is_own else {}


def _note_file(workspace: Workspace, cycle_id: str) -> Path:
    return workspace.training_dir / cycle_id / _NOTE_FILE


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
