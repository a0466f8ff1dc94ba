"""A database that cannot be used: what is said, whether to try again, and the cure."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError

from maskloop.database.failures import explain
from maskloop.errors import AccessError, StorageError, UnavailableError

FILE, SERVER = "/srv/ledger.db", "postgresql://db/parts"


def operational(said: str) -> OperationalError:
    return OperationalError("SELECT 1", {}, Exception(said))


CASES: list[tuple[SQLAlchemyError | OSError, str, type[Exception], str]] = [
    (
        operational("database is locked"),
        FILE,
        UnavailableError,
        "the ledger is locked by another process (/srv/ledger.db). Run the same command again; "
        "if it stays locked, end the program that holds the file open",
    ),
    (
        operational("canceling statement due to lock timeout\nCONTEXT: while updating"),
        SERVER,
        UnavailableError,
        "the ledger is locked by another process (postgresql://db/parts). Run the same command again; "
        "if it stays locked, end the session that holds the lock",
    ),
    (
        operational("connection refused\nIs the server running?"),
        SERVER,
        UnavailableError,
        "the ledger does not answer: connection refused (postgresql://db/parts)",
    ),
    (
        operational("unable to open database file"),
        SERVER,
        UnavailableError,
        "the ledger does not answer: unable to open database file (postgresql://db/parts)",
    ),
    (
        operational("database or disk is full"),
        FILE,
        StorageError,
        "the ledger cannot be used: database or disk is full (/srv/ledger.db). "
        "Free some space and run the same command again",
    ),
    (
        operational("database disk image is malformed"),
        FILE,
        StorageError,
        "the ledger cannot be used: database disk image is malformed (/srv/ledger.db). "
        "Bring the file back from a backup",
    ),
    (
        operational("no such table: entries"),
        FILE,
        StorageError,
        "the ledger cannot be used: no such table: entries (/srv/ledger.db)",
    ),
    (
        ProgrammingError("ALTER TABLE", {}, Exception("permission denied for table entries\nLINE 1: ALTER")),
        SERVER,
        StorageError,
        "the ledger cannot be used: permission denied for table entries (postgresql://db/parts). "
        "Grant it to the user of this address, or upgrade once as the owner of the tables",
    ),
    (
        IsADirectoryError(21, "Is a directory"),
        FILE,
        StorageError,
        "the ledger cannot be used: [Errno 21] Is a directory (/srv/ledger.db)",
    ),
]


@pytest.mark.parametrize(("error", "where", "kind", "said"), CASES)
def test_a_failure_says_in_one_line_what_happened_and_what_helps(
    error: SQLAlchemyError | OSError, where: str, kind: type[Exception], said: str
) -> None:
    explained = explain(error, "the ledger", where)
    assert type(explained) is kind
    assert str(explained) == said


@pytest.mark.parametrize(
    "error",
    [
        operational("attempt to write a readonly database"),
        operational("unable to open database file"),
        PermissionError(13, "Permission denied"),
    ],
)
def test_a_file_that_may_not_be_opened_is_a_matter_of_permissions(
    tmp_path: Path, error: SQLAlchemyError | OSError
) -> None:
    explained = explain(error, "the ledger", str(tmp_path / "ledger.db"))
    assert isinstance(explained, AccessError)
    assert explained.headline.startswith("the ledger cannot be opened")
