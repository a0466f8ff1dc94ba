"""Work without a model: it says what it was told, fails, or dies. Little is imported to do it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from maskloop.errors import DataError


@dataclass(frozen=True)
class Echo:
    """Answers a task with itself; each worker that begins leaves a file in the folder."""

    folder: Path

    @contextmanager
    def begin(self) -> Iterator[Callable[[bytes], bytes]]:
        (self.folder / f"began-{os.getpid()}-{time.monotonic_ns()}").touch()
        yield self.answer

    def answer(self, task: bytes) -> bytes:
        if task == b"fail":
            raise DataError("the task is bad", where="here")
        if task == b"die":
            os.kill(os.getpid(), signal.SIGKILL)
        return b"done " + task


@dataclass(frozen=True)
class Unfit:
    """Cannot begin."""

    def begin(self) -> AbstractContextManager[Callable[[bytes], bytes]]:
        raise DataError("the model is not there", where="a folder", hint="put it there")


@dataclass(frozen=True)
class Stillborn:
    """Dies before it begins."""

    def begin(self) -> AbstractContextManager[Callable[[bytes], bytes]]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError
