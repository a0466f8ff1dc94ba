"""Which engines a process has in use, in a file that a clean stop removes: what is left tells of a crash.

Python's own handler of fatal signals writes its traceback into the same file. So a segmentation fault leaves
a trace there, and a process that was killed leaves none.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from maskloop.errors import MaskloopError
from maskloop.files import locked
from models.engines.choice import EngineName

_SUFFIX: Final = ".in-use"
_FATAL: Final = "Fatal Python error: "


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    use: int
    event: Literal["in use", "proven", "put away"]
    weights_digest: str = ""
    decision: str = ""
    engine: EngineName = "torch"


@dataclass(frozen=True)
class EngineUse:
    """One model that answers in an engine other than torch.

    Attributes:
        weights_digest: The model.
        decision: Names the decision that chose the engine.
        engine: Which.
        is_proven: It was in use for long enough that an end without a trace is not the engine's doing.
    """

    weights_digest: str
    decision: str
    engine: EngineName
    is_proven: bool = False


@dataclass(frozen=True)
class UncleanEnd:
    """A process that ended without a clean stop.

    Attributes:
        uses: The engines in use when it ended.
        fatal_error: As Python names it; empty if the process left no trace.
        trace: Python's traceback of all threads; empty if the process left none.
    """

    uses: tuple[EngineUse, ...]
    fatal_error: str
    trace: str


class EngineJournal:
    """The file of this process. It is made when the first engine is loaded.

    Args:
        directory: Of the files of all processes.
        trace_into: Makes fatal signals write into an open file, and returns what undoes that.
    """

    def __init__(
        self, directory: Path, trace_into: Callable[[int], Callable[[], object]] | None = None
    ) -> None:
        self._directory, self._trace_into = directory, trace_into or _trace_fatal_signals
        self._file: Path | None = None
        self._handle = -1
        self._stop_tracing: Callable[[], object] = lambda: None
        self._num_uses = 0

    def note_in_use(self, use: EngineUse) -> int:
        """Write down that an engine is about to be loaded; return the number of this use."""
        if self._file is None:
            with suppress(OSError, MaskloopError):  # costs the guard, not the service
                self._open()
        self._num_uses += 1
        self._write(
            _Line(
                use=self._num_uses,
                event="in use",
                weights_digest=use.weights_digest,
                decision=use.decision,
                engine=use.engine,
            )
        )
        return self._num_uses

    def note_proven(self, use: int) -> None:
        """Write down that an engine was in use for long enough."""
        self._write(_Line(use=use, event="proven"))

    def note_put_away(self, use: int) -> None:
        """Write down that an engine answers no more. May be called by a finalizer."""
        self._write(_Line(use=use, event="put away"))

    def release(self) -> None:
        """Let go of the file as the end of the process does."""
        if self._handle >= 0:
            self._stop_tracing()
            handle, self._handle = self._handle, -1
            os.close(handle)

    def close(self) -> None:
        """Remove the file: the process stops as it should."""
        self.release()
        if self._file:
            self._file.unlink(missing_ok=True)

    def _open(self) -> None:
        file = self._directory / f"{uuid.uuid4().hex}{_SUFFIX}"
        with _one_at_a_time(self._directory):
            self._handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            fcntl.flock(self._handle, fcntl.LOCK_EX)
        self._file = file
        self._stop_tracing = self._trace_into(self._handle)

    def _write(self, line: _Line) -> None:
        if self._handle >= 0:
            with suppress(OSError):  # such as a full disk
                os.write(self._handle, line.model_dump_json(exclude_defaults=True).encode() + b"\n")


@contextmanager
def taken_ends(directory: Path) -> Iterator[Sequence[UncleanEnd]]:
    """Give what processes left that are gone; on leaving, their files are removed. One process at a time.

    Raises:
        UnavailableError: if another process holds the folder.
    """
    with _one_at_a_time(directory):
        left = {file: _read_if_left(file) for file in sorted(directory.glob(f"*{_SUFFIX}"))}
        yield [_read_end(text) for text in left.values() if text is not None]
        for file, text in left.items():
            if text is not None:
                file.unlink(missing_ok=True)


@contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    with locked(directory / ".in-use.lock", what="the list of engines in use"):
        yield


def _read_if_left(file: Path) -> str | None:
    """Return what a process left that is gone; None of one that lives, or has just stopped."""
    try:
        with file.open(encoding="utf-8", errors="replace") as left:
            fcntl.flock(left.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            return left.read()
    except OSError:
        return None


def _read_end(text: str) -> UncleanEnd:
    lines, found, trace = text.partition(_FATAL)
    uses = dict[int, EngineUse]()
    for row in lines.splitlines():
        with suppress(ValidationError):  # of a full disk, or cut off
            line = _Line.model_validate_json(row)
            if line.event == "in use":
                uses[line.use] = EngineUse(line.weights_digest, line.decision, line.engine)
            elif line.event == "put away":
                uses.pop(line.use, None)
            elif use := uses.get(line.use):
                uses[line.use] = EngineUse(use.weights_digest, use.decision, use.engine, is_proven=True)
    fatal_error = (trace.splitlines() or [""])[0].strip() or ("an unknown error" if found else "")
    return UncleanEnd(tuple(uses.values()), fatal_error, found + trace)


def _trace_fatal_signals(handle: int) -> Callable[[], object]:
    was_enabled = faulthandler.is_enabled()
    faulthandler.enable(handle)
    return faulthandler.enable if was_enabled else faulthandler.disable
