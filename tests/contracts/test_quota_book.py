"""What every quota book does: the fake in memory and the real one in a database."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from maskloop.database.address import sqlite_url
from maskloop.errors import StorageError
from serving.sampling.quota_book import QuotaBook, Worker
from serving.sampling.sql_quota_book import SqlQuotaBook
from tests.fakes.quota_book import FakeQuotaBook

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TODAY = int(NOON.timestamp() // 86_400)


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QuotaBook]:
    if request.param == "fake":
        yield FakeQuotaBook()
        return
    url = (
        sqlite_url(tmp_path / "quotas.db")
        if request.param == "sqlite"
        else request.getfixturevalue("postgresql_url")
    )
    real = SqlQuotaBook(url)
    yield real
    real.close()


def test_a_worker_alone_has_everything(book: QuotaBook) -> None:
    pool = book.exchange(Worker("a", NOON, {"chance": 3}), TODAY)
    assert (pool.counts, pool.own, pool.num_workers, pool.rank) == ({"chance": 3}, {"chance": 3}, 1, 0)


def test_counts_of_all_workers_are_added_and_a_later_report_replaces_the_former(book: QuotaBook) -> None:
    book.exchange(Worker("a", NOON, {"chance": 3}), TODAY)
    book.exchange(Worker("b", NOON, {"chance": 4, "failed": 1}), TODAY)
    pool = book.exchange(Worker("a", NOON + timedelta(minutes=1), {"chance": 5, "class bolt": 5}), TODAY)
    assert pool.counts == {"chance": 9, "failed": 1, "class bolt": 5}
    assert pool.own == {"chance": 5, "class bolt": 5}
    assert pool.num_workers == 2


def test_the_same_report_twice_counts_once(book: QuotaBook) -> None:
    for _ in range(2):
        pool = book.exchange(Worker("a", NOON, {"chance": 3}), TODAY)
    assert pool.counts == {"chance": 3}


def test_another_day_begins_without_counts(book: QuotaBook) -> None:
    book.exchange(Worker("a", NOON, {"chance": 3}), TODAY)
    pool = book.exchange(Worker("a", NOON + timedelta(days=1), {}), TODAY + 1)
    assert (pool.day, pool.counts) == (TODAY + 1, {})


def test_a_worker_that_has_ended_counts_and_has_no_part(book: QuotaBook) -> None:
    book.exchange(Worker("ended", NOON, {"chance": 3}), TODAY)
    pool = book.exchange(Worker("new", NOON + timedelta(minutes=4), {}), TODAY)
    assert (pool.counts, pool.num_workers) == ({"chance": 3}, 1)


def test_each_of_several_workers_has_a_rank_of_its_own(book: QuotaBook) -> None:
    for name in "abc":
        book.exchange(Worker(name, NOON), TODAY)
    assert {book.exchange(Worker(name, NOON), TODAY).rank for name in "abc"} == {0, 1, 2}


def test_processes_that_look_at_once_lose_no_count(tmp_path: Path) -> None:
    books = [SqlQuotaBook.at(tmp_path / "quotas.db") for _ in range(4)]

    def look(number: int, minute: int) -> None:
        at = NOON + timedelta(minutes=minute)
        books[number].exchange(Worker(f"w{number}", at, {"chance": 10 * (minute + 1)}), TODAY)

    with ThreadPoolExecutor(4) as threads:
        for minute in range(5):
            list(threads.map(look, range(4), [minute] * 4))
    pool = books[0].exchange(Worker("w0", NOON + timedelta(minutes=5), {"chance": 50}), TODAY)
    assert (pool.counts, pool.num_workers) == ({"chance": 200}, 4)
    for one in books:
        one.close()


def test_the_book_forgets_what_is_older_than_a_week_and_keeps_its_own_day(tmp_path: Path) -> None:
    book = SqlQuotaBook.at(tmp_path / "quotas.db")
    book.exchange(Worker("a", NOON, {"chance": 3}), TODAY)
    book.exchange(Worker("b", NOON + timedelta(days=8), {}), TODAY + 8)
    pool = book.exchange(Worker("c", NOON, {}), TODAY)
    assert (pool.counts, pool.num_ahead) == ({}, 1)
    book.close()


def test_a_damaged_book_is_said(tmp_path: Path) -> None:
    (tmp_path / "quotas.db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(StorageError, match="the quotas of samples"):
        SqlQuotaBook.at(tmp_path / "quotas.db")
