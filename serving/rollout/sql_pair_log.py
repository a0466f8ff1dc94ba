"""The pair log in SQLite or, by URL, in the database that the replicas of several machines share."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError as UniqueViolation

from dataset.pictures.orientation import orient_size, undo
from evaluation.instances import Detections
from maskloop.database.address import sqlite_url
from maskloop.database.database import Database
from maskloop.database.store import Store
from maskloop.digest import canonical_json
from maskloop.masks import rle_from_coco
from models.answering.instance_json import read_instances, write_instances
from serving.rollout.pairs import Comparison, KeptPair

SCHEMA_VERSION: Final = 2
"""Version of the format of column ``answers``."""
_metadata = MetaData()
_pairs = Table(
    "rollout_pairs",
    _metadata,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("rollout", String(64), nullable=False, index=True),
    Column("request_id", String(255), nullable=False),
    Column("difference", Float, nullable=False),
    Column("record", Text, nullable=False),
    Column("answers", LargeBinary, nullable=False),
    Column("picture", LargeBinary, nullable=True),
    Column("schema_version", Integer, nullable=False),
    UniqueConstraint("rollout", "request_id"),
    sqlite_autoincrement=True,
)
STORE: Final = Store("pairs", "the pair log", _metadata)
_without_picture = (_pairs.c.sequence, _pairs.c.record, _pairs.c.answers)
"""SQLite stores a row's columns in order: what comes after the picture is read through the picture."""


class SqlPairLog:
    """Pairs in one table. Safe to use from several threads and processes.

    Args:
        url: Of the database.
        keep_pictures: Of each rollout's pairs, the pictures of this many that differ most are kept.

    Raises:
        MaskloopError: as `maskloop.database.database.Database` does.
    """

    def __init__(self, url: str | URL, *, keep_pictures: int) -> None:
        self._database, self._keep_pictures = Database(url, STORE), keep_pictures

    @classmethod
    def at(cls, path: Path, *, keep_pictures: int) -> SqlPairLog:
        """Open a SQLite file, which is created if it is missing. Raises as `Database` does."""
        return cls(sqlite_url(path), keep_pictures=keep_pictures)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def add(self, pair: KeptPair) -> bool:
        """Write a pair down; see `serving.rollout.pairs.PairLog`."""
        row = _to_row(pair)
        try:
            with self._database.writing() as connection:
                row["picture"] = pair.picture if self._is_worth_keeping(connection, pair) else None
                connection.execute(insert(_pairs).values(row))
                self._drop_pictures(connection, pair.comparison.cycle_id)
        except UniqueViolation:
            return False
        return True

    def comparisons(self, cycle_id: str, *, after: int = 0) -> Sequence[Comparison]:
        """Return a rollout's comparisons with a sequence above ``after``, in order of arrival."""
        query = select(_pairs.c.sequence, _pairs.c.record).where(
            _pairs.c.rollout == cycle_id, _pairs.c.sequence > after
        )
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(_pairs.c.sequence)).all()
        return tuple(_read_comparison(sequence, record) for sequence, record in rows)

    def find(self, cycle_id: str, request_ids: Sequence[str]) -> Sequence[KeptPair]:
        """Return those of these pairs that are there, in order of arrival, without their pictures."""
        query = select(*_without_picture).where(
            _pairs.c.rollout == cycle_id, _pairs.c.request_id.in_(request_ids)
        )
        return self._read_pairs(query.order_by(_pairs.c.sequence))

    def worst(self, cycle_id: str, limit: int) -> Sequence[KeptPair]:
        """Return the pairs whose pictures are kept, those that differ most first."""
        query = select(_pairs).where(_pairs.c.rollout == cycle_id, _pairs.c.picture.is_not(None))
        return self._read_pairs(query.order_by(_pairs.c.difference.desc(), _pairs.c.sequence).limit(limit))

    def forget(self, cycle_id: str) -> None:
        """Forget a rollout's pairs."""
        with self._database.writing() as connection:
            connection.execute(delete(_pairs).where(_pairs.c.rollout == cycle_id))

    def cycle_ids(self) -> Sequence[str]:
        """Return the cycles it has pairs of."""
        with self._database.reading() as connection:
            return tuple(connection.execute(select(_pairs.c.rollout).distinct()).scalars())

    def _read_pairs(self, query: Any) -> Sequence[KeptPair]:
        with self._database.reading() as connection:
            return tuple(_from_row(row) for row in connection.execute(query).mappings())

    def _is_worth_keeping(self, connection: Connection, pair: KeptPair) -> bool:
        """Tell whether a pair would be among the worst; most are not, and their pictures are not written."""
        if pair.picture is None or not self._keep_pictures:
            return False
        kept = (_pairs.c.rollout == pair.comparison.cycle_id) & _pairs.c.picture.is_not(None)
        count, least = connection.execute(
            select(func.count(), func.min(_pairs.c.difference)).where(kept)
        ).one()
        return bool(count < self._keep_pictures or pair.comparison.difference > least)

    def _drop_pictures(self, connection: Connection, cycle_id: str) -> None:
        kept = (_pairs.c.rollout == cycle_id) & _pairs.c.picture.is_not(None)
        order = select(_pairs.c.sequence).where(kept)
        over = connection.execute(
            order.order_by(_pairs.c.difference.desc(), _pairs.c.sequence).offset(self._keep_pictures)
        ).scalars()
        connection.execute(update(_pairs).where(_pairs.c.sequence.in_(over.all())).values(picture=None))


