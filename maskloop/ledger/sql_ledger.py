"""The ledger in SQLite (WAL) or, by URL, in PostgreSQL."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psutil
from sqlalchemy import (
    URL,
    Column,
    Connection,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError as UniqueViolation

from maskloop.clock import Clock, SystemClock
from maskloop.database.address import sqlite_url
from maskloop.database.database import Database
from maskloop.database.store import Store
from maskloop.digest import canonical_json
from maskloop.errors import ConfigurationError, UnavailableError
from maskloop.ledger.port import (
    FIRST_PREVIOUS,
    SCHEMA_VERSION,
    Entry,
    Lease,
    LeaseHolder,
    Snapshot,
    make_entry,
    write_time,
)

_APPEND_ATTEMPTS: Final = 20
_FREED: Final = datetime.min.replace(tzinfo=UTC)

_metadata = MetaData()
_entries = Table(
    "entries",
    _metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(64), nullable=False, index=True),
    Column("at", String(32), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("cycle", String(64), nullable=False, index=True),
    Column("payload", Text, nullable=False),
    Column("key", String(255), nullable=True, unique=True),
    Column("schema_version", Integer, nullable=False),
    Column("previous_digest", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
)
_leases = Table(
    "leases",
    _metadata,
    Column("name", String(255), primary_key=True),
    Column("owner", String(255), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("expires_at", String(32), nullable=False),
)
_snapshots = Table(
    "snapshots",
    _metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("fold_version", String(64), primary_key=True),
    Column("entry_digest", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("body_digest", String(64), nullable=False),
)
_NUM_SNAPSHOTS_KEPT: Final = 2
_MAX_SKEW_S: Final = 300.0
STORE: Final = Store("ledger", "the ledger", _metadata, synchronous="FULL")


class SqlLedger:
    """The ledger in SQLite (WAL) or, by URL, in PostgreSQL.

    Args:
        url: Of the database.
        clock: Stamps entries.
        lease_clock: Tells when leases expire; None for PostgreSQL's own, so that hosts need not agree on the
            time, and for ``clock`` with a file.

    Raises:
        ConfigurationError: if this machine's clock and PostgreSQL's are more than five minutes apart: then
            approvals and schedules would not mean what they say.
        MaskloopError: as `Database` does.
    """

    def __init__(
        self, url: str | URL, *, clock: Clock | None = None, lease_clock: Clock | None = None
    ) -> None:
        self._clock, self._lease_clock = clock or SystemClock(), lease_clock
        self._database = Database(url, STORE)
        try:
            self._refuse_another_time()
        except BaseException:
            self.close()
            raise

    @classmethod
    def at(cls, path: Path, *, clock: Clock | None = None) -> SqlLedger:
        """Open a SQLite ledger file, which is created if it is missing. Raises as `Database` does."""
        return cls(sqlite_url(path), clock=clock)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def append(
        self,
        kind: str,
        payload: Mapping[str, Any],
        *,
        actor: str = "maskloop",
        cycle_id: str = "",
        key: str = "",
    ) -> Entry:
        """Write one entry; with a ``key`` that was used before, return that older entry instead.

        Raises:
            UnavailableError: if the database stays locked or does not answer.
            StorageError: if it cannot be written.
        """
        for _ in range(_APPEND_ATTEMPTS):
            if key and (found := self._find_by_key(key)):
                return found
            entry = self._next_entry(kind, payload, actor=actor, cycle_id=cycle_id, key=key)
            try:
                with self._database.writing() as connection:
                    connection.execute(insert(_entries).values(_to_row(entry)))
            except UniqueViolation:  # somebody else took this sequence number or this key: look again
                continue
            return entry
        raise UnavailableError("too many writers at once in the ledger", where=self._database.where)

    def entries(self, *, after: int = 0, limit: int = 0) -> Sequence[Entry]:
        """Return the entries with a sequence number above ``after``, in order; only the first ``limit``."""
        query = select(_entries).where(_entries.c.sequence > after).order_by(_entries.c.sequence)
        return self._read(query.limit(limit) if limit else query)

    def find(
        self,
        *,
        kinds: Sequence[str] = (),
        cycle_id: str = "",
        key: str = "",
        before: int = 0,
        newest_first: bool = False,
        limit: int = 0,
    ) -> Sequence[Entry]:
        """Return the entries that fit everything asked for; see `maskloop.ledger.port.Finder`."""
        query = select(_entries)
        if kinds:
            query = query.where(_entries.c.kind.in_(kinds))
        if cycle_id:
            query = query.where(_entries.c.cycle == cycle_id)
        if key:
            query = query.where(_entries.c.key == key)
        if before:
            query = query.where(_entries.c.sequence < before)
        order = _entries.c.sequence
        query = query.order_by(order.desc() if newest_first else order)
        return self._read(query.limit(limit) if limit else query)

    def _read(self, query: Select[Any]) -> tuple[Entry, ...]:
        with self._database.reading() as connection:
            return tuple(_from_row(row) for row in connection.execute(query).mappings())

    def keep_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a folded state and drop all but the newest two; twice keeps it once."""
        newest = select(_snapshots.c.sequence).order_by(_snapshots.c.sequence.desc())
        with self._database.writing() as connection:
            kept = self._database.insert(_snapshots).values(**asdict(snapshot)).on_conflict_do_nothing()
            connection.execute(kept)
            sequences = connection.execute(newest.limit(_NUM_SNAPSHOTS_KEPT)).scalars().all()
            connection.execute(delete(_snapshots).where(_snapshots.c.sequence < min(sequences)))

    def newest_snapshot(self, fold_version: str) -> Snapshot | None:
        """Return the newest snapshot of this fold, as it was kept; the caller checks it."""
        own = select(_snapshots).where(_snapshots.c.fold_version == fold_version)
        newest = own.order_by(_snapshots.c.sequence.desc()).limit(1)
        with self._database.reading() as connection:
            row = connection.execute(newest).mappings().first()
        return Snapshot(**row) if row else None

    def drop_snapshots(self) -> None:
        """Forget all snapshots. Nothing but time is lost."""
        with self._database.writing() as connection:
            connection.execute(delete(_snapshots))

    def take_lease(self, name: str, *, ttl_s: float) -> Lease | None:
        """Take a free or expired lease; None if somebody alive holds it.

        A holder on this machine whose process has ended is not alive, whatever its lease says.
        """
        owner, ttl = _this_process(), timedelta(seconds=ttl_s)
        with self._database.writing() as connection:
            now = self._lease_time(connection)
            expires = write_time(now + ttl)
            row = connection.execute(select(_leases).where(_leases.c.name == name)).mappings().first()
            if row is None:
                try:
                    connection.execute(
                        insert(_leases).values(name=name, owner=owner, epoch=1, expires_at=expires)
                    )
                except UniqueViolation:
                    return None
                return Lease(name, owner, 1)
            if _is_alive(row["owner"]) and _read_time(row["expires_at"]) > now:
                return None
            taken = connection.execute(
                update(_leases)
                .where(_leases.c.name == name, _leases.c.epoch == row["epoch"])
                .values(owner=owner, epoch=row["epoch"] + 1, expires_at=expires)
            )
            return Lease(name, owner, row["epoch"] + 1) if taken.rowcount == 1 else None

    def lease_holder(self, name: str) -> LeaseHolder | None:
        """Say who holds a lease, without touching it; None if it was never taken or was given back."""
        with self._database.reading() as connection:
            row = connection.execute(select(_leases).where(_leases.c.name == name)).mappings().first()
            now = self._lease_time(connection)
        if row is None or _read_time(row["expires_at"]) == _FREED:
            return None
        host, pid, _created = row["owner"].rsplit("/", 2)
        is_alive = _is_alive(row["owner"]) and _read_time(row["expires_at"]) > now
        return LeaseHolder(host, int(pid), is_alive)

    def renew_lease(self, lease: Lease, *, ttl_s: float) -> bool:
        """Prolong a lease; False if it was lost to another holder."""
        with self._database.writing() as connection:
            expires = self._lease_time(connection) + timedelta(seconds=ttl_s)
            return _set_expiry(connection, lease, write_time(expires))

    def free_lease(self, lease: Lease) -> None:
        """Give a lease back, if it is still held."""
        with self._database.writing() as connection:
            _set_expiry(connection, lease, write_time(_FREED))

    def _lease_time(self, connection: Connection) -> datetime:
        if self._lease_clock is not None:
            return self._lease_clock.now()
        return self._database.now(connection) or self._clock.now()

    def _refuse_another_time(self) -> None:
        if self._lease_clock is not None:
            return
        with self._database.reading() as connection:
            theirs = self._database.now(connection)
        ahead_s = (self._clock.now() - theirs).total_seconds() if theirs else 0.0
        if abs(ahead_s) > _MAX_SKEW_S:
            way = "ahead of" if ahead_s > 0 else "behind"
            raise ConfigurationError(
                f"this machine's clock is {abs(ahead_s) / 60:.0f} minutes {way} the database's",
                where=self._database.where,
                hint="Set the clocks of both, for example by NTP, and run the same command again",
            )

    def _find_by_key(self, key: str) -> Entry | None:
        with self._database.reading() as connection:
            row = connection.execute(select(_entries).where(_entries.c.key == key)).mappings().first()
            return _from_row(row) if row else None

    def _next_entry(
        self, kind: str, payload: Mapping[str, Any], *, actor: str, cycle_id: str, key: str
    ) -> Entry:
        with self._database.reading() as connection:
            last = (
                connection.execute(
                    select(_entries.c.sequence, _entries.c.digest)
                    .order_by(_entries.c.sequence.desc())
                    .limit(1)
                )
                .mappings()
                .first()
            )
        sequence = last["sequence"] + 1 if last else 1
        previous = last["digest"] if last else FIRST_PREVIOUS
        return make_entry(
            sequence, kind, self._clock.now(), actor, cycle_id, payload, key, SCHEMA_VERSION, previous
        )


