"""Servers as processes: started, waited for, looked at (memory, files, children), stopped."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
import psutil

from flows.workspace.servers import start_process

_STOP_TIMEOUT_S = 40.0
_FOREIGN_SETTINGS = ("PREFECT", "MLFLOW", "OMP_", "PROMETHEUS")


@dataclass
class Server:
    """A started server and its children, also those that a stop leaves behind.

    Attributes:
        start_s: From the start of the process to its first right answer.
        left_over: Processes still there after the stop, by command; they were then killed.
        stop_s: From SIGTERM to the end of its first process.
    """

    process: subprocess.Popen[bytes]
    port: int
    start_s: float = 0.0
    left_over: list[str] = field(default_factory=list)
    stop_s: float = 0.0

    def tree(self) -> list[psutil.Process]:
        """Return the first process and all its descendants."""
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        return []

    def children(self, part_of_command: str) -> list[psutil.Process]:
        """Return the direct children with that in their command line."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if part_of_command in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def pss_mb(self) -> float:
        """Return the memory of all processes, what they share counted once."""
        return memory_of(process.pid for process in self.tree())

    def cpu_s(self) -> float:
        """Return the processor seconds of all living processes so far."""
        total = 0.0
        for process in self.tree():
            with suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def resources(self) -> dict[str, int]:
        """Return how many processes, threads and open files there are."""
        counted = {"processes": 0, "threads": 0, "open_files": 0}
        for process in self.tree():
            with suppress(psutil.Error):
                counted["threads"] += process.num_threads()
                counted["open_files"] += process.num_fds()
                counted["processes"] += 1
        return counted


@contextmanager
def server_running(
    command: Sequence[str],
    *,
    port: int,
    log: Path,
    directory: Path,
    answers: Callable[[], bool],
    environment: dict[str, str] | None = None,
    timeout_s: float = 180.0,
) -> Iterator[Server]:
    """Start a server, wait until it answers, stop it after the body and note what it leaves behind.

    Raises:
        RuntimeError: with the end of its log, if it stops or does not answer in time.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_SETTINGS)}
    started_s = time.monotonic()
    server = Server(start_process(command, log, {**kept, **(environment or {})}, directory), port)
    try:
        while not answers():
            if server.process.poll() is not None or time.monotonic() - started_s > timeout_s:
                raise RuntimeError(f"{' '.join(command[:4])} did not start: {log.read_text()[-600:]}")
            time.sleep(0.05)
        server.start_s = time.monotonic() - started_s
        yield server
    finally:
        _stop(server)


def _stop(server: Server) -> None:
    """Ask the first process to stop, as an operator would; whoever remains is noted and killed."""
    tree = server.tree()
    started_s = time.monotonic()
    server.process.terminate()
    try:
        server.process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.left_over.append("the server itself")
        server.process.kill()
    server.stop_s = time.monotonic() - started_s
    _, alive = psutil.wait_procs(tree, timeout=5)
    for process in alive:
        with suppress(psutil.Error):
            server.left_over.append(" ".join(process.cmdline())[:80])
            process.kill()


def memory_of(pids: Iterable[int]) -> float:
    """Return the proportional set size of some processes together, MiB."""
    total = 0
    for pid in pids:
        with suppress(psutil.Error):
            total += psutil.Process(pid).memory_full_info().pss
    return total / 2**20


class MemoryWatch:
    """Samples the memory of every process that ``tree`` names, from entering the context to leaving it.

    Attributes:
        samples: (seconds on the monotonic clock, process id, resident MiB).
    """

    def __init__(self, tree: Callable[[], Sequence[psutil.Process]], *, every_s: float = 1.0) -> None:
        self._tree, self._every_s = tree, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.samples: list[tuple[float, int, float]] = []

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(self._every_s):
            for process in self._tree():
                with suppress(psutil.Error):
                    mebibytes = process.memory_info().rss / 2**20
                    self.samples.append((time.monotonic(), process.pid, mebibytes))

    def describe(self, from_s: float, to_s: float) -> dict[str, float]:
        """Return the sum over all processes in a span of time, and how fast it grows (least squares)."""
        by_second: dict[float, float] = {}
        for at_s, _, mebibytes in self.samples:
            if from_s <= at_s <= to_s:
                key = round(at_s / self._every_s)
                by_second[key] = by_second.get(key, 0.0) + mebibytes
        if len(by_second) < 3:
            return {}
        at = np.array(list(by_second)) * self._every_s
        sums = np.array(list(by_second.values()))
        return {
            "first_mb": round(float(sums[0]), 1),
            "last_mb": round(float(sums[-1]), 1),
            "largest_mb": round(float(sums.max()), 1),
            "slope_mb_per_minute": round(float(np.polyfit(at, sums, 1)[0]) * 60, 2),
        }
