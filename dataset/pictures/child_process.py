"""A child process that opens outside files and may die: its limits, the socket to it, and shared memory."""

from __future__ import annotations

import contextlib
import fcntl
import math
import mmap
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Final

from maskloop.errors import UnavailableError

READY: Final = b"R"
"""The child's first byte: it has imported everything."""
_CHILD_START_S: Final = 120.0
"""Python and the libraries, on a machine that is busy with something else."""
_CHILD_STOP_S: Final = 2.0


class ChildFailedError(Exception):
    """A child ended, or was ended, while it had a picture.

    Attributes:
        exceeded_cpu: It computed for longer than it may, which no other child would do in less.
        timed_out: It did not answer.
    """

    def __init__(self, *, exceeded_cpu: bool, timed_out: bool) -> None:
        super().__init__()
        self.exceeded_cpu, self.timed_out = exceeded_cpu, timed_out


class ChildProcess:
    """One child process that has imported everything, the socket to it, and memory that both share.

    Args:
        told: The first arguments of the child; the memory's descriptor and size in bytes follow.
        shared_bytes: Size of the shared memory. Untouched pages cost nothing.
        more: The last arguments.

    Raises:
        UnavailableError: if it does not get ready.
    """

    module: ClassVar[str]
    """What it runs."""

    def __init__(self, told: Iterable[object], shared_bytes: int, more: Iterable[str] = ()) -> None:
        self._memory_fd = _share_memory(shared_bytes)
        self._memory = mmap.mmap(self._memory_fd, shared_bytes)
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        with theirs:
            self.process = self._start((*map(str, (*told, self._memory_fd, shared_bytes)), *more), theirs)
        try:
            receive(self.socket, len(READY), time.monotonic() + _CHILD_START_S)
        except (OSError, EOFError) as error:
            self.kill()
            raise UnavailableError(
                "the process that decodes pictures did not start",
                hint="is the machine busy, or out of memory?",
            ) from error

    def _start(self, arguments: tuple[str, ...], theirs: socket.socket) -> subprocess.Popen[bytes]:
        here = str(Path(__file__).resolve().parents[2])
        search_path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
        return subprocess.Popen(
            (sys.executable, "-P", "-m", self.module, *arguments),
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(self._memory_fd,),
            env={**os.environ, "PYTHONPATH": search_path, "OPENBLAS_NUM_THREADS": "1"},
        )

    @property
    def is_running(self) -> bool:
        """It has not ended."""
        return self.process.poll() is None

    def failed(self, error: Exception) -> ChildFailedError:
        """End it after an error, and say how it failed."""
        self.kill()
        exceeded_cpu = self.process.returncode == -signal.SIGXCPU
        return ChildFailedError(exceeded_cpu=exceeded_cpu, timed_out=isinstance(error, TimeoutError))

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.stop()

    def stop(self) -> None:
        """Wait for the child to end, then kill it if it has not."""
        self.socket.close()
        try:
            self.process.wait(_CHILD_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(BufferError):  # a picture is being copied, and takes the memory with it
            self._memory.close()
        os.close(self._memory_fd)


def _share_memory(num_bytes: int) -> int:
    """Return a descriptor of memory without a name. On Linux nobody can make it smaller (memfd_create(2)):
    reading what was cut off would end this process."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            os.ftruncate(file.fileno(), num_bytes)
            return os.dup(file.fileno())
    descriptor = os.memfd_create("pixels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, num_bytes)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return descriptor


def enter_limits(memory_bytes: int) -> None:
    """Limit the memory of this process, a child that is about to open something; no core file is left."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextlib.contextmanager
def limited_cpu(seconds: float) -> Iterator[None]:
    """End this process by SIGXCPU when it has computed for that long, rounded up to a whole second."""
    last_s = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (last_s, resource.RLIM_INFINITY))
    yield
    resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def send(to: socket.socket, data: bytes, deadline_s: float) -> None:
    """Send everything. Raises TimeoutError at the deadline, in s of `time.monotonic`, and OSError."""
    rest = memoryview(data)
    while rest:
        _wait_for(to, select.POLLOUT, deadline_s)
        rest = rest[to.send(rest) :]


def receive(source: socket.socket, length: int, deadline_s: float) -> bytearray:
    """Return so many bytes. Raises TimeoutError at the deadline, EOFError if nothing more comes, OSError."""
    data = bytearray(length)
    rest = memoryview(data)
    while rest:
        _wait_for(source, select.POLLIN, deadline_s)
        rest = rest[_count(source.recv_into(rest)) :]
    return data


def _count(received: int) -> int:
    if received == 0:
        raise EOFError("the other side of the socket has gone")
    return received


def _wait_for(what: socket.socket, event: int, deadline_s: float) -> None:
    poll = select.poll()
    poll.register(what, event)
    if not poll.poll(max(0.0, deadline_s - time.monotonic()) * 1000):
        raise TimeoutError
