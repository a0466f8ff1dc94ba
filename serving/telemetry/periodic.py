"""Something that is done again and again in the background, and never stops the service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from maskloop.errors import MaskloopError

_log = logging.getLogger("maskloop.serving")


async def repeat(name: str, work: Callable[[], Awaitable[None]], *, every_s: float) -> None:
    """Repeat ``work`` with a pause until cancelled. A repeated error is logged once, not every time."""
    trouble = ""
    while True:
        try:
            await work()
            now = ""
        except MaskloopError as error:
            now = str(error)
        except Exception as error:  # noqa: BLE001 - the service outlives its background work
            now = f"{type(error).__name__}: {error}"
            if now != trouble:
                _log.exception("%s failed", name)
        if now != trouble:
            _log.warning("%s: %s", name, now or "works again")
        trouble = now
        await asyncio.sleep(every_s)


def in_thread(call: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    """Turn a blocking call into work for `repeat`."""

    async def work() -> None:
        await asyncio.to_thread(call)

    return work


@contextlib.asynccontextmanager
async def running(*jobs: Awaitable[None]) -> AsyncIterator[None]:
    """Run jobs beside the body and cancel them after it."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
