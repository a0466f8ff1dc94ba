"""Memory of a process that works on one picture after the other."""

from __future__ import annotations

import atexit
import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_MADV_COLLAPSE: Final = 25
_KEPT_BYTES: Final = 2**30
_LARGE_PAGES: Final = Path("/sys/kernel/mm/transparent_hugepage")


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python from looking for cycles while very many objects are made; also a decorator.

    It looks at all objects again and again while their number grows: that was more than half of the time to
    read the catalog of 20,000 pictures. Everything without cycles is freed as always.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def keep_freed_memory() -> bool:
    """Let this process keep up to 1 GiB that it has freed for what it needs next; tells whether it can.

    By default glibc gives large blocks back to the system at once, and the system clears every page before it
    hands it out again: decoding a photograph of 512 px took 3.9 ms instead of 1.1 ms, most of it in page
    faults. Threads share one arena, since what one has freed the other cannot use otherwise. Nothing happens
    where the C library is another one. Parameters: mallopt(3).
    """
    mallopt = _c_function("mallopt")
    if mallopt is None:
        return False
    wanted = {_M_ARENA_MAX: 1, _M_TRIM_THRESHOLD: _KEPT_BYTES, _M_MMAP_THRESHOLD: _KEPT_BYTES}
    return all(mallopt(parameter, value) for parameter, value in wanted.items())


def give_freed_memory_back() -> bool:
    """Give all that this process has freed back to the system now; tells whether there was any.

    `keep_freed_memory` keeps it for what is needed next. After a whole model has gone that is nothing soon.
    Nothing happens where the C library is another one (malloc_trim(3)).
    """
    trim = _c_function("malloc_trim")
    return trim is not None and bool(trim(0))


def use_large_pages() -> int:
    """Put what this process has in memory onto large pages; returns how many stretches of it were.

    While a service waits for a picture, others use the cores, and where its pages lie is forgotten. Of a
    process with 4 KiB pages that is much: a pass of a small network took 0.3 ms of 12 less with pages of
    2 MiB. Takes about 3 ms for each MiB that is not on one yet. Nothing happens where the system cannot do it
    (madvise(2), MADV_COLLAPSE, Linux 6.1) or an administrator has switched large pages off.
    """
    madvise = _c_function("madvise")
    try:
        page_bytes = int((_LARGE_PAGES / "hpage_pmd_size").read_text())
        is_off = "[never]" in (_LARGE_PAGES / "enabled").read_text()
        mappings = Path("/proc/self/maps").read_text().splitlines()
    except (OSError, ValueError):
        return 0
    if madvise is None or is_off:
        return 0
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    stretches = [_whole_pages(mapping, page_bytes) for mapping in mappings if _is_own_data(mapping)]
    return sum(madvise(start, size, _MADV_COLLAPSE) == 0 for start, size in stretches if size)


@cache
def spare_the_collector() -> None:
    """Let the garbage collector pass over everything that is there now; only the first call does anything.

    Modules and models stay; looking through them took a tenth of what a service computes besides its model.
    What is spared still goes when its last reference does; only rings of references stay, until the process
    ends. Then all is looked at again: libraries that count what is left of them (nanobind, below triton)
    would otherwise report every one of their types and functions as leaked.
    """
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)


def _is_own_data(mapping: str) -> bool:
    """Tell whether a line of /proc/PID/maps (proc(5)) is memory of no file that may be written."""
    _, access, _, _, inode, *name = mapping.split()
    return access.startswith("rw") and inode == "0" and name in ([], ["[heap]"])


def _whole_pages(mapping: str, page_bytes: int) -> tuple[int, int]:
    """Return start and size of the part of a mapping that is whole large pages; size 0 for none."""
    first, last = (int(address, 16) for address in mapping.split()[0].split("-"))
    start = -(-first // page_bytes) * page_bytes
    return start, max(0, last // page_bytes * page_bytes - start)


def _c_function(name: str) -> Any:
    """Return a function of the C library, or None where it lacks it."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), name, None)
