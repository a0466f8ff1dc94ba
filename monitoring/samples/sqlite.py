"""Opening and using the SQLite files of monitoring, with their errors in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex

from maskloop.sql import explain, sqlite_url


class SqliteFile:
    """One database file, safe to use from several threads and processes (WAL).

    Args:
        file: Created, with its folder, if it is missing.
        metadata: Its tables.
        what: What it is, for error messages, such as ``the sample log``.

    Raises:
        UnavailableError: if another process keeps it locked.
        StorageError: if it cannot be opened.
    """

    def __init__(self, file: Path, metadata: MetaData, what: str) -> None:
        self._file, self._what = file, what
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._engine: Engine = create_engine(sqlite_url(file))
            event.listen(self._engine, "connect", _prepare)
            event.listen(self._engine, "begin", _begin_writing)
            metadata.create_all(self._engine)
            self._add_indexes(metadata)
        except (OSError, SQLAlchemyError) as error:
            raise explain(error, what, str(file)) from error

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _add_indexes(self, metadata: MetaData) -> None:
        """Add those that an earlier version's file lacks."""
        with self._engine.begin() as connection:
            for table in metadata.sorted_tables:
                for index in table.indexes:
                    connection.execute(CreateIndex(index, if_not_exists=True))

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Do the body as one step that happens whole or not at all.

        Raises:
            UnavailableError: if another process keeps the file locked.
            StorageError: if it cannot be used.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise explain(error, self._what, str(self._file)) from error


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_writing(connection: Connection) -> None:
    """Take the write lock at once: a read that later writes would fail instead of waiting."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
