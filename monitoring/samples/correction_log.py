"""The correction log in SQLite, the pictures of corrections with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    case,
    delete,
    func,
    insert,
    select,
    update,
)

from maskloop.clock import Clock, SystemClock
from maskloop.database.address import sqlite_url
from maskloop.database.database import Database
from maskloop.database.store import Store
from maskloop.digest import canonical_json
from maskloop.masks import Rle
from monitoring.samples.corrections import Correction, Fate, Judged, Label, no_picture_left

SCHEMA_VERSION: Final = 1
_metadata = MetaData()
_corrections = Table(
    "corrections",
    _metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("sample_id", String(255), nullable=False, unique=True),  # the request id
    Column("said_at", String(32), nullable=False, index=True),
    Column("verdict", String(16), nullable=False),
    Column("model_version", String(255), nullable=False),
    Column("content_digest", String(64), nullable=False),
    Column("fate", String(16), nullable=False, index=True),
    Column("detail", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("picture", LargeBinary, nullable=True),
    Column("schema_version", Integer, nullable=False),
    sqlite_autoincrement=True,
)
STORE: Final = Store("corrections", "the correction log", _metadata)
_said = [column for column in _corrections.c if column.name not in ("picture", "schema_version")]
"""SQLite stores a row's columns in order: what comes after the picture is read through the picture."""


class SqlCorrectionLog:
    """The correction log: `corrections.db` in a folder, or the database of an address.

    Args:
        directory: Created if it is missing and the file lies in it.
        url: Of the database; empty for the file.
        keep_pictures: Pictures of the newest this many corrections are kept; 0 keeps none.
        retention_days: Older corrections are forgotten by `prune`.
        clock: Tells `prune` the time.

    Raises:
        MaskloopError: as `maskloop.database.database.Database` does.
    """

    def __init__(
        self,
        directory: Path,
        *,
        url: str = "",
        keep_pictures: int = 2000,
        retention_days: float = 90.0,
        clock: Clock | None = None,
    ) -> None:
        self._keep_pictures, self._retention = keep_pictures, timedelta(days=retention_days)
        self._clock = clock or SystemClock()
        self._database = Database(url or sqlite_url(directory / "corrections.db"), STORE)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def add(self, correction: Correction, picture: bytes | None = None) -> bool:
        """Write a correction down in place of any earlier one; see `CorrectionLog.add`.

        Raises:
            StorageError: if it cannot be written.
            UnavailableError: if the database stays locked.
        """
        columns = (_corrections.c.content_digest, _corrections.c.picture)
        own = _corrections.c.sample_id == correction.request_id
        with self._database.writing() as connection:
            before = connection.execute(select(*columns).where(own)).first()
            if before and before.content_digest == correction.content_digest:
                return False
            if picture is None and before:
                picture = before.picture
            connection.execute(delete(_corrections).where(own))
            connection.execute(insert(_corrections).values(_to_row(correction, picture)))
            self._drop_pictures_over_quota(connection)
        return True

    def get(self, request_ids: Sequence[str]) -> Mapping[str, Correction]:
        """Return what is known of these answers, by request id."""
        found = self._read(select(*_said).where(_corrections.c.sample_id.in_(request_ids)))
        return {correction.request_id: correction for correction in found}

    def newest_sequence(self) -> int:
        """Return a number that grows with every correction that arrives; 0 while there is none."""
        with self._database.reading() as connection:
            newest: int | None = connection.execute(select(func.max(_corrections.c.sequence))).scalar()
            return newest or 0

    def newest(self, limit: int) -> Sequence[Correction]:
        """Return up to ``limit`` corrections, the last to arrive first."""
        return self._read(select(*_said).order_by(_corrections.c.sequence.desc()).limit(limit))

    def waiting(self, limit: int) -> Sequence[Correction]:
        """Return up to ``limit`` corrections that wait to become labels, the first to arrive first."""
        query = select(*_said).where(_corrections.c.fate == "waiting").order_by(_corrections.c.sequence)
        return self._read(query.limit(limit))

    def num_waiting(self) -> int:
        """Count the corrections that wait to become labels."""
        query = select(func.count()).where(_corrections.c.fate == "waiting")
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one()

    def labels(self, request_ids: Sequence[str]) -> Mapping[str, Label]:
        """Return what became of these corrections as labels, by request id."""
        columns = (_corrections.c.sample_id, _corrections.c.fate, _corrections.c.detail)
        query = select(*columns).where(_corrections.c.sample_id.in_(request_ids))
        with self._database.reading() as connection:
            return {row.sample_id: Label(row.fate, row.detail) for row in connection.execute(query)}

    def picture_bytes(self, request_id: str) -> bytes | None:
        """Return the picture as it was received, if it is kept."""
        query = select(_corrections.c.picture).where(_corrections.c.sample_id == request_id)
        with self._database.reading() as connection:
            picture: bytes | None = connection.execute(query).scalar()
            return picture

    def mark_ingested(self, corrections: Sequence[Correction], tag: str) -> None:
        """Record that these are in a data version. One that was replaced in the meantime waits on."""
        self._settle(corrections, "ingested", tag)

    def mark_refused(self, corrections: Sequence[Correction], reason: str) -> None:
        """Record that these cannot be ingested, and why. One that was replaced in the meantime waits on."""
        self._settle(corrections, "refused", reason)

    def wait_again(self) -> int:
        """Mark refused corrections whose picture is kept as waiting again; return how many."""
        may_wait = (_corrections.c.fate == "refused") & _corrections.c.picture.is_not(None)
        statement = update(_corrections).where(may_wait).values(fate="waiting", detail="")
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount

    def judged(self) -> Sequence[Judged]:
        """Count what people said, by version; an answer judged twice counts once."""
        version, is_wrong = _corrections.c.model_version, _corrections.c.verdict == "wrong"
        num_wrong = func.sum(case((is_wrong, 1), else_=0))
        query = select(version, func.count() - num_wrong, num_wrong).group_by(version).order_by(version)
        with self._database.reading() as connection:
            return tuple(Judged(*row) for row in connection.execute(query).tuples())

    def prune(self, now: datetime | None = None) -> int:
        """Forget corrections older than the retention; return how many."""
        oldest = _write_time((now or self._clock.now()) - self._retention)
        with self._database.writing() as connection:
            return connection.execute(delete(_corrections).where(_corrections.c.said_at < oldest)).rowcount

    def _read(self, query: Any) -> tuple[Correction, ...]:
        with self._database.reading() as connection:
            return tuple(_from_row(row) for row in connection.execute(query).mappings())

    def _settle(self, corrections: Sequence[Correction], fate: Fate, detail: str) -> None:
        digests = [correction.content_digest for correction in corrections]
        statement = update(_corrections).where(_corrections.c.content_digest.in_(digests))
        with self._database.writing() as connection:
            connection.execute(statement.values(fate=fate, detail=detail))

    def _drop_pictures_over_quota(self, connection: Connection) -> None:
        """Delete the oldest pictures beyond the quota; waiting corrections among them become no labels."""
        newest_first = select(_corrections.c.sequence).where(_corrections.c.picture.is_not(None))
        over = newest_first.order_by(_corrections.c.sequence.desc()).offset(self._keep_pictures)
        sequences = list(connection.execute(over).scalars())
        among = _corrections.c.sequence.in_(sequences)
        waited = among & (_corrections.c.fate == "waiting")
        reason = no_picture_left(self._keep_pictures)
        connection.execute(update(_corrections).where(waited).values(fate="none", detail=reason))
        connection.execute(update(_corrections).where(among).values(picture=None))


