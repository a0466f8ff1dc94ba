"""The memory of all models of a process, and each model's place in it: requests wait here until it is loaded.

Everything happens on one event loop, so that no lock is needed. `serving.residency.room` has the decisions.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal, Protocol

from maskloop.errors import OverloadedError, RefusedError, UnavailableError
from serving.access.limits import RateLimitedError
from serving.residency.room import Decision, Need, Resident, decide_entry, decide_room

MIB: Final = 2**20
_UNLIMITED: Final = 2**62
_MAX_WAITING: Final = 64
"""Requests that wait for one model to be loaded; each holds its picture in memory."""


class NoRoomError(OverloadedError):
    """A model does not fit beside those that are loaded, and none is to be unloaded for it."""


class QuotaError(RateLimitedError):
    """A model has as many requests in flight as it may have; other models are not affected."""


class Loads(Protocol):
    """What loads and unloads one model: `serving.answering.hosting.ModelHost`."""

    @property
    def is_ready(self) -> bool:
        """It is loaded."""
        ...

    @property
    def is_asleep(self) -> bool:
        """It is not loaded, because the memory is others' at the moment."""
        ...

    @property
    def problem(self) -> str:
        """Why it cannot be loaded; empty if it can."""
        ...

    async def wake(self) -> None:
        """Load it, others being unloaded if need be; errors are kept as ``problem``."""
        ...

    def unload(self) -> None:
        """Let it go until it is asked for again."""
        ...


class Lease:
    """Memory that one loaded model takes, until nobody holds the model any more.

    Args:
        num_bytes: So much.
        freed: Is called once, on the event loop, when it is free again.
    """

    def __init__(self, num_bytes: int, freed: Callable[[Lease], None]) -> None:
        self.num_bytes, self._freed = num_bytes, freed
        self.state: Literal["loading", "kept", "leaving", "over"] = "loading"
        self._holder: weakref.ref[object] | None = None

    def hold(self, holder: object) -> None:
        """Take the memory for as long as this object lives: a request may outlast its champion."""
        loop = asyncio.get_running_loop()

        def over() -> None:  # in whichever thread held it last
            with contextlib.suppress(RuntimeError):  # the event loop has ended
                loop.call_soon_threadsafe(self.end)

        self.state, self._holder = "kept", weakref.ref(holder)
        weakref.finalize(holder, over).atexit = False

    def is_of(self, holder: object) -> bool:
        """Tell whether this object holds it."""
        return self._holder is not None and self._holder() is holder

    def let_go(self) -> None:
        """It serves no more, and is free as soon as the last request is answered."""
        if self.state == "kept":
            self.state = "leaving"

    def end(self) -> None:
        """It is free."""
        if self.state != "over":
            self.state = "over"
            self._freed(self)


class Memory:
    """The memory of all models of one process.

    Args:
        budget_mib: Models may take so much together; 0: any.
        keep_s: A busy model stays for so long before another one may take its place.
        give_back: Is called in a thread after a model has gone.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        budget_mib: float = 0.0,
        *,
        keep_s: float = 10.0,
        give_back: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget_bytes = int(budget_mib * MIB) or _UNLIMITED
        self._keep_s, self._give_back, self.clock = keep_s, give_back, clock
        self._places: list[Place] = []
        self._needs: list[Need] = []
        self._watching: list[asyncio.Future[None]] = []

    def open_place(self, name: str, *, max_in_flight: int = 0, wait_s: float = 10.0) -> Place:
        """Return the place of one model.

        Args:
            name: Of the model.
            max_in_flight: Requests that it may have at once; 0: any number.
            wait_s: A request waits for its model to be loaded no longer than this.
        """
        place = Place(name, self, max_in_flight=max_in_flight, wait_s=wait_s)
        self._places.append(place)
        return place

    def refuse_if_too_large(self, name: str, num_bytes: int) -> None:
        """Raise RefusedError if a model alone is more than the budget."""
        if num_bytes > self.budget_bytes:
            raise RefusedError(
                f"{name} takes {num_bytes / MIB:.0f} MiB, and all models of a worker together may take "
                f"{self.budget_bytes / MIB:.0f} MiB",
                hint="raise serving.memory_mib, which is for all workers together, or have fewer workers",
            )

    async def reserve(self, need: Need, place: Place) -> Lease:
        """Return the memory, once there is room: needs are met in the order in which they came.

        Raises:
            RefusedError: if it is more than the budget.
            NoRoomError: if there is none, and nothing may be unloaded for it that would suffice.
        """
        self.refuse_if_too_large(need.name, need.num_bytes)
        closed: list[Place] = []
        self._needs.append(need)
        try:
            while (decision := self._decide(need)).outcome != "grant":
                if decision.outcome == "refuse":
                    raise NoRoomError(f"there is no room for {need.name}", retry_after_s=1.0)
                self._make_room(decision, closed)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(decision.again_in_s):
                        await self.wait_for_change()
            return place.take(need.num_bytes)
        finally:
            self._needs.remove(need)
            for other in closed:
                other.is_closing = False
            self.tell()

    async def wait_for_change(self) -> None:
        """Wait until a place or a need has changed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watching.append(future)
        await future

    def tell(self) -> None:
        """Let those that wait for a change look again."""
        watching, self._watching = self._watching, []
        for future in watching:
            if not future.done():
                future.set_result(None)

    def went(self) -> None:
        """A model has gone."""
        self.tell()
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            asyncio.get_running_loop().run_in_executor(None, self._give_back)

    def _decide(self, need: Need) -> Decision:
        if self._needs[0] is not need:  # whoever came first is served first
            return Decision("wait" if need.may_displace else "refuse")
        residents = [place.describe() for place in self._places]
        return decide_room(
            need, residents, budget_bytes=self.budget_bytes, keep_s=self._keep_s, now_s=self.clock()
        )

    def _make_room(self, decision: Decision, closed: list[Place]) -> None:
        for place in self._places:
            if place.name in decision.close:
                place.is_closing = True
                closed.append(place)
            if place.name in decision.unload:
                place.unload()


