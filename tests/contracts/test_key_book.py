"""What every book of API keys does: the fake in memory and the real one in a database; and keys of a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from maskloop.database.address import sqlite_url
from maskloop.database.database import Database
from maskloop.errors import IntegrityError
from serving.access.key_book import ApiKey, KeyBook
from serving.access.key_file import move_keys
from serving.access.sql_key_book import STORE, SqlKeyBook
from tests.fakes.key_book import FakeKeyBook

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyBook]:
    if request.param == "fake":
        yield FakeKeyBook()
        return
    url = (
        sqlite_url(tmp_path / "keys.db")
        if request.param == "sqlite"
        else request.getfixturevalue("empty_postgresql_url")
    )
    real = SqlKeyBook(url)
    yield real
    real.close()


def make_key(number: int, expires_at: datetime | None = None) -> ApiKey:
    return ApiKey(
        id=f"{number:012x}",
        name=f"line {number}",
        secret_digest=f"{number:064x}",
        scopes=("predict", "metrics"),
        rate_limit="5/minute",
        created_at=NOON + number * HOUR,
        expires_at=expires_at,
        models=("screws",) if number % 2 else (),
    )


def test_keys_are_read_as_they_were_added_oldest_first(book: KeyBook) -> None:
    newer, older = make_key(2, NOON + 9 * HOUR), make_key(1)
    assert book.add([newer, older]) == 2
    assert list(book.all()) == [older, newer]


def test_a_key_that_is_added_again_is_no_other_and_keeps_the_earlier_end(book: KeyBook) -> None:
    book.add([make_key(1), make_key(2, NOON + HOUR)])
    assert book.add([make_key(1, NOON + HOUR), make_key(2, NOON + 2 * HOUR)]) == 0
    assert [key.expires_at for key in book.all()] == [NOON + HOUR, NOON + HOUR]


def test_a_revoked_key_is_gone_and_never_comes_back(book: KeyBook) -> None:
    book.add([make_key(1), make_key(2)])
    assert book.revoke(make_key(1).id, NOON)
    assert not book.revoke(make_key(1).id, NOON)
    assert book.add([make_key(1)]) == 0
    assert list(book.all()) == [make_key(2)]


def test_a_key_ends_as_its_successor_begins_and_never_later_than_before(book: KeyBook) -> None:
    book.add([make_key(1), make_key(2, NOON)])
    assert book.replace(make_key(1).id, NOON + HOUR, make_key(3))
    assert book.replace(make_key(2).id, NOON + HOUR, make_key(4))
    assert [key.expires_at for key in book.all()] == [NOON + HOUR, NOON, None, None]


def test_no_successor_is_made_of_a_key_that_is_not_there(book: KeyBook) -> None:
    book.add([make_key(1)])
    book.revoke(make_key(1).id, NOON)
    for number in (1, 2):
        assert not book.replace(make_key(number).id, NOON, make_key(3))
    assert list(book.all()) == []


def test_what_one_process_writes_another_reads(tmp_path: Path) -> None:
    one, other = SqlKeyBook.at(tmp_path / "keys.db"), SqlKeyBook.at(tmp_path / "keys.db")
    one.add([make_key(1)])
    assert list(other.all()) == [make_key(1)]
    other.revoke(make_key(1).id, NOON)
    assert list(one.all()) == []
    one.close()
    other.close()


@pytest.mark.parametrize("column", ["scopes", "created_at"])
def test_a_damaged_row_admits_nobody(tmp_path: Path, column: str) -> None:
    book, database = SqlKeyBook.at(tmp_path / "keys.db"), Database(sqlite_url(tmp_path / "keys.db"), STORE)
    book.add([make_key(1)])
    with database.writing() as connection:
        connection.execute(text(f"UPDATE api_keys SET {column} = '['"))
    with pytest.raises(IntegrityError, match="the API keys cannot be read"):
        book.all()
    book.close()
    database.close()


# --- keys of a file -----------------------------------------------------------------------------


def write_keys(file: Path, *keys: ApiKey, version: int = 2) -> None:
    rows = [key.model_dump(mode="json") for key in keys]
    file.write_text(json.dumps({"schema_version": version, "keys": rows}))


@pytest.mark.parametrize("version", [1, 2])
def test_keys_of_a_file_move_into_the_book_once(book: KeyBook, tmp_path: Path, version: int) -> None:
    file = tmp_path / "keys.json"
    assert move_keys(file, book) == 0
    write_keys(file, make_key(1), make_key(2), version=version)
    assert [move_keys(file, book), move_keys(file, book)] == [2, 0]
    assert list(book.all()) == [make_key(1), make_key(2)]


def test_the_file_of_another_host_adds_what_is_missing_and_brings_back_nothing(
    book: KeyBook, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        write_keys(tmp_path / name, make_key(1), make_key(2))
    move_keys(tmp_path / "a", book)
    book.revoke(make_key(1).id, NOON)
    write_keys(tmp_path / "b", make_key(1), make_key(2, NOON), make_key(3))
    assert move_keys(tmp_path / "b", book) == 1
    assert list(book.all()) == [make_key(2, NOON), make_key(3)]


class FullBook(FakeKeyBook):
    """A book that takes nothing."""

    def add(self, keys: object) -> int:
        raise IntegrityError("the disk is full")


def test_a_move_that_fails_leaves_the_file_for_the_next_one(tmp_path: Path) -> None:
    write_keys(tmp_path / "keys.json", make_key(1))
    with pytest.raises(IntegrityError):
        move_keys(tmp_path / "keys.json", FullBook())
    book = FakeKeyBook()
    assert move_keys(tmp_path / "keys.json", book) == 1


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"keys": [{"id": "x"}]}', '{"schema_version": 1, "keys": 7}']
)
def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path, damage: str) -> None:
    (tmp_path / "keys.json").write_text(damage)
    with pytest.raises(IntegrityError, match="cannot be read"):
        move_keys(tmp_path / "keys.json", FakeKeyBook())
    assert (tmp_path / "keys.json").read_text() == damage