def _to_row(correction: Correction, picture: bytes | None) -> dict[str, Any]:
    record = {
        "by": correction.by,
        "note": correction.note,
        "source": correction.source,
        "size_px": list(correction.size_px),
        "instances": correction.instances_json,
    }
    return {
        "sample_id": correction.request_id,
        "said_at": _write_time(correction.at),
        "verdict": correction.verdict,
        "model_version": correction.model_version,
        "content_digest": correction.content_digest,
        "fate": "none" if correction.instances is None or picture is None else "waiting",
        "detail": "",
        "record": canonical_json(record),
        "picture": picture,
        "schema_version": SCHEMA_VERSION,
    }


def _from_row(row: Any) -> Correction:
    record = json.loads(row["record"])
    masks, (height_px, width_px) = record["instances"], record["size_px"]
    return Correction(
        request_id=row["sample_id"],
        at=datetime.fromisoformat(row["said_at"]),
        by=record["by"],
        verdict=row["verdict"],
        instances=None if masks is None else tuple((name, _read_mask(coco)) for name, coco in masks),
        note=record["note"],
        model_version=row["model_version"],
        source=record["source"],
        size_px=(height_px, width_px),
    )


def _read_mask(coco: Mapping[str, Any]) -> Rle:
    """Build a mask again that was checked before it was written."""
    height_px, width_px = coco["size"]
    return Rle(height_px, width_px, coco["counts"].encode("ascii"))


def _write_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
