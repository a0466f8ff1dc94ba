"""Times of things that do the same, taken in turns, so that a busy machine is busy for all of them."""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_RESET_PEAK: Final = Path("/proc/self/clear_refs")
"""Linux sets the largest resident size of a process back to the present one when a 5 is written here."""


@dataclass(frozen=True)
class Spread:
    """The middle of some numbers and the quarters around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        """Return median, first and third quartile; one number is all three.

        >>> Spread.of([1.0, 2.0, 3.0, 4.0, 5.0])
        Spread(median=3.0, low=2.0, high=4.0)
        """
        low, median, high = (
            statistics.quantiles(numbers, n=4, method="inclusive") if len(numbers) > 1 else [*numbers] * 3
        )
        return cls(median, low, high)


@dataclass(frozen=True)
class Rounds:
    """What each contestant took in each round, in the order of the rounds.

    Attributes:
        wall_s: Seconds by the clock.
        cpu_s: Seconds of all threads of this process; a busy machine does not lengthen them much.
    """

    wall_s: Mapping[str, tuple[float, ...]]
    cpu_s: Mapping[str, tuple[float, ...]]

    def times_faster(self, name: str, than: str, *, cpu: bool = False) -> Spread:
        """Return how many times faster one contestant is than another, compared round by round."""
        seconds = self.cpu_s if cpu else self.wall_s
        return Spread.of([slow / fast for slow, fast in zip(seconds[than], seconds[name], strict=True)])


def take_turns(
    contestants: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    budget_s: float = float("inf"),
    finish: Callable[[], object] = lambda: None,
) -> Rounds:
    """Run every contestant once per round, each round starting with the next one, after one round untimed.

    Args:
        contestants: By name.
        rounds: At most; 1 or more.
        budget_s: No round starts after so much time, the untimed one counted; one is always run.
        finish: Waits until the device has done what it was told (``torch.cuda.synchronize``).
    """
    start = time.perf_counter()
    names = list(contestants)
    wall_s: dict[str, list[float]] = {name: [] for name in names}
    cpu_s: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        if turn > 1 and time.perf_counter() - start > budget_s:
            break
        gc.collect()
        first = turn % len(names)
        for name in [*names[first:], *names[:first]]:
            wall, cpu = _time_once(contestants[name], finish)
            if turn:
                wall_s[name].append(wall)
                cpu_s[name].append(cpu)
    return Rounds(_frozen(wall_s), _frozen(cpu_s))


def _time_once(run: Callable[[], object], finish: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    finish()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    del result  # its memory is given back between the turns, at nobody's expense
    return wall, cpu


def _frozen(lists: Mapping[str, list[float]]) -> dict[str, tuple[float, ...]]:
    return {name: tuple(numbers) for name, numbers in lists.items()}


def peak_memory_bytes(run: Callable[[], object]) -> int | None:
    """Return by how much this process grew at most while it ran, in steps of a page; None off Linux."""
    try:
        _give_freed_memory_back()
        before = _resident_bytes("VmRSS")
        _RESET_PEAK.write_text("5")
    except OSError:
        return None
    result = run()
    peak = _resident_bytes("VmHWM")
    del result
    return max(0, peak - before)


def _give_freed_memory_back() -> None:
    gc.collect()
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def _resident_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
