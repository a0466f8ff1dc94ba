"""Pictures that come at the same time share a pass of the model.

While the model is busy, the next batch collects; an idle model waits for more requests only if the settings
say so. The queue is bounded by the expected wait, so overload is refused at once. Shadow work (the other
model of a rollout) starts only while no request waits.

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
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from maskloop.errors import DeadlineError, OverloadedError, UnavailableError
from maskloop.settings.workspace_settings import ServingSettings
from serving.answering.cores import Cores, OneCore, open_thread
from serving.answers import Answer, HostedModel, RequestPicture, Role
from serving.observing import Observer

if TYPE_CHECKING:
    from models.answering.prediction import Prediction

_NEWEST_WEIGHT: Final = 0.2
"""Weight of the latest pass in the moving average of seconds per picture."""
_MAX_SHADOW: Final = 32
_MAX_BESIDE: Final = 4
"""Passes of one role at a time; each needs memory for what it computes."""
_ROLES: Final[tuple[Role, ...]] = ("champion", "challenger")


@dataclass(eq=False)
class _Waiting:
    model: HostedModel
    picture: RequestPicture
    future: asyncio.Future[Answer]
    since: float
    expires_at: float

    def is_over(self, now: float) -> bool:
        return self.future.done() or now >= self.expires_at


@dataclass(eq=False)
class _Lane:
    """Where models run, one pass at a time.

    Attributes:
        thread: Computes.
        role: Whose pass is running, or ran last.
        batch: The pass that is running.
        again: Of a pass that failed: each goes once more, alone.
    """

    thread: ThreadPoolExecutor
    role: Role
    batch: Sequence[_Waiting] = ()
    again: deque[_Waiting] = field(default_factory=deque)

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
    """Runs models on its own threads. Belongs to one event loop.

    Args:
        settings: ``max_batch``, ``batch_wait_ms``, ``max_queue_s``.
        observer: Is told about passes and the queue.
        cores: That models compute with.
    """

    def __init__(self, settings: ServingSettings, observer: Observer, *, cores: Cores | None = None) -> None:
        self._settings, self._observer = settings, observer
        self._live: deque[_Waiting] = deque()
        self._shadow: deque[_Waiting] = deque()
        self._cores = cores or OneCore()
        self._wide: _Lane | None = None
        self._lanes: list[_Lane] = []
        self._num_beside = 1
        self._seconds_per_picture: float | None = None
        self._gathering: asyncio.TimerHandle | None = None
        self._is_draining = False

    @property
    def waiting_s(self) -> float:
        """About how long a new picture would wait for its turn."""
        return (len(self._live) + self._num_passing) * (self._seconds_per_picture or 0.0)

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

    async def submit(
        self, model: HostedModel, picture: RequestPicture, *, deadline_s: float, shadow: bool = False
    ) -> Answer:
        """Answer one picture. Cancelled while it waits, it costs nothing.

        Args:
            model: Who shall answer.
            picture: What it is asked about.
            deadline_s: From now; an answer that comes later is none.
            shadow: Nobody waits for the answer: live pictures go first.

        Raises:
            OverloadedError: if its turn would come too late, or too much shadow work waits.
            DeadlineError: if it was not answered in time.
            UnavailableError: if the service is stopping.
            PictureError: if the model refuses the picture.
            IntegrityError: if the model computes something that is not finite.
        """
        if shadow:
            self._refuse_if_shadow_is_full()
        else:
            self.refuse_if_full(deadline_s)
        if not self._lanes:
            self._open_lanes()
        now = time.monotonic()
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        (self._shadow if shadow else self._live).append(
            _Waiting(model, picture, future, now, now + deadline_s)
        )
        self._tell_queue()
        timer = asyncio.get_running_loop().call_later(deadline_s, _expire, future, deadline_s)
        self._gather()
        try:
            return await future
        finally:
            timer.cancel()

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing more, answer what was accepted, and stop."""
        self._is_draining = True
        for waiting in self._shadow:
            waiting.future.cancel()
        accepted = [*self._live, *(waiting for lane in self._all_lanes for waiting in _held(lane))]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(waiting.future for waiting in accepted), return_exceptions=True)
        for waiting in (*accepted, *self._shadow):
            waiting.future.cancel()
        for lane in self._all_lanes:
            lane.thread.shutdown(wait=False, cancel_futures=True)

    def refuse_if_full(self, deadline_s: float) -> None:
        """Raise OverloadedError if a picture that came now would have to wait too long for its turn.

        Raises:
            UnavailableError: if the service is stopping.
        """
        self._refuse_if_draining()
        limit_s = min(self._settings.max_queue_s, deadline_s)
        never_measured = self._seconds_per_picture is None
        if self.waiting_s > limit_s or (never_measured and len(self._live) >= 2 * self._settings.max_batch):
            wait_s = max(1.0, self.waiting_s)
            raise OverloadedError("more requests come than can be answered", retry_after_s=wait_s)

    def _refuse_if_shadow_is_full(self) -> None:
        self._refuse_if_draining()
        if len(self._shadow) >= _MAX_SHADOW:
            raise OverloadedError("too much shadow work waits", retry_after_s=1.0)

    def _refuse_if_draining(self) -> None:
        if self._is_draining:
            raise UnavailableError("the service is stopping")

    def _gather(self) -> None:
        """Start passes: at once, or when the time is over that settings let a batch wait for company."""
        is_alone = 0 < len(self._live) < self._settings.max_batch
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
            while (lane := self._find_lane(role)) and (batch := self._take_batch(role, lane)):
                lane.role = role
                self._start_pass(lane, batch)

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
        if not self._live and not self._shadow:
            return None
        if self._wide:
            if not self._num_passing and len(self._live) < self._num_beside:
                return self._wide
            if self._wide.num_passing and self._wide.role == role:
                return None
        return next((lane for lane in self._lanes if lane.role == role and not lane.num_passing), None)

    def _max_size(self, role: Role, lane: _Lane) -> int:
        """Return how many pictures a pass may hold: lanes side by side share what waits."""
        if lane is self._wide:
            return self._settings.max_batch
        num_free = sum(lane.role == role and not lane.num_passing for lane in self._lanes)
        return math.ceil(min(len(self._live) / num_free, self._settings.max_batch / self._num_beside))

    def _take_batch(self, role: Role, lane: _Lane) -> list[_Waiting]:
        """Take what goes into a role's next pass: pictures of one model, the longest waiting first."""
        now = time.monotonic()
        batch: list[_Waiting] = []
        later: deque[_Waiting] = deque()
        max_size = self._max_size(role, lane)
        while self._live and len(batch) < max_size:
            waiting = self._live.popleft()
            if waiting.is_over(now):
                continue
            fits = waiting.model.role == role and (not batch or waiting.model is batch[0].model)
            (batch if fits else later).append(waiting)
        self._live.extendleft(reversed(later))
        return batch if batch or self._live else self._take_shadow(role, now)

    def _take_shadow(self, role: Role, now: float) -> list[_Waiting]:
        """Take one picture: a live one may come any moment."""
        left = [waiting for waiting in self._shadow if not waiting.is_over(now)]
        chosen = next((waiting for waiting in left if waiting.model.role == role), None)
        self._shadow = deque(waiting for waiting in left if waiting is not chosen)
        return [chosen] if chosen else []

    def _start_pass(self, lane: _Lane, batch: Sequence[_Waiting]) -> None:
        lane.batch = batch
        loop, started = asyncio.get_running_loop(), time.monotonic()
        pixels = [waiting.picture.pixels for waiting in batch]
        work = lane.thread.submit(batch[0].model.predictor.predict, pixels)

        def tell_loop(work: Future[list[Prediction]]) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop has ended
                loop.call_soon_threadsafe(self._end_pass, lane, started, work)

        work.add_done_callback(tell_loop)

    def _end_pass(self, lane: _Lane, started: float, work: Future[list[Prediction]]) -> None:
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
        while lane.again and not lane.batch:
            if not (alone := lane.again.popleft()).future.done():
                self._start_pass(lane, [alone])
        self._gather()
        if not error:
            self._learn(seconds / len(batch) / num_beside)
        # the event loop sends the answers next; they need not wait for this
        asyncio.get_running_loop().call_soon(self._tell_pass, batch, seconds, error)

    def _tell_pass(self, batch: Sequence[_Waiting], seconds: float, error: BaseException | None) -> None:
        if not error:
            model = batch[0].model
            self._observer.batch_ended(
                role=model.role, version=model.served.version, size=len(batch), seconds=seconds
            )
        self._tell_queue()

    def _learn(self, seconds: float) -> None:
        before = self._seconds_per_picture
        self._seconds_per_picture = (
            seconds if before is None else before + _NEWEST_WEIGHT * (seconds - before)
        )

    def _tell_queue(self) -> None:
        self._observer.queue_changed(length=len(self._live), waiting_s=self.waiting_s)


def _held(lane: _Lane) -> Sequence[_Waiting]:
    return [*lane.batch, *lane.again]


def _answer(
    batch: Sequence[_Waiting], predictions: Sequence[Prediction], started: float, seconds: float
) -> None:
    for waiting, prediction in zip(batch, predictions, strict=True):
        stages_s = {"queue": started - waiting.since, "model": seconds}
        if not waiting.future.done():
            waiting.future.set_result(Answer(waiting.model, prediction, None, stages_s, len(batch)))


def _expire(future: asyncio.Future[Answer], deadline_s: float) -> None:
    _fail(future, DeadlineError(f"there was no answer within {deadline_s:g} s"))


def _fail(future: asyncio.Future[Answer], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
