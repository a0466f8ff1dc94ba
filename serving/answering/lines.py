"""Who waits for which model, and whose turn it is: each served model has a line of its own.

Lines that wait at the same time get the same time on the cores, however many pictures one of them holds: the
line that has begun at the smallest virtual time is next (start-time fair queueing: Goyal, Vin and Cheng,
SIGCOMM 1996). So the clients of one model cannot make those of another one wait longer than a pass or two.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from maskloop.errors import DeadlineError, OverloadedError, UnavailableError
from maskloop.settings.workspace_settings import ServingSettings
from serving.answers import Answer, HostedModel, RequestPicture, Role
from serving.observing import Observer

_NEWEST_WEIGHT: Final = 0.2
"""Weight of the latest pass in the moving average of seconds per picture."""
_MAX_SHADOW: Final = 32


@dataclass(eq=False)
class Waiting:
    """One picture that waits for a model, or is in a pass."""

    model: HostedModel
    picture: RequestPicture
    future: asyncio.Future[Answer]
    since: float
    expires_at: float

    def is_over(self, now: float) -> bool:
        """Nobody waits for the answer any more."""
        return self.future.done() or now >= self.expires_at


def choose_next(finished_s: Mapping[int, float]) -> int | None:
    """Return which line is next, of those that wait: the one with the smallest virtual time.

    Args:
        finished_s: By number of a line, the virtual time at which its last pass was over, in seconds.

    >>> choose_next({0: 4.0, 1: 2.5, 2: 2.5}), choose_next({})
    (1, None)
    """
    return min(finished_s, key=lambda number: (finished_s[number], number), default=None)


def estimate_wait_s(own_s: float, one_s: float, others_s: Sequence[float]) -> float:
    """Return about how long a new picture waits for its turn, in seconds.

    Args:
        own_s: What is before it in its own line.
        one_s: What it takes itself.
        others_s: What each other line holds. It gets no more time than this line meanwhile.

    >>> estimate_wait_s(2.0, 0.5, []), estimate_wait_s(0.0, 0.5, [60.0]), estimate_wait_s(2.0, 0.5, [1.0])
    (2.0, 0.5, 3.0)
    """
    return own_s + sum(min(other_s, own_s + one_s) for other_s in others_s)


class Line:
    """The pictures that wait for one served model, champion and challenger alike. Belongs to one event loop.

    Args:
        settings: ``max_batch``, ``max_queue_s``.
        observer: Is told about this line's passes and its length.
        changed: Is called when a picture has come.
        others_s: Returns what each other line holds, in seconds.
    """

    def __init__(
        self,
        settings: ServingSettings,
        observer: Observer,
        *,
        changed: Callable[[], None],
        others_s: Callable[[], Sequence[float]],
    ) -> None:
        self._settings, self.observer = settings, observer
        self._changed, self._others_s = changed, others_s
        self.live: deque[Waiting] = deque()
        self.shadow: deque[Waiting] = deque()
        self.num_passing, self.finished_s = 0, 0.0
        self.seconds_per_picture: float | None = None
        self.is_draining = False

    @property
    def backlog_s(self) -> float:
        """What waits here or is being computed would take so long."""
        return (len(self.live) + self.num_passing) * (self.seconds_per_picture or 0.0)

    @property
    def waiting_s(self) -> float:
        """About how long a new picture would wait for its turn."""
        return estimate_wait_s(self.backlog_s, self.seconds_per_picture or 0.0, self._others_s())

    async def submit(
        self, model: HostedModel, picture: RequestPicture, *, deadline_s: float, shadow: bool = False
    ) -> Answer:
        """Answer one picture. Cancelled while it waits, it costs nothing.

        Args:
            model: Who shall answer.
            picture: What it is asked about.
            deadline_s: From now; an answer that comes later is none.
            shadow: Nobody waits for the answer: live pictures of every line go first.

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
        now, loop = time.monotonic(), asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        (self.shadow if shadow else self.live).append(Waiting(model, picture, future, now, now + deadline_s))
        self.tell()
        timer = loop.call_later(deadline_s, _expire, future, deadline_s)
        self._changed()
        try:
            return await future
        finally:
            timer.cancel()

    def refuse_if_full(self, deadline_s: float) -> None:
        """Raise OverloadedError if a picture that came now would have to wait too long for its turn.

        Raises:
            UnavailableError: if the service is stopping.
        """
        self._refuse_if_draining()
        limit_s = min(self._settings.max_queue_s, deadline_s)
        never_measured = self.seconds_per_picture is None
        waiting_s = self.waiting_s
        if waiting_s > limit_s or (never_measured and len(self.live) >= 2 * self._settings.max_batch):
            raise OverloadedError(
                "more requests come than can be answered", retry_after_s=max(1.0, waiting_s)
            )

    def holds(self, role: Role) -> bool:
        """Tell whether a live picture waits for this role."""
        return any(waiting.model.role == role for waiting in self.live)

    def holds_shadow(self, role: Role) -> bool:
        """The same for shadow work."""
        return any(waiting.model.role == role for waiting in self.shadow)

    def take(self, role: Role, max_size: int) -> list[Waiting]:
        """Take what goes into a role's next pass: pictures of one model, the longest waiting first."""
        now = time.monotonic()
        batch: list[Waiting] = []
        later: deque[Waiting] = deque()
        while self.live and len(batch) < max_size:
            waiting = self.live.popleft()
            if waiting.is_over(now):
                continue
            fits = waiting.model.role == role and (not batch or waiting.model is batch[0].model)
            (batch if fits else later).append(waiting)
        self.live.extendleft(reversed(later))
        return batch

    def take_shadow(self, role: Role) -> list[Waiting]:
        """Take one picture: a live one may come any moment."""
        now = time.monotonic()
        left = [waiting for waiting in self.shadow if not waiting.is_over(now)]
        chosen = next((waiting for waiting in left if waiting.model.role == role), None)
        self.shadow = deque(waiting for waiting in left if waiting is not chosen)
        return [chosen] if chosen else []

    def learn(self, seconds: float) -> None:
        """Remember what a picture took."""
        before = self.seconds_per_picture
        self.seconds_per_picture = seconds if before is None else before + _NEWEST_WEIGHT * (seconds - before)

    def tell(self) -> None:
        """Tell the observer how many wait, and how long."""
        self.observer.queue_changed(length=len(self.live), waiting_s=self.waiting_s)

    def _refuse_if_shadow_is_full(self) -> None:
        self._refuse_if_draining()
        if len(self.shadow) >= _MAX_SHADOW:
            raise OverloadedError("too much shadow work waits", retry_after_s=1.0)

    def _refuse_if_draining(self) -> None:
        if self.is_draining:
            raise UnavailableError("the service is stopping")


def _expire(future: asyncio.Future[Answer], deadline_s: float) -> None:
    if not future.done():
        future.set_exception(DeadlineError(f"there was no answer within {deadline_s:g} s"))
