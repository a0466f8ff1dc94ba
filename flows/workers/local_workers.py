"""Workers that are processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Final

from flows.workers.port import Outcome, Work, describe_error, describe_reason, restore_error
from maskloop.errors import UnavailableError

_READY, _UNFIT, _ANSWER, _FAILED = b"R", b"U", b"A", b"F"
"""The first byte of what a worker says."""
_MAX_FALSE_STARTS: Final = 3
_STOP_S: Final = 5.0


class LocalWorkers:
    """Processes of this machine, each with one task at a time: `flows.workers.port.Workers`.

    A process that dies, of whatever, costs its task, and another takes its place. Processes end when this one
    does, however that happens: they read tasks from a pipe that ends with it.

    Args:
        work: What they do.
        count: How many there are.
    """

    def __init__(self, work: Work, count: int) -> None:
        self._work = pickle.dumps(work)
        self._count = count
        self._workers: list[_Worker] = []
        self._false_starts = 0

    def __enter__(self) -> LocalWorkers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them at once: what they have not said yet is lost."""
        for worker in self._workers:
            worker.end()
        self._workers = []

    @property
    def count(self) -> int:
        """See the port."""
        return self._count

    @property
    def ready_process_ids(self) -> list[int]:
        """Of the processes that have begun."""
        workers = [*self._workers]
        return [worker.process.pid for worker in workers if worker.is_ready and worker.process.pid]

    def submit(self, number: int, task: bytes) -> None:
        """See the port."""
        idle = next((worker for worker in self._workers if worker.number is None), None)
        if idle is None:
            if len(self._workers) >= self._count:
                raise RuntimeError("every worker has a task")
            idle = _Worker(self._work)
            self._workers.append(idle)
        idle.take(number, task)

    def wait(self, timeout_s: float) -> Outcome | None:
        """See the port."""
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait([*by_connection], timeout=timeout_s):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                said = worker.connection.recv_bytes()
            except (EOFError, OSError):
                if outcome := self._bury(worker):
                    return outcome
                continue
            if outcome := self._hear(worker, said):
                return outcome
        return None

    def _hear(self, worker: _Worker, said: bytes) -> Outcome | None:
        kind, content = said[:1], said[1:]
        if kind == _READY:
            self._false_starts = 0
            worker.is_ready = True
            return None
        if kind == _UNFIT:
            raise restore_error(pickle.loads(content))  # noqa: S301 - of our own process
        number, worker.number = worker.number, None
        if number is None:
            raise RuntimeError("a worker answered without a task")
        return Outcome(number, content) if kind == _ANSWER else Outcome(number, None, content.decode())

    def _bury(self, worker: _Worker) -> Outcome | None:
        self._workers.remove(worker)
        worker.end()
        code = worker.process.exitcode or 0
        said = (
            f"the worker was ended by {_name_signal(-code)}" if code < 0 else f"the worker ended with {code}"
        )
        if not worker.is_ready:
            self._false_starts += 1
            if self._false_starts >= _MAX_FALSE_STARTS:
                raise UnavailableError(
                    f"{said} before it could begin, {self._false_starts} times in a row",
                    hint="is there enough memory for every worker? Try --workers 1",
                )
        return None if worker.number is None else Outcome(worker.number, None, said)


class _Worker:
    """One process, the pipe to it, and the task that it has."""

    def __init__(self, work: bytes) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, work), daemon=True)
        self.process.start()
        theirs.close()
        self.number: int | None = None
        self.is_ready = False

    def take(self, number: int, task: bytes) -> None:
        self.number = number
        with contextlib.suppress(OSError):  # it has died: the next look at it says so
            self.connection.send_bytes(task)

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join(_STOP_S)


def _serve(connection: Connection, work: bytes) -> None:
    """Answer tasks until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent decides
    try:
        with ExitStack() as stack:
            try:
                answer = stack.enter_context(pickle.loads(work).begin())  # noqa: S301 - from our own parent
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told in the terminal
                connection.send_bytes(_UNFIT + pickle.dumps(describe_error(error)))
                return
            connection.send_bytes(_READY)
            while True:
                connection.send_bytes(_answer(answer, connection.recv_bytes()))
    except (EOFError, OSError):
        return


def _answer(answer: Callable[[bytes], bytes], task: bytes) -> bytes:
    """Return what is said about a task; whatever is raised costs this task alone."""
    try:
        return _ANSWER + answer(task)
    except Exception as error:  # noqa: BLE001
        return _FAILED + describe_reason(error).encode()


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
