"""The quota book in SQLite or, by URL, in the database that the replicas of several machines share."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Column, Connection, Integer, MetaData, String, Table, Text, delete, select

from maskloop.database.address import sqlite_url
from maskloop.database.database import Database
from maskloop.database.store import Store
from serving.sampling.quota_book import Worker, divide
from serving.sampling.quotas import Pool

_DAYS_KEPT: Final = 7
_metadata = MetaData()
_workers = Table(
    "sampling_workers",
    _metadata,
    Column("worker", String(255), primary_key=True),
    Column("seen_at", String(32), nullable=False),
    Column("day", Integer, nullable=False),
)
_taken = Table(
    "samples_taken",
    _metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("worker", String(255), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("num_samples", Integer, nullable=False),
)
STORE: Final = Store("quotas", "the quotas of samples", _metadata)


class SqlQuotaBook:
    """The book in two tables. Safe to use from several threads and processes.

    Args:
        url: Of the database.
        least_workers: Workers of this machine; quotas are divided by at least so many.

    Raises:
        MaskloopError: as `maskloop.database.database.Database` does.
    """

    def __init__(self, url: str | URL, *, least_workers: int = 1) -> None:
        self._database, self._least_workers = Database(url, STORE), least_workers

    @classmethod
    def at(cls, path: Path, *, least_workers: int = 1) -> SqlQuotaBook:
        """Open a SQLite file, which is created if it is missing. Raises as `Database` does."""
        return cls(sqlite_url(path), least_workers=least_workers)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def exchange(self, worker: Worker, day: int) -> Pool:
        """Write down what a worker took of a day, and return what everybody did; see `QuotaBook`."""
        with self._database.writing() as connection:
            self._write(connection, worker, day)
            _forget_before(connection, day - _DAYS_KEPT)
            counts: dict[str, dict[str, int]] = defaultdict(dict)
            for row in connection.execute(select(_taken).where(_taken.c.day == day)):
                counts[row.worker][row.name] = row.num_samples
            everybody = [
                Worker(row.worker, datetime.fromisoformat(row.seen_at), counts[row.worker])
                for row in connection.execute(select(_workers))
            ]
        return divide(everybody, worker.name, day, least=self._least_workers)

    def _write(self, connection: Connection, worker: Worker, day: int) -> None:
        seen_at = worker.seen_at.astimezone(UTC).isoformat(timespec="microseconds")
        insert = self._database.insert(_workers).values(worker=worker.name, seen_at=seen_at, day=day)
        last_seen = {"seen_at": insert.excluded.seen_at, "day": insert.excluded.day}
        connection.execute(insert.on_conflict_do_update(index_elements=["worker"], set_=last_seen))
        for name, num_samples in worker.counts.items():
            row = {"day": day, "worker": worker.name, "name": name, "num_samples": num_samples}
            insert = self._database.insert(_taken).values(row)
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=["day", "worker", "name"],
                    set_={"num_samples": insert.excluded.num_samples},
                )
            )


def _forget_before(connection: Connection, day: int) -> None:
    connection.execute(delete(_taken).where(_taken.c.day < day))
    connection.execute(delete(_workers).where(_workers.c.day < day))
