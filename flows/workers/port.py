"""What shares out work: the port that processes of this machine stand behind.

`tests/contracts/test_workers.py` holds them and their fake to one suite.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from maskloop import errors
from maskloop.errors import MaskloopError


class Work(Protocol):
    """What every worker does. It is sent to other processes, so it can be pickled."""

    def begin(self) -> AbstractContextManager[Callable[[bytes], bytes]]:
        """Give what answers one task after the other; entered once in each worker, and left at its end.

        Raises:
            MaskloopError: if it can be done in no worker: it reaches whoever waits for an answer.
        """
        ...


@dataclass(frozen=True)
class Outcome:
    """What became of one task.

    Attributes:
        number: The task's.
        answer: What the work returned; None if there is no answer.
        reason: Why not: what was raised, or that the worker died.
    """

    number: int
    answer: bytes | None
    reason: str = ""


class Workers(AbstractContextManager["Workers"], Protocol):
    """Workers that are all able to do the same work. Dead ones are replaced."""

    @property
    def count(self) -> int:
        """How many there are; no more tasks may be under way."""
        ...

    def submit(self, number: int, task: bytes) -> None:
        """Hand a task to an idle worker. Raises MaskloopError if no worker can be started."""
        ...

    def wait(self, timeout_s: float) -> Outcome | None:
        """Return what became of one of the tasks under way, or None if nothing did in that time.

        Raises:
            MaskloopError: if the work cannot begin, or workers die before they can.
        """
        ...


def describe_error(error: BaseException) -> tuple[str, str, str, str]:
    """Return an error in a form that crosses processes: its type, headline, place and hint."""
    if isinstance(error, MaskloopError):
        return type(error).__name__, error.headline, error.where, error.hint
    return "MaskloopError", f"{type(error).__name__}: {error}", "", ""


def describe_reason(error: BaseException) -> str:
    """Return why a task failed, in one line.

    >>> describe_reason(MemoryError("no room"))
    'MemoryError: no room'
    """
    _, headline, where, _ = describe_error(error)
    return f"{headline} ({where})" if where else headline


def restore_error(described: tuple[str, str, str, str]) -> MaskloopError:
    """Return the error that `describe_error` described.

    >>> restore_error(describe_error(errors.DataError("no pixels", hint="send some")))
    DataError('no pixels')
    """
    name, headline, where, hint = described
    kind = getattr(errors, name, MaskloopError)
    try:
        restored: MaskloopError = kind(headline, where=where, hint=hint)
    except TypeError:
        restored = MaskloopError(headline, where=where, hint=hint)
    return restored
