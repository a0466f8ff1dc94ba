from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from maskloop.errors import IntegrityError, StorageError
from maskloop.ledger.port import check_chain
from maskloop.ledger.sql_ledger import SqlLedger
from tests.fakes.ledger import FakeClock, FakeLedger


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.db"


@pytest.fixture
def ledger(file: Path) -> Iterator[SqlLedger]:
    made = SqlLedger.at(file)
    yield made
    made.close()


def test_entries_survive_closing_and_opening(ledger: SqlLedger, file: Path) -> None:
    written = ledger.append("thing.happened", {"a": 1}, key="k")
    ledger.close()
    again = SqlLedger.at(file)
    assert again.entries() == (written,)
    again.close()


@pytest.mark.parametrize("statement", ["update entries set actor = 'mallory'", "delete from entries"])
def test_the_database_itself_refuses_to_change_an_entry(
    ledger: SqlLedger, file: Path, statement: str
) -> None:
    ledger.append("thing.happened", {})
    database = sqlite3.connect(file)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        database.execute(statement)
    database.close()


@pytest.mark.parametrize(
    "change", [{"actor": "mallory"}, {"payload": {"n": 9}}, {"kind": "x"}, {"key": "k"}, {"cycle_id": "c"}]
)
def test_a_changed_entry_breaks_the_chain(change: dict[str, object]) -> None:
    ledger = FakeLedger()
    for number in range(3):
        ledger.append("thing.happened", {"n": number})
    first, second, third = ledger.entries()
    with pytest.raises(IntegrityError, match="entry 2"):
        check_chain([first, replace(second, **change), third])  # type: ignore[arg-type]


def test_a_lost_or_swapped_entry_breaks_the_chain() -> None:
    ledger = FakeLedger()
    for number in range(3):
        ledger.append("thing.happened", {"n": number})
    first, second, third = ledger.entries()
    for wrong in ([first, third], [second, first, third], [second, third]):
        with pytest.raises(IntegrityError):
            check_chain(wrong)


def test_many_writers_at_once_lose_and_double_nothing(ledger: SqlLedger) -> None:
    def write(number: int) -> None:
        ledger.append("thing.happened", {"n": number}, key=f"key-{number % 20}")

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(write, range(60)))
    entries = ledger.entries()
    check_chain(entries)
    assert sorted(entry.key for entry in entries) == sorted(f"key-{number}" for number in range(20))


def test_the_lease_of_a_process_that_died_is_free_at_once(ledger: SqlLedger, file: Path) -> None:
    take_and_die = (
        "import os, sys; from pathlib import Path; from maskloop.ledger.sql_ledger import SqlLedger\n"
        "assert SqlLedger.at(Path(sys.argv[1])).take_lease('training', ttl_s=3600)\n"
        "os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", take_and_die, str(file)], check=False)
    assert done.returncode == 9
    lease = ledger.take_lease("training", ttl_s=60)
    assert lease is not None
    assert lease.epoch == 2


def test_the_lease_of_another_machine_ends_by_its_time_only(file: Path) -> None:
    clock = FakeClock()
    ledger = SqlLedger.at(file, clock=clock)
    assert ledger.take_lease("training", ttl_s=60)
    database = sqlite3.connect(file)
    database.execute("update leases set owner = 'elsewhere/1/0.00'")
    database.commit()
    database.close()
    assert ledger.take_lease("training", ttl_s=60) is None
    clock.advance(seconds=61)
    assert ledger.take_lease("training", ttl_s=60) is not None
    ledger.close()


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(StorageError, match="cannot be used: file is not a database"):
        SqlLedger.at(tmp_path / "ledger.db")


def test_a_chain_is_checked_on_from_where_it_was_checked_before() -> None:
    ledger = FakeLedger()
    for number in range(4):
        ledger.append("thing.happened", {"n": number})
    first, second, third, fourth = ledger.entries()
    check_chain([third, fourth], after=(second.sequence, second.digest))
    for wrong in ([third, fourth], [fourth]):
        with pytest.raises(IntegrityError):
            check_chain(wrong, after=(first.sequence, first.digest))


def test_a_ledger_missing_beside_its_log_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    """SQLite would take the log for its own and empty it."""
    (tmp_path / "ledger.db-wal").write_bytes(b"what was written last")
    with pytest.raises(StorageError, match="missing"):
        SqlLedger.at(tmp_path / "ledger.db")
    assert (tmp_path / "ledger.db-wal").read_bytes() == b"what was written last"
    assert not (tmp_path / "ledger.db").exists()
