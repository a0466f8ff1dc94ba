"""The book of API keys in SQLite or, by URL, in the database that the services of several hosts share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import URL, Column, Connection, MetaData, Row, String, Table, Text, insert, select, update

from maskloop.database.address import sqlite_url
from maskloop.database.database import Database
from maskloop.database.store import Store
from maskloop.errors import IntegrityError
from maskloop.files import access_error
from serving.access.key_book import ApiKey, earlier

_metadata = MetaData()
_keys = Table(
    "api_keys",
    _metadata,
    Column("id", String(12), primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret_digest", String(64), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("rate_limit", Text, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("expires_at", String(32)),
    Column("revoked_at", String(32)),
    Column("models", Text, nullable=False),
)
STORE: Final = Store("keys", "the API keys", _metadata, synchronous="FULL")


class SqlKeyBook:
    """The book in one table. Safe to use from several threads, processes and hosts.

    Revoked keys stay as rows, so that a copy of old keys cannot bring them back.

    Args:
        url: Of the database.

    Raises:
        MaskloopError: as `maskloop.database.database.Database` does.
    """

    def __init__(self, url: str | URL) -> None:
        self._database = Database(url, STORE)

    @classmethod
    def at(cls, path: Path) -> SqlKeyBook:
        """Open a SQLite file that only its owner reads; it is created if it is missing.

        Raises:
            MaskloopError: as `Database` does, or if the file may not be made.
        """
        if not path.exists() and not path.with_name(f"{path.name}-wal").exists():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(mode=0o600)
            except OSError as error:
                raise access_error("the API keys cannot be written", path) from error
        return cls(sqlite_url(path))

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def all(self) -> Sequence[ApiKey]:
        """Return the keys that are not revoked, oldest first; see `KeyBook`."""
        with self._database.reading() as connection:
            rows = connection.execute(
                select(_keys).where(_keys.c.revoked_at.is_(None)).order_by(_keys.c.created_at, _keys.c.id)
            ).all()
        return [self._read(row) for row in rows]

    def add(self, keys: Sequence[ApiKey]) -> int:
        """Add the keys that are missing and return how many were; see `KeyBook`."""
        with self._database.writing() as connection:
            return sum(self._add(connection, key) for key in keys)

    def replace(self, key_id: str, ends_at: datetime, successor: ApiKey) -> bool:
        """End a key at a time and add its successor, in one step; see `KeyBook`."""
        with self._database.writing() as connection:
            found = self._find(connection, key_id)
            if found is None:
                return False
            self._end(connection, found, ends_at)
            self._add(connection, successor)
            return True

    def revoke(self, key_id: str, at: datetime) -> bool:
        """End a key for good; see `KeyBook`."""
        with self._database.writing() as connection:
            is_there = (_keys.c.id == key_id) & _keys.c.revoked_at.is_(None)
            return (
                connection.execute(update(_keys).where(is_there).values(revoked_at=_write(at))).rowcount > 0
            )

    def _find(self, connection: Connection, key_id: str) -> ApiKey | None:
        is_there = (_keys.c.id == key_id) & _keys.c.revoked_at.is_(None)
        row = connection.execute(select(_keys).where(is_there)).one_or_none()
        return None if row is None else self._read(row)

    def _add(self, connection: Connection, key: ApiKey) -> bool:
        known = connection.execute(select(_keys).where(_keys.c.id == key.id)).one_or_none()
        if known is not None:
            if known.revoked_at is None:
                self._end(connection, self._read(known), key.expires_at)
            return False
        row = {
            "id": key.id,
            "name": key.name,
            "secret_digest": key.secret_digest,
            "scopes": json.dumps(key.scopes),
            "rate_limit": key.rate_limit,
            "created_at": _write(key.created_at),
            "expires_at": key.expires_at and _write(key.expires_at),
            "models": json.dumps(key.models),
        }
        connection.execute(insert(_keys).values(row))
        return True

    def _end(self, connection: Connection, key: ApiKey, ends_at: datetime | None) -> None:
        end = earlier(key.expires_at, ends_at)
        connection.execute(update(_keys).where(_keys.c.id == key.id).values(expires_at=end and _write(end)))

    def _read(self, row: Row[Any]) -> ApiKey:
        facts = dict(row._mapping)
        del facts["revoked_at"]
        try:
            named = {name: json.loads(facts[name]) for name in ("scopes", "models")}
            return ApiKey.model_validate({**facts, **named})
        except (ValueError, TypeError, ValidationError) as error:
            raise IntegrityError("the API keys cannot be read", where=self._database.where) from error


def _write(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