def _to_row(pair: KeptPair) -> dict[str, Any]:
    record = asdict(pair.comparison)
    del record["sequence"]
    record["rollout"] = record.pop("cycle_id")  # the stored name, like the column's
    answers = {
        "champion": _write(pair.champion, pair),
        "challenger": _write(pair.challenger, pair),
        "class_names": pair.class_names,
        "orientation": pair.orientation,
    }
    return {
        "rollout": pair.comparison.cycle_id,
        "request_id": pair.comparison.request_id,
        "difference": pair.comparison.difference,
        "record": canonical_json(record),
        "answers": zlib.compress(canonical_json(answers).encode()),
        "schema_version": SCHEMA_VERSION,
    }


def _from_row(row: Any) -> KeptPair:
    answers = json.loads(zlib.decompress(row["answers"]))
    names, orientation = tuple(answers["class_names"]), answers["orientation"]
    champion, challenger = (_read(answers[side], names, orientation) for side in ("champion", "challenger"))
    comparison = _read_comparison(row["sequence"], row["record"])
    return KeptPair(comparison, champion, challenger, names, orientation, row.get("picture"))


def _read_comparison(sequence: int, record: str) -> Comparison:
    stored = json.loads(record)
    return Comparison(stored.pop("rollout"), **stored, sequence=sequence)


def _write(found: Detections | None, pair: KeptPair) -> dict[str, Any] | None:
    if found is None:
        return None
    stored_size_px = orient_size(found.height_px, found.width_px, undo(pair.orientation))
    instances = write_instances(found, pair.class_names, orientation=pair.orientation)
    return {"size": list(stored_size_px), "instances": instances}


def _read(
    written: dict[str, Any] | None, class_names: tuple[str, ...], orientation: int
) -> Detections | None:
    if written is None:
        return None
    if "instances" not in written:
        return _read_version_1(written)
    height_px, width_px = written["size"]
    return read_instances(
        written["instances"], class_names, orientation=orientation, stored_size_px=(height_px, width_px)
    )


def _read_version_1(written: dict[str, Any]) -> Detections:
    """Read a side as it was written before answers had one form: in the upright picture, column by column."""
    height_px, width_px = written["size"]
    masks = [
        rle_from_coco({"size": [height_px, width_px], "counts": counts}, height_px, width_px)
        for counts in written["masks"]
    ]
    return Detections(
        height_px,
        width_px,
        np.asarray(written["boxes_xyxy"], np.float32).reshape(-1, 4),
        np.asarray(written["scores"], np.float32),
        np.asarray(written["class_indices"], np.int64),
        tuple(masks),
    )