def _to_row(entry: Entry) -> dict[str, Any]:
    return {
        "sequence": entry.sequence,
        "kind": entry.kind,
        "at": write_time(entry.at),
        "actor": entry.actor,
        "cycle": entry.cycle_id,
        "payload": canonical_json(entry.payload),
        "key": entry.key or None,
        "schema_version": entry.schema_version,
        "previous_digest": entry.previous_digest,
        "digest": entry.digest,
    }


def _from_row(row: Any) -> Entry:
    return Entry(
        row["sequence"],
        row["kind"],
        _read_time(row["at"]),
        row["actor"],
        row["cycle"],
        json.loads(row["payload"]),
        row["key"] or "",
        row["schema_version"],
        row["previous_digest"],
        row["digest"],
    )


def _read_time(written: str) -> datetime:
    return datetime.fromisoformat(written)


def _set_expiry(connection: Connection, lease: Lease, expires_at: str) -> bool:
    is_ours = (_leases.c.name == lease.name) & (_leases.c.epoch == lease.epoch)
    return connection.execute(update(_leases).where(is_ours).values(expires_at=expires_at)).rowcount == 1


def _this_process() -> str:
    return f"{socket.gethostname()}/{os.getpid()}/{psutil.Process().create_time():.2f}"


def _is_alive(owner: str) -> bool:
    host, pid, created = owner.rsplit("/", 2)
    if host != socket.gethostname():
        return True  # cannot be seen from here: only its expiry tells
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" == created
    except psutil.Error:
        return False
