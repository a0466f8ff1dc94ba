"""Compute threads, each with its own number of cores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Protocol


class Cores(Protocol):
    """The cores that models compute with on this machine."""

    def count(self) -> int:
        """Return how many there are; 1 where an accelerator computes."""
        ...

    def use(self, count: int) -> None:
        """Set the number of cores for the computations of the calling thread."""
        ...


class OneCore:
    """Where the number does not matter."""

    def count(self) -> int:
        """Return 1."""
        return 1

    def use(self, count: int) -> None:
        """Do nothing."""


def open_thread(name: str, cores: Cores, count: int) -> ThreadPoolExecutor:
    """Return one thread that computes with so many cores."""
    return ThreadPoolExecutor(1, name, initializer=cores.use, initargs=(count,))
