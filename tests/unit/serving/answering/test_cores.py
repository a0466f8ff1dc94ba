"""Threads that compute: each sets its own number of cores once, before its first work."""

from __future__ import annotations

import threading

from serving.answering.cores import OneCore, open_thread


class SetCores:
    """Remembers which thread asked for how many cores."""

    def __init__(self) -> None:
        self.set: list[tuple[str, int]] = []

    def count(self) -> int:
        return 8

    def use(self, count: int) -> None:
        self.set.append((threading.current_thread().name, count))


def name_of_thread() -> str:
    return threading.current_thread().name


def test_a_thread_sets_its_cores_once_and_does_all_its_work_itself() -> None:
    cores = SetCores()
    with open_thread("champion", cores, 3) as thread:
        names = [thread.submit(name_of_thread).result() for _ in range(3)]

    assert names == ["champion_0"] * 3
    assert cores.set == [("champion_0", 3)]


def test_each_thread_has_a_number_of_cores_of_its_own() -> None:
    cores = SetCores()
    with open_thread("wide", cores, 4) as wide, open_thread("narrow", cores, 1) as narrow:
        assert wide.submit(name_of_thread).result() == "wide_0"
        assert narrow.submit(name_of_thread).result() == "narrow_0"

    assert dict(cores.set) == {"wide_0": 4, "narrow_0": 1}
    assert threading.current_thread().name not in dict(cores.set), "the thread that opens them keeps its own"


def test_work_is_done_in_the_order_it_was_given() -> None:
    done: list[int] = []
    with open_thread("champion", OneCore(), 1) as thread:
        for number in range(50):
            thread.submit(done.append, number)

    assert done == list(range(50))


def test_where_an_accelerator_computes_there_is_one_core_whatever_is_asked_for() -> None:
    cores = OneCore()
    cores.use(16)
    assert cores.count() == 1
