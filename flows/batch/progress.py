"""Which task comes next, and what a failed one means. Pure; nothing is sent or written here.

A shard that fails, because its worker died or for any other reason, is tried again unit by unit, so that what
makes it fail costs itself alone. A unit that fails `MAX_FAILURES` times is set aside with the last reason.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from flows.batch.plan import Shard, Stretch
from flows.batch.results import ShardResult, UnitResult, join_parts

MAX_FAILURES: Final = 4
"""Of one unit by itself."""


@dataclass(frozen=True)
class Task:
    """A shard, or one unit of a shard that failed before.

    Attributes:
        number: No two tasks share one.
        shard: What is asked for.
        unit: The unit's place in its shard; None: all of it.
        failures: How often this unit has failed.
    """

    number: int
    shard: Shard
    unit: int | None = None
    failures: int = 0


@dataclass
class _Parts:
    shard: Shard
    results: dict[int, ShardResult] = field(default_factory=dict)


class Schedule:
    """The tasks of a run.

    Args:
        shards: What is not finished yet, in order; taken one by one.
    """

    def __init__(self, shards: Iterator[Shard]) -> None:
        self._shards = shards
        self._again: deque[Task] = deque()
        self._parts: dict[int, _Parts] = {}
        self._underway: dict[int, Task] = {}
        self._next_number = 0

    @property
    def num_underway(self) -> int:
        """Tasks that were taken and have no outcome yet."""
        return len(self._underway)

    def take(self) -> Task | None:
        """Return the next task; None if there is none now."""
        task = self._again.popleft() if self._again else self._next_shard()
        if task is not None:
            self._underway[task.number] = task
        return task

    def finish(self, number: int, result: ShardResult) -> ShardResult | None:
        """Note the answer to a task; return that of its shard if it is complete now."""
        task = self._underway.pop(number)
        return result if task.unit is None else self._collect(task.shard, task.unit, result)

    def fail(self, number: int, reason: str) -> ShardResult | None:
        """Note that a task failed; return the answer of its shard if that was all that it waited for."""
        task = self._underway.pop(number)
        units = [one for stretch in task.shard.stretches for one in stretch.units()]
        if task.unit is None:
            self._parts[task.shard.number] = _Parts(task.shard)
            self._again.extend(self._number(task.shard, unit, 0) for unit in range(len(units)))
            return None
        if task.failures + 1 < MAX_FAILURES:
            self._again.append(self._number(task.shard, task.unit, task.failures + 1))
            return None
        lost = _set_aside(units[task.unit], f"{reason} ({MAX_FAILURES} times)")
        return self._collect(task.shard, task.unit, ShardResult(task.shard.number, (lost,)))

    def _next_shard(self) -> Task | None:
        shard = next(self._shards, None)
        return None if shard is None else self._number(shard, None, 0)

    def _number(self, shard: Shard, unit: int | None, failures: int) -> Task:
        self._next_number += 1
        return Task(self._next_number, shard, unit, failures)

    def _collect(self, shard: Shard, unit: int, result: ShardResult) -> ShardResult | None:
        parts = self._parts[shard.number]
        parts.results[unit] = result
        if len(parts.results) < shard.num_units:
            return None
        del self._parts[shard.number]
        return join_parts([parts.results[place] for place in range(shard.num_units)])


def part_of(task: Task) -> Shard:
    """Return what a worker is asked: the shard, or a shard of the one unit."""
    if task.unit is None:
        return task.shard
    units = [one for stretch in task.shard.stretches for one in stretch.units()]
    return Shard(task.shard.number, (units[task.unit],))


def _set_aside(unit: Stretch, reason: str) -> UnitResult:
    return UnitResult(unit.name, unit.first_tile if unit.scene else None, error=reason)
