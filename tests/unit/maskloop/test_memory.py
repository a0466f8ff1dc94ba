"""Memory is kept and laid onto large pages: seen from processes of their own, as it holds for their life."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from maskloop import memory
from maskloop.memory import keep_freed_memory, use_large_pages

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


_WATCH_THE_COLLECTOR = """
import gc
from maskloop.memory import spare_the_collector
class Ring:
    def __init__(self):
        self.itself = self
spared = Ring()
spare_the_collector()
before = len(gc.get_objects())
later = Ring()
spare_the_collector()
looked_at = {id(one) for one in gc.get_objects()}
print(before < 100, id(spared) in looked_at, id(later) in looked_at)
"""


def test_the_collector_passes_over_what_was_there_and_over_nothing_that_comes_later() -> None:
    command = [sys.executable, "-c", _WATCH_THE_COLLECTOR]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert told == ["True", "False", "True"]


_END_WITH_A_RING = """
from maskloop.memory import spare_the_collector
class Ring:
    def __init__(self):
        self.itself = self
    def __del__(self):
        print("freed", flush=True)
ring = Ring()
spare_the_collector()
del ring
print("spared", flush=True)
"""


def test_what_was_spared_is_freed_when_the_process_ends() -> None:
    """Else libraries that count what is left of them report it as leaked, over thirty lines."""
    command = [sys.executable, "-c", _END_WITH_A_RING]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert told == ["spared", "freed"]


_COUNT_LARGE_PAGES = """
import re
from pathlib import Path
from maskloop.memory import use_large_pages
def large_kb():
    return int(re.search(r"AnonHugePages: *([0-9]+)", Path("/proc/self/smaps_rollup").read_text())[1])
block = bytearray(b"x" * 32 * 2**20)
before = large_kb()
use_large_pages()
print(large_kb() - before, block == b"x" * len(block))
"""


@pytest.mark.skipif(use_large_pages() == 0, reason="this system has no large pages to give")
def test_memory_is_put_onto_large_pages_and_stays_what_it_was() -> None:
    command = [sys.executable, "-c", _COUNT_LARGE_PAGES]
    added_kb, is_same = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(added_kb) >= 28 * 1024
    assert is_same == "True"


def test_only_whole_large_pages_of_own_data_are_touched() -> None:
    heap = "55d0c0100000-55d0c0900000 rw-p 00000000 00:00 0                          [heap]"
    assert memory._is_own_data(heap)
    assert memory._whole_pages(heap, 0x200000) == (0x55D0C0200000, 0x600000)
    assert memory._whole_pages("7f0000100000-7f0000300000 rw-p 0 00:00 0", 0x200000)[1] == 0
    for other in ("r--p 00000000 00:00 0", "rw-p 00000000 fe:00 77 /a file", "rw-p 00000000 00:00 0 [stack]"):
        assert not memory._is_own_data(f"7f0000000000-7f0000900000 {other}")


def test_an_administrator_may_switch_large_pages_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hpage_pmd_size").write_text("2097152\n")
    (tmp_path / "enabled").write_text("always madvise [never]\n")
    monkeypatch.setattr(memory, "_LARGE_PAGES", tmp_path)
    assert use_large_pages() == 0


def test_where_the_system_is_another_one_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
    assert use_large_pages() == 0
