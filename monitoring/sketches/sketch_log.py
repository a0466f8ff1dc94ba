"""The sketches of all samples, in SQLite or, by URL, in the database that several machines share.

**Each sample counts once.** Samples are read in the order of their arrival. Their sketches and the position
up to which they were read are written in one transaction, alone among the writers. So neither a crash nor a
second process counts one twice or leaves one out, and a sample that arrives late counts for the hour in which
it was received.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    select,
)

from maskloop.database.address import sqlite_url
from maskloop.database.database import Database
from maskloop.database.store import Store
from monitoring.features.table import EMBEDDING
from monitoring.samples.values import SampleLog
from monitoring.sketches.buckets import DAY_S, HOUR_S, Bucket, Kept, Sketch, draw_bases, merge, summarise
from monitoring.sketches.fourier import FourierBasis, FourierSum
from monitoring.sketches.number_sketch import NumberSketch

_SAMPLES_AT_ONCE: Final = 1000
_READER: Final = "samples"
HOURS_KEPT: Final = timedelta(days=14)
"""Older hours become days."""
_metadata = MetaData()
_sketches = Table(
    "sketches",
    _metadata,
    Column("start_s", BigInteger, primary_key=True, autoincrement=False),
    Column("length_s", Integer, primary_key=True, autoincrement=False),
    Column("weights_digest", String(64), primary_key=True),
    Column("model_version", String(64), primary_key=True),
    Column("source", Text, primary_key=True),
    Column("feature", Text, primary_key=True),
    Column("sketch", LargeBinary, nullable=False),
)
_bases = Table(
    "sketch_bases",
    _metadata,
    Column("weights_digest", String(64), primary_key=True),
    Column("num_values", Integer, nullable=False),
    Column("frequencies", LargeBinary, nullable=False),
)
_progress = Table(
    "sketch_progress",
    _metadata,
    Column("reader", String(64), primary_key=True),
    Column("position", BigInteger, nullable=False),
)
STORE: Final = Store("sketches", "the sketches of samples", _metadata)
_KEY: Final = [column.name for column in _sketches.primary_key]


@dataclass(frozen=True)
class TakenIn:
    """What came of reading the sample log.

    Attributes:
        num_samples: That were summarised.
        num_left_out: Failures, and samples that only a rule kept: they do not stand for production.
        num_ahead: Summarised although received later than now: a clock is wrong.
        num_of_other_width: With an embedding of another length than their model's, which counts as missing.
        is_log_replaced: The log ends before what was already read: it was begun anew or restored. What it
            holds now is taken as counted.
    """

    num_samples: int = 0
    num_left_out: int = 0
    num_ahead: int = 0
    num_of_other_width: int = 0
    is_log_replaced: bool = False


class SqlSketchLog:
    """Sketches in one table. Safe to use from several threads and processes.

    Args:
        url: Of the database.

    Raises:
        MaskloopError: as `maskloop.database.database.Database` does.
    """

    def __init__(self, url: str | URL) -> None:
        self._database = Database(url, STORE)

    @classmethod
    def at(cls, path: Path) -> SqlSketchLog:
        """Open a SQLite file, which is created if it is missing. Raises as `Database` does."""
        return cls(sqlite_url(path))

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def take_in(self, log: SampleLog, *, now: datetime) -> TakenIn:
        """Add to the sketches what has arrived in the sample log since the last time.

        Raises:
            MaskloopError: if either cannot be used. What was added until then stays, and is not added again.
        """
        total = TakenIn()
        while True:
            step, is_end = self._take_step(log, now)
            total = TakenIn(
                total.num_samples + step.num_samples,
                total.num_left_out + step.num_left_out,
                total.num_ahead + step.num_ahead,
                total.num_of_other_width + step.num_of_other_width,
                total.is_log_replaced or step.is_log_replaced,
            )
            if is_end:
                return total

    def read(
        self, since: datetime, until: datetime, *, features: Sequence[str] = (), weights_digest: str = ""
    ) -> Sequence[Kept]:
        """Return the sketches of buckets that begin in a period, in order of time.

        Args:
            since: Its first moment. For periods longer ago than `HOURS_KEPT` only whole UTC days are known.
            until: The moment after its last.
            features: Only these; all if empty.
            weights_digest: Only of this model; of all if empty.

        Raises:
            IntegrityError: if one is damaged.
        """
        is_asked = (_sketches.c.start_s >= since.timestamp()) & (_sketches.c.start_s < until.timestamp())
        if features:
            is_asked &= _sketches.c.feature.in_(features)
        if weights_digest:
            is_asked &= _sketches.c.weights_digest == weights_digest
        query = select(_sketches).where(is_asked).order_by(*(_sketches.c[name] for name in _KEY))
        with self._database.reading() as connection:
            return tuple(_from_row(row) for row in connection.execute(query).mappings())

    def basis_of(self, weights_digest: str) -> FourierBasis | None:
        """Return the basis of a model's embeddings; None while it has none."""
        with self._database.reading() as connection:
            return self._read_bases(connection).get(weights_digest)

    def merge_old_hours(self, now: datetime) -> int:
        """Merge hours older than `HOURS_KEPT` into their days; return how many sketches were merged.

        Only whole days become old.
        """
        limit_s = int((now - HOURS_KEPT).timestamp())
        is_old = (_sketches.c.length_s == HOUR_S) & (_sketches.c.start_s < limit_s - limit_s % DAY_S)
        num_merged = 0
        while True:
            with self._database.writing() as connection:
                oldest = select(_sketches.c.start_s).where(is_old).order_by(_sketches.c.start_s).limit(1)
                start_s = connection.execute(oldest).scalar()
                if start_s is None:
                    return num_merged
                begins_s = start_s - start_s % DAY_S
                of_the_day = is_old & (_sketches.c.start_s < begins_s + DAY_S)
                hours = [
                    _from_row(row)
                    for row in connection.execute(select(_sketches).where(of_the_day)).mappings()
                ]
                days: dict[tuple[Bucket, str], list[Sketch]] = defaultdict(list)
                for hour in hours:
                    days[hour.bucket.day, hour.feature].append(hour.sketch)
                self._add(connection, {key: merge(sketches) for key, sketches in days.items()})
                connection.execute(delete(_sketches).where(of_the_day))
                num_merged += len(hours)

    def _take_step(self, log: SampleLog, now: datetime) -> tuple[TakenIn, bool]:
        """Take in some samples; tell too whether there are no more."""
        with self._database.writing() as connection:
            position = connection.execute(select(_progress.c.position)).scalar() or 0
            arrivals = log.arrivals(position, _SAMPLES_AT_ONCE)
            if not arrivals:
                last = log.last_position()
                is_replaced = 0 < last < position
                if is_replaced:
                    self._remember(connection, last)
                return TakenIn(is_log_replaced=is_replaced), True
            samples = [one.sample for one in arrivals if one.is_representative]
            bases = self._read_bases(connection)
            drawn = draw_bases(samples, bases)
            summary = summarise(samples, {**bases, **drawn}, now=now)
            for digest, basis in drawn.items():
                row = {
                    "weights_digest": digest,
                    "num_values": basis.num_values,
                    "frequencies": basis.to_bytes(),
                }
                connection.execute(_bases.insert().values(row))
            self._add(connection, summary.sketches)
            self._remember(connection, arrivals[-1].position)
        taken = TakenIn(
            summary.num_samples,
            len(arrivals) - summary.num_samples,
            summary.num_ahead,
            summary.num_of_other_width,
        )
        return taken, len(arrivals) < _SAMPLES_AT_ONCE

    def _add(self, connection: Connection, sketches: Mapping[tuple[Bucket, str], Sketch]) -> None:
        """Merge sketches into those that are there."""
        insert = self._database.insert(_sketches)
        write = insert.on_conflict_do_update(index_elements=_KEY, set_={"sketch": insert.excluded.sketch})
        for (bucket, feature), sketch in sketches.items():
            key = _key_of(bucket, feature)
            is_it = [_sketches.c[name] == value for name, value in key.items()]
            row = connection.execute(select(_sketches).where(*is_it)).mappings().first()
            merged = merge([_from_row(row).sketch, sketch]) if row else sketch
            connection.execute(write, {**key, "sketch": merged.to_bytes()})

    def _remember(self, connection: Connection, position: int) -> None:
        insert = self._database.insert(_progress).values(reader=_READER, position=position)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["reader"], set_={"position": insert.excluded.position}
            )
        )

    def _read_bases(self, connection: Connection) -> dict[str, FourierBasis]:
        return {
            row.weights_digest: FourierBasis.from_bytes(row.frequencies, row.num_values)
            for row in connection.execute(select(_bases))
        }


def _key_of(bucket: Bucket, feature: str) -> dict[str, Any]:
    return {
        "start_s": bucket.start_s,
        "length_s": bucket.length_s,
        "weights_digest": bucket.weights_digest,
        "model_version": bucket.model_version,
        "source": bucket.source,
        "feature": feature,
    }


def _from_row(row: Any) -> Kept:
    bucket = Bucket(*(row[name] for name in _KEY if name != "feature"))
    read = FourierSum.from_bytes if row["feature"] == EMBEDDING.name else NumberSketch.from_bytes
    return Kept(bucket, row["feature"], read(bytes(row["sketch"])))
