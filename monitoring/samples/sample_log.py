"""The sample log in a database, its pictures in a store of blobs.

``received = scored + skipped + pending`` always holds, also after pruning: pruned rows stay in the counts.
Samples are ordered by arrival, not by clock. The newest pictures are kept, up to a quota, because labels are
wanted for those; they are content-addressed, so the same bytes are stored once.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    select,
    update,
)

from maskloop.blobs.folder import FolderBlobs
from maskloop.blobs.port import Blobs
from maskloop.clock import Clock, SystemClock
from maskloop.database.address import sqlite_url
from maskloop.database.database import Database
from maskloop.database.store import Store
from maskloop.digest import canonical_json
from monitoring.samples.values import (
    EXPIRED,
    Arrival,
    Pruned,
    Sample,
    SampleCounts,
    SampleLog,
    picture_file_name,
    sample_key,
    tally,
)

__all__ = [
    "EXPIRED",
    "Arrival",
    "Pruned",
    "Sample",
    "SampleCounts",
    "SampleLog",
    "SqlSampleLog",
    "picture_file_name",
    "sample_key",
    "tally",
]

SCHEMA_VERSION: Final = 1
_FRESH_S: Final = 3600.0


_metadata = MetaData()
_samples = Table(
    "samples",
    _metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("sample_id", String(255), nullable=False, unique=True),
    Column("received_at", String(32), nullable=False, index=True),
    Column("weights_digest", String(64), nullable=False, index=True),
    Column("status", String(16), nullable=False, index=True),
    Column("skip_reason", Text, nullable=False),
    Column("picture_file", String(255), nullable=True, index=True),
    Column("record", Text, nullable=False),
    Column("embedding", LargeBinary, nullable=True),
    Column("schema_version", Integer, nullable=False),
    sqlite_autoincrement=True,
)
Index(
    "samples_with_a_picture",
    _samples.c.sequence,
    _samples.c.picture_file,
    sqlite_where=_samples.c.picture_file.is_not(None),
)  # the quota is checked with every sample: without this index each check reads thousands of rows
_scores = Table(
    "scores",
    _metadata,
    Column("sample_id", String(255), primary_key=True),
    Column("detector", String(255), primary_key=True),
)
_forgotten = Table(
    "forgotten",
    _metadata,
    Column("status", String(16), primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("num_samples", Integer, nullable=False),
)
STORE: Final = Store("samples", "the sample log", _metadata)


class SqlSampleLog:
    """The sample log: `samples.db` in a folder, or the database of an address, and `pictures/` in a store.

    Args:
        directory: Created if it is missing.
        url: Of the database; empty for the file.
        pictures: Where pictures are kept; None for the folder. A picture that it has not got is looked for in
            the folder, where it was kept before there was a store.
        keep_pictures: The newest this many pictures are kept; 0 keeps none.
        retention_days: Older samples are forgotten by `prune`.
        clock: Tells `prune` the time.

    Raises:
        MaskloopError: as `maskloop.database.database.Database` does.
    """

    def __init__(
        self,
        directory: Path,
        *,
        url: str = "",
        pictures: Blobs | None = None,
        keep_pictures: int = 2000,
        retention_days: float = 90.0,
        clock: Clock | None = None,
    ) -> None:
        self._own = FolderBlobs(directory)
        self._pictures = pictures or self._own
        self._keep_pictures = keep_pictures
        self._retention = timedelta(days=retention_days)
        self._clock = clock or SystemClock()
        self._database = Database(url or sqlite_url(directory / "samples.db"), STORE)
        self._insert_sample = _insert_new(self._database, _samples)
        self._insert_score = _insert_new(self._database, _scores)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def add(self, sample: Sample, picture_bytes: bytes | None = None, *, skip_reason: str = "") -> bool:
        """Write a sample down; False, and nothing changed, if its id is already there.

        A sample with a ``skip_reason`` is skipped from the start. The picture is kept before its row is
        written; no other writer waits for it.

        Raises:
            StorageError: if it cannot be written.
            UnavailableError: if the database stays locked, or the store of pictures is away.
            MaskloopError: as `Blobs` does.
        """
        name = picture_file_name(picture_bytes) if picture_bytes and self._keep_pictures else None
        row = _to_row(dataclasses.replace(sample, picture_file=name), skip_reason)
        dropped: Sequence[str] = ()
        if name and picture_bytes:
            self._pictures.put(name, picture_bytes)
        with self._database.writing() as connection:
            if connection.execute(self._insert_sample, row).first() is None:
                return False
            if name:
                dropped = self._drop_pictures_over_quota(connection)
        self._pictures.delete(dropped)
        return True

    def newest(
        self,
        limit: int,
        *,
        weights_digest: str | None = None,
        after: datetime | None = None,
        pending_only: bool = False,
        with_picture: bool = False,
    ) -> Sequence[Sample]:
        """Return up to ``limit`` samples, the last to arrive first; see `SampleLog.newest`."""
        query = select(_samples).order_by(_samples.c.sequence.desc()).limit(limit)
        if weights_digest is not None:
            query = query.where(_samples.c.weights_digest == weights_digest)
        if after is not None:
            query = query.where(_samples.c.received_at > _write_time(after))
        if pending_only:
            query = query.where(_samples.c.status == "pending")
        if with_picture:
            query = query.where(_samples.c.picture_file.is_not(None))
        with self._database.reading() as connection:
            return tuple(_from_row(row) for row in connection.execute(query).mappings())

    def arrivals(self, after: int, limit: int) -> Sequence[Arrival]:
        """Return up to ``limit`` samples behind a position, the first to arrive first."""
        query = select(_samples).where(_samples.c.sequence > after).order_by(_samples.c.sequence).limit(limit)
        with self._database.reading() as connection:
            return tuple(
                Arrival(row["sequence"], _from_row(row), row["skip_reason"])
                for row in connection.execute(query).mappings()
            )

    def last_position(self) -> int:
        """Return the position of the last to arrive that is still there; 0 if there is none."""
        with self._database.reading() as connection:
            return int(connection.execute(select(func.max(_samples.c.sequence))).scalar() or 0)

    def get(self, sample_id: str) -> Sample | None:
        """Return one sample, if it is there."""
        with self._database.reading() as connection:
            query = select(_samples).where(_samples.c.sample_id == sample_id)
            row = connection.execute(query).mappings().first()
            return _from_row(row) if row else None

    def picture_bytes(self, sample: Sample) -> bytes | None:
        """Return the picture as it was received; None if it is not kept, or its bytes have changed since.

        Raises:
            MaskloopError: as `Blobs` does.
        """
        if (name := sample.picture_file) is None:
            return None
        kept = self._pictures.get(name)
        if kept is None and self._pictures is not self._own:
            kept = self._own.get(name)
        return kept if kept is not None and picture_file_name(kept) == name else None

    def mark_scored(self, detector: str, sample_ids: Sequence[str]) -> tuple[str, ...]:
        """Record that a detector judged these; return the ids it had not judged before."""
        with self._database.writing() as connection:
            return tuple(
                sample_id
                for sample_id in dict.fromkeys(sample_ids)
                if self._mark_one_scored(connection, detector, sample_id)
            )

    def skip(self, sample_id: str, reason: str) -> bool:
        """Leave a pending sample out for a reason; False if it is not pending."""
        is_pending = (_samples.c.sample_id == sample_id) & (_samples.c.status == "pending")
        statement = update(_samples).where(is_pending).values(status="skipped", skip_reason=reason)
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount == 1

    def counts(self) -> SampleCounts:
        """Count all samples ever received."""
        kept = select(_samples.c.status, _samples.c.skip_reason, func.count()).group_by(
            _samples.c.status, _samples.c.skip_reason
        )
        with self._database.reading() as connection:  # both queries see the same moment
            rows = [*connection.execute(kept), *connection.execute(select(_forgotten))]
        return tally((status, reason, count) for status, reason, count in rows)

    def prune(self, now: datetime | None = None) -> Pruned:
        """Forget samples older than the retention, and picture files without a sample."""
        expired = _samples.c.received_at < _write_time((now or self._clock.now()) - self._retention)
        with self._database.writing() as connection:
            late = expired & (_samples.c.status == "pending")
            connection.execute(update(_samples).where(late).values(status="skipped", skip_reason=EXPIRED))
            self._remember_as_numbers(connection, expired)
            ids = select(_samples.c.sample_id).where(expired)
            pictures = set(connection.execute(select(_samples.c.picture_file).where(expired)).scalars())
            connection.execute(delete(_scores).where(_scores.c.sample_id.in_(ids)))
            num_samples = connection.execute(delete(_samples).where(expired)).rowcount
            unused = self._unused_files(connection, pictures)
        self._pictures.delete(unused)
        return Pruned(num_samples, len(unused))

    def _mark_one_scored(self, connection: Connection, detector: str, sample_id: str) -> bool:
        may_score = (_samples.c.sample_id == sample_id) & (_samples.c.status != "skipped")
        if connection.execute(update(_samples).where(may_score).values(status="scored")).rowcount == 0:
            return False
        score = {"sample_id": sample_id, "detector": detector}
        return connection.execute(self._insert_score, score).first() is not None

    def _remember_as_numbers(self, connection: Connection, expired: Any) -> None:
        columns = (_samples.c.status, _samples.c.skip_reason)
        groups = connection.execute(select(*columns, func.count()).where(expired).group_by(*columns)).all()
        for status, reason, count in groups:
            statement = self._database.insert(_forgotten)
            total = _forgotten.c.num_samples + statement.excluded.num_samples
            row = {"status": status, "reason": reason, "num_samples": count}
            connection.execute(
                statement.values(row).on_conflict_do_update(
                    index_elements=["status", "reason"], set_={"num_samples": total}
                )
            )

    def _drop_pictures_over_quota(self, connection: Connection) -> list[str]:
        """Forget the oldest kept pictures beyond the quota; return the files without a sample."""
        has_picture = _samples.c.picture_file.is_not(None)
        newest_first = select(_samples.c.sequence, _samples.c.picture_file).where(has_picture)
        over = connection.execute(
            newest_first.order_by(_samples.c.sequence.desc()).offset(self._keep_pictures)
        ).all()
        if not over:
            return []
        sequences = [row.sequence for row in over]
        connection.execute(
            update(_samples).where(_samples.c.sequence.in_(sequences)).values(picture_file=None)
        )
        files = {row.picture_file for row in over}
        used = select(_samples.c.picture_file).where(_samples.c.picture_file.in_(files))
        return sorted(files - set(connection.execute(used).scalars()))

    def _unused_files(self, connection: Connection, of_expired: AbstractSet[str | None]) -> list[str]:
        """Return files without a sample: those of expired samples, and any that a crash left behind.

        A new file may belong to a sample that is just being added, so it is kept.
        """
        has_picture = _samples.c.picture_file.is_not(None)  # so that the others' rows are not read
        used = set(connection.execute(select(_samples.c.picture_file).where(has_picture)).scalars())
        return sorted(
            blob.name
            for blob in self._pictures.list("pictures")
            if blob.name not in used and (blob.name in of_expired or blob.age_s > _FRESH_S)
        )


def _insert_new(database: Database, table: Table) -> Any:
    """Return an INSERT that answers with a row if the table did not have it yet."""
    return database.insert(table).on_conflict_do_nothing().returning(table.c.sample_id)


def _to_row(sample: Sample, skip_reason: str) -> dict[str, Any]:
    record = {
        "model_version": sample.model_version,
        "picture_digest": sample.picture_digest,
        "source": sample.source,
        "features": dict(sample.features),
        "class_counts": dict(sample.class_counts),
        "top_scores": list(sample.top_scores),
        "size_px": [sample.height_px, sample.width_px],
        "orientation": sample.orientation,
        "look": None if sample.difference_hash is None else f"{sample.difference_hash:016x}",
        **({"trace": sample.trace_id} if sample.trace_id else {}),
    }
    embedding = sample.embedding
    return {
        "sample_id": sample.sample_id,
        "received_at": _write_time(sample.received_at),
        "weights_digest": sample.weights_digest,
        "status": "skipped" if skip_reason else "pending",
        "skip_reason": skip_reason,
        "picture_file": sample.picture_file,
        "record": canonical_json(record),
        "embedding": None if embedding is None else np.asarray(embedding, dtype="<f4").tobytes(),
        "schema_version": SCHEMA_VERSION,
    }


def _from_row(row: Any) -> Sample:
    record = json.loads(row["record"])
    embedding = row["embedding"]
    height_px, width_px = record.get("size_px", (0, 0))  # not written down by earlier versions
    look = record.get("look")  # the same
    return Sample(
        sample_id=row["sample_id"],
        received_at=datetime.fromisoformat(row["received_at"]),
        model_version=record["model_version"],
        weights_digest=row["weights_digest"],
        picture_digest=record["picture_digest"],
        source=record["source"],
        features=record["features"],
        embedding=None if embedding is None else tuple(np.frombuffer(embedding, dtype="<f4").tolist()),
        class_counts=record["class_counts"],
        top_scores=tuple(record["top_scores"]),
        picture_file=row["picture_file"],
        width_px=width_px,
        height_px=height_px,
        orientation=record.get("orientation", 1),
        difference_hash=None if look is None else int(look, 16),
        trace_id=record.get("trace", ""),
    )


def _write_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
