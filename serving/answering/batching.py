"""Pictures that come at the same time share a pass of the model.

While the model is busy, the next batch collects; an idle model waits for more requests only if the settings
say so. Each served model has a line (`serving.answering.lines`), bounded by the expected wait, so overload is
refused at once. Shadow work (the other model of a rollout) starts only while no request waits in any line.

Passes run in lanes: threads with a fixed number of cores each. A few pictures that arrive at an idle service
are answered fastest by all cores together (the wide lane). Under load, several passes side by side with fewer
cores each have more throughput, because cores that share a pass synchronise after each of its many
operations.

Champion and challenger have separate lanes beside the wide one, so a challenger that hangs delays only its
own requests, which the champion then answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from maskloop.settings.workspace_settings import ServingSettings
from serving.answering.cores import Cores, OneCore, open_thread
from serving.answering.lines import Line, Waiting, choose_next
from serving.answers import Answer, Role
from serving.observing import Observer

if TYPE_CHECKING:
    from models.answering.prediction import Prediction

_MAX_BESIDE: Final = 4
"""Passes of one role at a time; each needs memory for what it computes."""
_ROLES: Final[tuple[Role, ...]] = ("champion", "challenger")


@dataclass(eq=False)
class _Lane:
    """Where models run, one pass at a time.

    Attributes:
        thread: Computes.
        role: Whose pass is running, or ran last.
        line: Whose pictures they are.
        batch: The pass that is running.
        again: Of a pass that failed: each goes once more, alone.
    """

    thread: ThreadPoolExecutor
    role: Role
    line: Line | None = None
    batch: Sequence[Waiting] = ()
    again: deque[Waiting] = field(default_factory=deque)

    @property
    def num_passing(self) -> int:
        return len(self.batch) + len(self.again)


def count_threads(num_cores: int) -> tuple[int, ...]:
    """Return the numbers of threads that passes compute with: one at a time, and side by side.

    >>> count_threads(1), count_threads(2), count_threads(16)
    ((1,), (2, 1), (16, 4))
    """
    beside = num_cores // min(num_cores, _MAX_BESIDE)
    return (num_cores,) if beside == num_cores else (num_cores, beside)


class MicroBatcher:
    """Runs models on its own threads, whose pictures stand in lines. Belongs to one event loop.

    Args:
        settings: ``max_batch``, ``batch_wait_ms``, ``max_queue_s``.
        cores: That models compute with.
    """

    def __init__(self, settings: ServingSettings, *, cores: Cores | None = None) -> None:
        self._settings = settings
        self._lines: list[Line] = []
        self._cores = cores or OneCore()
        self._wide: _Lane | None = None
        self._lanes: list[_Lane] = []
        self._num_beside = 1
        self._now_s = 0.0
        self._gathering: asyncio.TimerHandle | None = None

    def open_line(self, observer: Observer) -> Line:
        """Return a line for one served model; the observer is told about its passes and its length."""

        def others_s() -> list[float]:
            return [other.backlog_s for other in self._lines if other is not line]

        line = Line(self._settings, observer, changed=self._gather, others_s=others_s)
        self._lines.append(line)
        return line

    @property
    def is_computing(self) -> bool:
        """A pass is running; safe to ask from another thread."""
        return self._num_passing > 0

    @property
    def _all_lanes(self) -> list[_Lane]:
        return [*self._lanes, self._wide] if self._wide else self._lanes

    @property
    def _num_passing(self) -> int:
        return sum(lane.num_passing for lane in self._all_lanes)

    @property
    def _num_live(self) -> int:
        return sum(len(line.live) for line in self._lines)

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing more, answer what was accepted, and stop."""
        for line in self._lines:
            line.is_draining = True
        shadows = [waiting for line in self._lines for waiting in line.shadow]
        for waiting in shadows:
            waiting.future.cancel()
        live = [waiting for line in self._lines for waiting in line.live]
        accepted = [*live, *(waiting for lane in self._all_lanes for waiting in _held(lane))]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(waiting.future for waiting in accepted), return_exceptions=True)
        for waiting in (*accepted, *shadows):
            waiting.future.cancel()
        for lane in self._all_lanes:
            lane.thread.shutdown(wait=False, cancel_futures=True)

    def _gather(self) -> None:
        """Start passes: at once, or when the time is over that settings let a batch wait for company."""
        if not self._lanes:
            self._open_lanes()
        is_alone = 0 < self._num_live < self._settings.max_batch
        if not (is_alone and self._settings.batch_wait_ms):
            self._start_passes()
        elif self._gathering is None:
            wait_s = self._settings.batch_wait_ms / 1000
            self._gathering = asyncio.get_running_loop().call_later(wait_s, self._start_passes)

    def _start_passes(self) -> None:
        if self._gathering:
            self._gathering.cancel()
            self._gathering = None
        for role in _ROLES:
            while (lane := self._find_lane(role)) and (taken := self._take_batch(role, lane)):
                lane.role = role
                self._start_pass(lane, *taken)

    def _open_lanes(self) -> None:
        """Divide the cores between lanes, now that a model is there and knows its device.

        Only one lane may be wide: once there are more threads than cores, idle ones included, libgomp puts
        them to sleep between operations (config/linux/wait.h), and a pass of 11 ms takes 17 ms.
        """
        num_cores = self._cores.count()
        self._num_beside = min(num_cores, _MAX_BESIDE)
        if self._num_beside > 1:
            self._wide = self._make_lane("champion", "wide", num_cores)
        self._lanes = [
            self._make_lane(role, f"{role}-{number}", num_cores // self._num_beside)
            for role in _ROLES
            for number in range(self._num_beside)
        ]

    def _make_lane(self, role: Role, name: str, num_cores: int) -> _Lane:
        return _Lane(open_thread(name, self._cores, num_cores), role)

    def _find_lane(self, role: Role) -> _Lane | None:
        """Return where a role's next pass may run now, if anything waits."""
        if not any(line.live or line.shadow for line in self._lines):
            return None
        if self._wide:
            if not self._num_passing and self._num_live < self._num_beside:
                return self._wide
            if self._wide.num_passing and self._wide.role == role:
                return None
        return next((lane for lane in self._lanes if lane.role == role and not lane.num_passing), None)

    def _max_size(self, role: Role, lane: _Lane) -> int:
        """Return how many pictures a pass may hold: lanes side by side share what waits."""
        if lane is self._wide:
            return self._settings.max_batch
        num_free = sum(lane.role == role and not lane.num_passing for lane in self._lanes)
        return math.ceil(min(self._num_live / num_free, self._settings.max_batch / self._num_beside))

    def _take_batch(self, role: Role, lane: _Lane) -> tuple[Line, list[Waiting]] | None:
        """Take what goes into a role's next pass from the line whose turn it is."""
        max_size = self._max_size(role, lane)
        while (line := self._choose(lambda line: line.holds(role))) is not None:
            if batch := line.take(role, max_size):
                return line, batch
        if any(line.live for line in self._lines):
            return None
        while (line := self._choose(lambda line: line.holds_shadow(role))) is not None:
            if batch := line.take_shadow(role):
                return line, batch
        return None

    def _choose(self, waits: Callable[[Line], bool]) -> Line | None:
        """Return the line whose turn it is, of those in which something waits."""
        times_s = {
            at: max(line.finished_s, self._now_s) for at, line in enumerate(self._lines) if waits(line)
        }
        chosen = choose_next(times_s)
        return None if chosen is None else self._lines[chosen]

    def _start_pass(self, lane: _Lane, line: Line, batch: Sequence[Waiting]) -> None:
        """Charge the line for the pass as long as it will probably take, and begin it."""
        self._now_s = max(line.finished_s, self._now_s)
        guessed_s = len(batch) * (line.seconds_per_picture or 0.0)
        line.finished_s = self._now_s + guessed_s
        lane.line, lane.batch = line, batch
        self._count_passing(line)
        loop, started = asyncio.get_running_loop(), time.monotonic()
        pixels = [waiting.picture.pixels for waiting in batch]
        work = lane.thread.submit(batch[0].model.predictor.predict, pixels)

        def tell_loop(work: Future[list[Prediction]]) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop has ended
                loop.call_soon_threadsafe(self._end_pass, lane, line, started, guessed_s, work)

        work.add_done_callback(tell_loop)

    def _end_pass(
        self, lane: _Lane, line: Line, started: float, guessed_s: float, work: Future[list[Prediction]]
    ) -> None:
        if work.cancelled():  # the service is stopping
            return
        batch, seconds = lane.batch, time.monotonic() - started
        num_beside = sum(other.num_passing > 0 for other in self._all_lanes)
        lane.batch = ()
        error = work.exception()
        if error and len(batch) > 1:
            lane.again.extend(batch)  # one bad picture costs only itself
        elif error:
            _fail(batch[0].future, error)
        else:
            _answer(batch, work.result(), started, seconds)
        line.finished_s += seconds / num_beside - guessed_s
        while lane.again and not lane.batch:
            if not (alone := lane.again.popleft()).future.done():
                self._start_pass(lane, line, [alone])
        self._count_passing(line)
        self._gather()
        if not error:
            line.learn(seconds / len(batch) / num_beside)
        # the event loop sends the answers next; they need not wait for this
        model = batch[0].model
        told = (model.role, model.served.version, len(batch), seconds)
        asyncio.get_running_loop().call_soon(self._tell_pass, line, None if error else told)

    def _count_passing(self, line: Line) -> None:
        line.num_passing = sum(lane.num_passing for lane in self._all_lanes if lane.line is line)

    def _tell_pass(self, line: Line, told: tuple[Role, str, int, float] | None) -> None:
        if told:
            role, version, size, seconds = told
            line.observer.batch_ended(role=role, version=version, size=size, seconds=seconds)
        line.tell()


def _held(lane: _Lane) -> Sequence[Waiting]:
    return [*lane.batch, *lane.again]


def _answer(
    batch: Sequence[Waiting], predictions: Sequence[Prediction], started: float, seconds: float
) -> None:
    for waiting, prediction in zip(batch, predictions, strict=True):
        stages_s = {"queue": started - waiting.since, "model": seconds}
        if not waiting.future.done():
            waiting.future.set_result(Answer(waiting.model, prediction, None, stages_s, len(batch)))


def _fail(future: asyncio.Future[Answer], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
