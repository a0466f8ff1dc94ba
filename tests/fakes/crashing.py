"""Kill the process at the Nth call of a port, before or after it took effect; run N = 1, 2, … to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

Moment = Literal["before", "after"]
_Port = TypeVar("_Port")


class Killed(BaseException):
    """Not an Exception: nothing in the code may handle it."""


@dataclass
class Countdown:
    """Shared by all wrapped ports, so that every call of any of them is one crash point."""

    calls_left: int
    moment: Moment = "before"
    has_fired: bool = False

    def step(self, call: Callable[[], Any]) -> Any:
        self.calls_left -= 1
        if self.calls_left != 0:
            return call()
        self.has_fired = True
        if self.moment == "after":
            call()
        raise Killed


class _Crashing:
    def __init__(self, port: Any, countdown: Countdown) -> None:
        self._port, self._countdown = port, countdown

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name == "free_lease":  # a dead process frees nothing; the fake ledger's clock would have to run
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._countdown.step(lambda: method(*args, **kwargs))

        return call


def crashing(port: _Port, countdown: Countdown) -> _Port:
    """Wrap a port so that each of its calls counts."""
    return cast(_Port, _Crashing(port, countdown))


def every_crash_point(run: Callable[[Countdown], object]) -> Iterator[tuple[int, Moment]]:
    """Run with a crash at call 1, 2, … until a run finishes; give each point after its crash."""
    for moment in ("before", "after"):
        number = 0
        while True:
            number += 1
            countdown = Countdown(number, moment)
            try:
                run(countdown)
            except Killed:
                yield number, moment
            else:
                assert not countdown.has_fired
                break
