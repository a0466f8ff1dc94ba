"""The next pictures are read while the model answers the last ones."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Read = TypeVar("_Read")


def read_ahead(reads: Iterable[Callable[[], _Read]]) -> Generator[_Read, None, None]:
    """Yield what each reading returns; the next one is done while the last is worked on.

    Close it if it is left early: then no reading goes on.
    """
    with ThreadPoolExecutor(1) as reader:
        waiting: Future[_Read] | None = None
        for read in reads:
            ready, waiting = waiting, reader.submit(read)
            if ready is not None:
                yield ready.result()
        if waiting is not None:
            yield waiting.result()
