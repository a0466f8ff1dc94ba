"""Freed memory is kept: seen from a process of its own, as it holds for the rest of a process's life."""

from __future__ import annotations

import subprocess
import sys

import pytest

from maskloop.memory import keep_freed_memory

_COUNT_FAULTS = """
import resource, sys
from maskloop.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def use():
    for _ in range(20):
        bytearray(64 * 2**20)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_what_was_freed_is_used_again_without_asking_the_system() -> None:
    kept, given_back = (_count_faults(how) for how in ("keep", "give back"))
    assert kept < given_back / 10


def _count_faults(how: str) -> int:
    command = [sys.executable, "-c", _COUNT_FAULTS, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_where_the_c_library_is_another_one_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
