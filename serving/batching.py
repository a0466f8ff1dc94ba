"""Pictures that come at the same time share a pass of the model.

While the model is busy the next batch gathers by itself; an idle model waits for company only if settings
say so. The queue is bounded by the time a request would wait, so that overload is said at once instead of
suffered. Work in the shadow (the other model of a rollout) begins only while nobody waits for an answer.

Champion and challenger have a thread each: a challenger that hangs keeps only its own requests waiting, and
those are answered by the champion in the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from maskloop.errors import DeadlineError, OverloadedError, UnavailableError
from maskloop.settings import ServingSettings
from serving.answers import Answer, HostedModel, Picture, Role
from serving.observing import Observer

if TYPE_CHECKING:
    from models.predict import Prediction

_NEWEST_WEIGHT: Final = 0.2
"""Of the latest pass in the running average of seconds per picture."""
_MAX_SHADOW: Final = 32


@dataclass(eq=False)
class _Waiting:
    model: HostedModel
    picture: Picture
    future: asyncio.Future[Answer]
    since: float
    expires_at: float

    def is_over(self, now: float) -> bool:
        return self.future.done() or now >= self.expires_at


@dataclass(eq=False)
class _Lane:
    """Where one role's model runs, one pass at a time."""

    role: Role
    thread: ThreadPoolExecutor
    num_passing: int = 0
    task: asyncio.Task[None] | None = None


class MicroBatcher:
    """Runs models, one pass of each role at a time, on threads of its own. Belongs to one event loop.

    Args:
        settings: ``max_batch``, ``batch_wait_ms``, ``max_queue_s``.
        observer: Is told about passes and the queue.
    """

    def __init__(self, settings: ServingSettings, observer: Observer) -> None:
        self._settings, self._observer = settings, observer
        self._live: deque[_Waiting] = deque()
        self._shadow: deque[_Waiting] = deque()
        roles: tuple[Role, ...] = ("champion", "challenger")
        self._lanes = [_Lane(role, ThreadPoolExecutor(1, thread_name_prefix=role)) for role in roles]
        self._seconds_per_picture: float | None = None
        self._something_waits = asyncio.Event()
        self._is_draining = False
        self._runner: asyncio.Task[None] | None = None

    @property
    def waiting_s(self) -> float:
        """About how long a new picture would wait for its turn."""
        return (len(self._live) + self._num_passing) * (self._seconds_per_picture or 0.0)

    @property
    def _num_passing(self) -> int:
        return sum(lane.num_passing for lane in self._lanes)

    async def submit(
        self, model: HostedModel, picture: Picture, *, deadline_s: float, shadow: bool = False
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
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        now = time.monotonic()
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        (self._shadow if shadow else self._live).append(
            _Waiting(model, picture, future, now, now + deadline_s)
        )
        self._tell_queue()
        self._something_waits.set()
        try:
            async with asyncio.timeout(deadline_s):
                return await future
        except TimeoutError as error:
            raise DeadlineError(f"there was no answer within {deadline_s:g} s") from error

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing more, answer what was accepted, and stop."""
        self._is_draining = True
        for waiting in self._shadow:
            waiting.future.cancel()
        open_futures = [waiting.future for waiting in self._live]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*open_futures, return_exceptions=True)
                await asyncio.gather(*(lane.task for lane in self._lanes if lane.task))
        tasks = [task for task in (self._runner, *(lane.task for lane in self._lanes)) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for waiting in (*self._live, *self._shadow):
            waiting.future.cancel()
        for lane in self._lanes:
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

    async def _run(self) -> None:
        while True:
            await self._something_waits.wait()
            if self._live and len(self._live) < self._settings.max_batch and self._settings.batch_wait_ms:
                await asyncio.sleep(self._settings.batch_wait_ms / 1000)
            self._something_waits.clear()
            for lane in self._lanes:
                if not lane.num_passing and (batch := self._take_batch(lane.role)):
                    lane.num_passing = len(batch)
                    lane.task = asyncio.create_task(self._pass(lane, batch))

    async def _pass(self, lane: _Lane, batch: Sequence[_Waiting]) -> None:
        await self._answer(lane, batch)
        lane.num_passing = 0
        self._tell_queue()
        self._something_waits.set()

    def _take_batch(self, role: Role) -> list[_Waiting]:
        """Take what goes into a role's next pass: pictures of one model, the longest waiting first."""
        now = time.monotonic()
        batch: list[_Waiting] = []
        later: deque[_Waiting] = deque()
        while self._live and len(batch) < self._settings.max_batch:
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

    async def _answer(self, lane: _Lane, batch: Sequence[_Waiting]) -> None:
        started = time.monotonic()
        try:
            pictures = [waiting.picture for waiting in batch]
            predictions = await self._predict(lane, pictures, batch[0].model)
        except Exception as error:  # noqa: BLE001 - whatever a model raises belongs to whoever asked
            if len(batch) == 1:
                _fail(batch[0].future, error)
                return
            for waiting in batch:  # one bad picture costs only itself
                await self._answer(lane, [waiting])
            return
        seconds = time.monotonic() - started
        self._learn(seconds / len(batch))
        model = batch[0].model
        self._observer.batch_ended(
            role=model.role, version=model.served.version, size=len(batch), seconds=seconds
        )
        for waiting, prediction in zip(batch, predictions, strict=True):
            stages_s = {"queue": started - waiting.since, "model": seconds}
            if not waiting.future.done():
                waiting.future.set_result(Answer(model, prediction, None, stages_s, len(batch)))

    async def _predict(
        self, lane: _Lane, pictures: Sequence[Picture], model: HostedModel
    ) -> list[Prediction]:
        loop = asyncio.get_running_loop()
        pixels = [picture.pixels for picture in pictures]
        return await loop.run_in_executor(lane.thread, model.predictor.predict, pixels)

    def _learn(self, seconds: float) -> None:
        before = self._seconds_per_picture
        self._seconds_per_picture = (
            seconds if before is None else before + _NEWEST_WEIGHT * (seconds - before)
        )

    def _tell_queue(self) -> None:
        self._observer.queue_changed(length=len(self._live), waiting_s=self.waiting_s)


def _fail(future: asyncio.Future[Answer], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