class Place:
    """One model's place: it knows who uses the model now, and lets requests in once it is loaded.

    Made by `Memory.open_place`; `attach` says what loads the model.
    """

    def __init__(self, name: str, memory: Memory, *, max_in_flight: int, wait_s: float) -> None:
        self.name, self._memory = name, memory
        self.max_in_flight, self._wait_s = max_in_flight, wait_s
        self.num_in_flight = self.num_using = 0
        self.last_used_s = self.loaded_s = memory.clock()
        self.load_s = 1.0
        self.is_closing = False
        self._leases: list[Lease] = []
        self._loader: Loads | None = None
        self._opening: asyncio.Task[None] | None = None
        self._is_over = False

    def attach(self, loader: Loads) -> None:
        """Say what loads the model."""
        self._loader = loader

    @property
    def num_bytes(self) -> int:
        """Memory that counts against the budget."""
        return self.describe().all_bytes

    @asynccontextmanager
    async def use(self) -> AsyncIterator[None]:
        """Hold the model in memory while the body runs, having waited for it to be loaded.

        Raises:
            QuotaError: if so many requests of this model are in flight already.
            OverloadedError: if too many wait for it to be loaded, or that takes too long.
            UnavailableError: if it cannot be loaded.
        """
        if not decide_entry(self.num_in_flight, self.max_in_flight):
            raise QuotaError(f"{self.max_in_flight} requests of {self.name} are in flight", retry_after_s=1.0)
        self.num_in_flight += 1
        try:
            while not self._is_open:
                await self._wait_until_open()
            self.num_using += 1
            try:
                yield
            finally:
                self.num_using -= 1
                self.last_used_s = self._memory.clock()
                if self.is_closing:
                    self._memory.tell()
        finally:
            self.num_in_flight -= 1

    async def reserve(self, num_bytes: int, *, may_displace: bool, may_replace_itself: bool = False) -> Lease:
        """Return memory for something that this model loads; raises what `Memory.reserve` does."""
        need = Need(self.name, num_bytes, may_displace, may_replace_itself)
        return await self._memory.reserve(need, self)

    def take(self, num_bytes: int) -> Lease:
        """Take memory that was granted."""
        lease = Lease(num_bytes, self._end)
        self._leases.append(lease)
        return lease

    def mark_loaded(self) -> None:
        """Remember that the model is loaded from now on."""
        self.loaded_s = self.last_used_s = self._memory.clock()

    def keep_only(self, holders: Sequence[object]) -> None:
        """Say what serves from now on; everything else goes with its last request."""
        for lease in self._leases:
            if not any(lease.is_of(holder) for holder in holders):
                lease.let_go()
        self._memory.tell()

    def close(self) -> None:
        """Load nothing more: the service is stopping."""
        self._is_over = True
        if self._opening is not None:
            self._opening.cancel()

    def unload(self) -> None:
        """Let the model go, which nobody uses."""
        if self._loader is not None:
            self._loader.unload()

    def describe(self) -> Resident:
        """Return this place as a frozen value."""
        by_state = {"kept": 0, "loading": 0, "leaving": 0}
        for lease in self._leases:
            by_state[lease.state] += lease.num_bytes
        return Resident(
            self.name,
            kept_bytes=by_state["kept"],
            loading_bytes=by_state["loading"],
            leaving_bytes=by_state["leaving"],
            num_using=self.num_using,
            last_used_s=self.last_used_s,
            loaded_s=self.loaded_s,
            is_closing=self.is_closing,
        )

    @property
    def _is_open(self) -> bool:
        """Whoever comes may go on: the model is there, or cannot be, or not yet, and says why."""
        loader = self._loader
        if loader is None:
            return True
        return not (self.is_closing if loader.is_ready else loader.is_asleep)

    async def _wait_until_open(self) -> None:
        if self._is_over:
            raise UnavailableError("the service is stopping")
        num_waiting = self.num_in_flight - self.num_using
        if num_waiting > _MAX_WAITING:
            raise OverloadedError(
                f"{self.name} is being loaded, and enough requests wait for it", retry_after_s=self.load_s
            )
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(_heed)
        try:
            async with asyncio.timeout(self._wait_s):
                await asyncio.shield(self._opening)
        except TimeoutError as error:
            raise OverloadedError(
                f"{self.name} is being loaded, which takes longer than {self._wait_s:g} s",
                retry_after_s=max(1.0, self.load_s),
            ) from error
        except asyncio.CancelledError as error:
            if self._opening.cancelled():
                raise UnavailableError("the service is stopping") from error
            raise

    async def _open(self) -> None:
        """Load the model, once for all that wait for it."""
        loader = self._loader
        assert loader is not None  # noqa: S101 - nobody waits without one
        while not self._is_open:
            if self.is_closing:
                await self._memory.wait_for_change()
                continue
            await loader.wake()
            if loader.is_asleep:
                raise UnavailableError(f"the service is not ready: {loader.problem or 'there is no room'}")

    def _end(self, lease: Lease) -> None:
        self._leases.remove(lease)
        self._memory.went()


def _heed(task: asyncio.Task[None]) -> None:
    """Take note of an error that nobody may be waiting for any more."""
    if not task.cancelled():
        task.exception()
