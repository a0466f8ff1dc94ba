"""One store's open database, in a SQLite file or in PostgreSQL: created or upgraded when it is opened."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, text
from sqlalchemy.exc import IntegrityError as BrokenConstraint
from sqlalchemy.exc import SQLAlchemyError

from maskloop.database.address import place_of, read_url
from maskloop.database.failures import explain
from maskloop.database.store import Store
from maskloop.errors import ConfigurationError, IntegrityError, StorageError
from maskloop.schema import refuse_newer

_NETWORK_TIMEOUTS: Final = {
    "connect_timeout": 10,
    "tcp_user_timeout": 15_000,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""Of libpq, in s, the second in ms. Without them a host that is cut off waits a quarter of an hour."""
_IDLE_TIMEOUT_S: Final = 60
_LOCKS: Final = 0x6D61736B
"""Sets our advisory locks in PostgreSQL apart from those of others."""


class Database:
    """One store's open database. Safe to use from several threads and processes.

    Writers come one after another, in SQLite by its lock and in PostgreSQL by an advisory lock of the store:
    what a writer has read stays true until it has written, and rows become visible in the order of their
    numbers. Readers see one moment and wait for nobody.

    Args:
        url: Of the database; stores may share one.
        store: What is in it. Created if it is missing, upgraded if it is older.
        lock_timeout_s: How long to wait for another writer.

    Raises:
        ConfigurationError: if a newer maskloop has written it, or the address cannot be used.
        UnavailableError: if it stays locked or does not answer.
        StorageError: if it cannot be used.
    """

    def __init__(self, url: str | URL, store: Store, *, lock_timeout_s: float = 10.0) -> None:
        self._store, address = store, read_url(url)
        self.where = place_of(address)
        self._is_sqlite = address.get_backend_name() == "sqlite"
        if self._is_sqlite:
            _make_folder(Path(self.where), store)
        self._engine = _make_engine(address, store, round(1000 * lock_timeout_s))
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def reading(self) -> AbstractContextManager[Connection]:
        """Look at one moment of the store.

        Raises:
            UnavailableError: if the database stays locked or does not answer.
            StorageError: if it cannot be used.
        """
        how = {"sqlite_begin": "BEGIN"} if self._is_sqlite else {"isolation_level": "REPEATABLE READ"}
        return self._transaction(how)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Do the body as one step that happens whole or not at all, alone among the store's writers.

        Raises:
            sqlalchemy.exc.IntegrityError: if a row breaks a constraint or a rule of the table.
            UnavailableError: if the database stays locked or does not answer.
            StorageError: if it cannot be used.
        """
        with self._transaction({"sqlite_begin": "BEGIN IMMEDIATE"}) as connection:
            if not self._is_sqlite:
                numbers = {"ours": _LOCKS, "store": zlib.crc32(self._store.name.encode()) & 0x7FFFFFFF}
                connection.execute(text("SELECT pg_advisory_xact_lock(:ours, :store)"), numbers)
            yield connection

    def now(self, connection: Connection) -> datetime | None:
        """Return the time by PostgreSQL's clock, which all hosts share, in UTC; None for a file."""
        if self._is_sqlite:
            return None
        told: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return told.astimezone(UTC)

    def insert(self, table: Table) -> Any:
        """Return an INSERT that knows ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
        if self._is_sqlite:
            from sqlalchemy.dialects.sqlite import insert
        else:
            from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
        return insert(table)

    def _open(self) -> None:
        """Create or upgrade the store if it is not of the newest version. Alembic is imported only then."""
        newest = self._store.newest_version
        with self.reading() as connection:
            found = _read_version(connection, self._store)
        if found == newest:
            return
        refuse_newer(found, newest, what=self._store.what, where=self.where)
        from maskloop.database.migration import upgrade

        with self.writing() as connection:  # whoever waited for another's upgrade looks again
            found = _read_version(connection, self._store)
            refuse_newer(found, newest, what=self._store.what, where=self.where)
            if found < newest:
                upgrade(connection, self._store)

    @contextmanager
    def _transaction(self, how: Mapping[str, str]) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                connection.execution_options(**how)
                with connection.begin():
                    yield connection
        except BrokenConstraint:
            raise
        except SQLAlchemyError as error:
            raise explain(error, self._store.what, self.where) from error


def _make_folder(file: Path, store: Store) -> None:
    """Make a file's folder, but no file beside a write-ahead log: SQLite would empty that log."""
    try:
        is_missing = file.with_name(f"{file.name}-wal").exists() and not file.exists()
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, store.what, str(file)) from error
    if is_missing:
        raise StorageError(
            f"{store.what} is missing, only its write-ahead log is there",
            where=str(file),
            hint="Put the file back beside it before anything else runs",
        )


def _make_engine(url: URL, store: Store, lock_timeout_ms: int) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url)
        event.listen(engine, "connect", _sqlite_session(store.synchronous, lock_timeout_ms))
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    timeouts = {name: value for name, value in _NETWORK_TIMEOUTS.items() if name not in url.query}
    try:
        engine = create_engine(
            url, pool_pre_ping=True, isolation_level="READ COMMITTED", connect_args=timeouts
        )
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{store.what} is in PostgreSQL, and psycopg is not installed",
            where=place_of(url),
            hint="Install maskloop with its extra: pip install 'maskloop[postgresql]'",
        ) from error
    event.listen(engine, "connect", _postgresql_session(lock_timeout_ms))
    return engine


def _sqlite_session(synchronous: str, lock_timeout_ms: int) -> Callable[[Any, Any], None]:
    pragmas = (f"busy_timeout={lock_timeout_ms}", "journal_mode=WAL", f"synchronous={synchronous}")

    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return prepare


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once for a writer: a read that writes later would fail instead of waiting."""
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def _postgresql_session(lock_timeout_ms: int) -> Callable[[Any, Any], None]:
    settings = (
        f"lock_timeout = {lock_timeout_ms}",
        f"idle_in_transaction_session_timeout = {_IDLE_TIMEOUT_S * 1000}",
        "application_name = 'maskloop'",
    )

    def prepare(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            for setting in settings:
                cursor.execute(f"SET {setting}")
        connection.commit()

    return prepare


def _read_version(connection: Connection, store: Store) -> int:
    """Return a store's version; 0 before it is created, and before there were migrations."""
    if not connection.dialect.has_table(connection, store.version_table):
        return 0
    written = connection.execute(text(f"SELECT version_num FROM {store.version_table}")).scalar()  # noqa: S608
    try:
        return int(written or 0)
    except ValueError as error:
        raise IntegrityError(
            f"the version of {store.what} is no number: {written!r}",
            where=place_of(connection.engine.url),
            hint=f"Bring back a backup, or the row of the table {store.version_table}",
        ) from error
