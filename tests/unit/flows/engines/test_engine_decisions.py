"""A service that ended with an engine in use: what the next start makes of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from flows.engines.engine_decisions import EngineDecisions
from tests.fakes.engine_shelf import FAST, Shelf

SEGFAULT = "Fatal Python error: Segmentation fault\n\nCurrent thread 0x00007f (most recent call first):\n"


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_an_engine_in_use_when_the_service_crashed_is_left_for_torch_and_the_trace_is_kept(
    shelf: Shelf,
) -> None:
    book, predictor = shelf.serve()
    assert predictor is not None
    shelf.elapsed_s = 1e6  # a crash is one however late
    book.find(shelf.served)
    shelf.end(SEGFAULT)
    for failures in ([("openvino", "crash")], []):  # told once, and in force ever after
        shelf.observer.failures.clear()
        book, predictor = shelf.serve()
        assert predictor is None
        choice = book.find(shelf.served)
        assert choice is not None
        assert (choice.engine, choice.ended) == ("torch", "openvino")
        assert (
            'openvino was in use when the service ended on 2026-12-01 with "Segmentation fault"'
            in choice.reason
        )
        assert choice.trials == (FAST,)
        assert shelf.observer.failures == failures
        book.close()
    (trace,) = shelf.directory.glob("*/*-crash.txt")
    assert trace.read_text() == SEGFAULT
    assert not list(shelf.directory.glob("*/*-openvino"))
    assert not list(shelf.directory.glob("*.in-use"))


@pytest.mark.parametrize("change", ["version", "command"])
def test_an_engine_that_crashed_is_tried_again_with_another_version_or_when_somebody_asks(
    shelf: Shelf, change: str
) -> None:
    shelf.serve()
    shelf.end(SEGFAULT)
    book, predictor = shelf.serve()
    assert predictor is None
    book.close()
    if change == "version":
        shelf.engines.versions = {"torch": "2", "openvino": "2"}
    else:
        assert [choice.ended for choice in EngineDecisions(shelf.directory).forget_ends()] == ["openvino"]
    book, predictor = shelf.serve()
    assert predictor is not None
    book.close()


def test_a_service_that_was_killed_goes_on_with_its_engine_until_it_happens_three_times_and_then_for_a_day(
    shelf: Shelf,
) -> None:
    loaded = []
    for _ in range(3):
        book, predictor = shelf.serve()
        loaded.append(predictor is not None)
        shelf.end()
    book, predictor = shelf.serve()
    loaded.append(predictor is not None)
    choice = book.find(shelf.served)
    assert choice is not None
    assert choice.reason == (
        "the service was killed 3 times in a row soon after openvino was loaded; "
        "it is tried again after 2026-12-02 00:00 UTC"
    )
    book.close()
    shelf.now += timedelta(days=1)
    book, predictor = shelf.serve()
    assert [*loaded, predictor is not None] == [True, True, True, False, True]
    assert len(shelf.engines.tried) == 2
    book.close()


@pytest.mark.parametrize("between", ["a clean stop", "ten minutes"])
def test_kills_with_a_clean_stop_or_ten_minutes_of_use_between_them_never_add_up(
    shelf: Shelf, between: str
) -> None:
    for _ in range(3):
        for _ in range(2):
            shelf.serve()
            shelf.end()
        book, predictor = shelf.serve()
        assert predictor is not None
        if between == "a clean stop":
            book.close()
        else:
            shelf.elapsed_s += 601.0
            book.find(shelf.served)
            shelf.end()  # so late it says nothing about the engine
    assert shelf.observer.failures == []


def test_workers_that_were_killed_together_count_as_one_end(shelf: Shelf) -> None:
    shelf.serve()
    (file,) = shelf.directory.glob("*.in-use")
    for name in ("b", "c", "d"):
        (shelf.directory / f"{name}.in-use").write_text(file.read_text())
    shelf.journal.release()
    book, predictor = shelf.serve()
    assert predictor is not None
    book.close()


def test_a_crash_after_a_model_was_replaced_is_not_held_against_that_models_engine(shelf: Shelf) -> None:
    book, predictor = shelf.serve()
    assert predictor is not None
    del predictor
    shelf.in_memory = None  # the last request that it answered is over
    other = shelf.add_model("c" * 64)
    shelf.decide(book, other)
    newer = book.load(other)
    assert newer is not None
    shelf.end(SEGFAULT)
    del newer
    book, predictor = shelf.serve()
    assert predictor is not None
    choice = book.find(other)
    assert choice is not None
    assert choice.ended == "openvino"
    book.close()


def test_a_service_whose_journal_cannot_be_written_answers_all_the_same(shelf: Shelf) -> None:
    book = shelf.open()
    shelf.decide(book)
    (shelf.directory / ".in-use.lock").unlink(missing_ok=True)
    (shelf.directory / ".in-use.lock").mkdir()
    assert book.load(shelf.served) is not None
    book.close()
