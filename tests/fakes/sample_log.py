"""A sample log that keeps everything in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

from monitoring.samples.sample_log import (
    EXPIRED,
    Arrival,
    Pruned,
    Sample,
    SampleCounts,
    picture_file_name,
    tally,
)


class FakeSampleLog:
    def __init__(self, *, keep_pictures: int = 2000, retention_days: float = 90.0) -> None:
        self._keep_pictures = keep_pictures
        self._retention = timedelta(days=retention_days)
        self._samples: dict[str, Sample] = {}
        self._status: dict[str, tuple[str, str]] = {}
        self._positions: dict[str, int] = {}
        self._numbers = count(1)
        self._scores: set[tuple[str, str]] = set()
        self._pictures: dict[str, bytes] = {}
        self._forgotten: list[tuple[str, str, int]] = []

    def add(self, sample: Sample, picture_bytes: bytes | None = None, *, skip_reason: str = "") -> bool:
        if sample.sample_id in self._samples:
            return False
        name = picture_file_name(picture_bytes) if picture_bytes and self._keep_pictures else None
        if name and picture_bytes:
            self._pictures[name] = picture_bytes
        self._samples[sample.sample_id] = dataclasses.replace(sample, picture_file=name)
        self._status[sample.sample_id] = ("skipped", skip_reason) if skip_reason else ("pending", "")
        self._positions[sample.sample_id] = next(self._numbers)
        with_picture = [kept for kept in reversed(self._samples.values()) if kept.picture_file]
        for old in with_picture[self._keep_pictures :]:
            self._samples[old.sample_id] = dataclasses.replace(old, picture_file=None)
        self._drop_unused_pictures()
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
        found = [
            sample
            for sample in reversed(self._samples.values())
            if weights_digest in (None, sample.weights_digest)
            and (after is None or sample.received_at > after)
            and not (pending_only and self._status[sample.sample_id][0] != "pending")
            and not (with_picture and sample.picture_file is None)
        ]
        return tuple(found[:limit])

    def arrivals(self, after: int, limit: int) -> Sequence[Arrival]:
        found = [
            Arrival(self._positions[sample_id], sample, self._status[sample_id][1])
            for sample_id, sample in self._samples.items()
            if self._positions[sample_id] > after
        ]
        return tuple(found[:limit])

    def last_position(self) -> int:
        return max((self._positions[sample_id] for sample_id in self._samples), default=0)

    def get(self, sample_id: str) -> Sample | None:
        return self._samples.get(sample_id)

    def picture_bytes(self, sample: Sample) -> bytes | None:
        return self._pictures.get(sample.picture_file or "")

    def mark_scored(self, detector: str, sample_ids: Sequence[str]) -> tuple[str, ...]:
        new = []
        for sample_id in dict.fromkeys(sample_ids):
            if self._status.get(sample_id, ("skipped", ""))[0] == "skipped":
                continue
            self._status[sample_id] = ("scored", "")
            if (sample_id, detector) not in self._scores:
                self._scores.add((sample_id, detector))
                new.append(sample_id)
        return tuple(new)

    def skip(self, sample_id: str, reason: str) -> bool:
        if self._status.get(sample_id) != ("pending", ""):
            return False
        self._status[sample_id] = ("skipped", reason)
        return True

    def counts(self) -> SampleCounts:
        return tally([*((status, reason, 1) for status, reason in self._status.values()), *self._forgotten])

    def prune(self, now: datetime | None = None) -> Pruned:
        oldest = (now or datetime.now(UTC)) - self._retention
        expired = [sample for sample in self._samples.values() if sample.received_at < oldest]
        for sample in expired:
            self.skip(sample.sample_id, EXPIRED)
            self._forgotten.append((*self._status.pop(sample.sample_id), 1))
            del self._samples[sample.sample_id]
            self._scores = {score for score in self._scores if score[0] != sample.sample_id}
        return Pruned(len(expired), self._drop_unused_pictures())

    def _drop_unused_pictures(self) -> int:
        used = {sample.picture_file for sample in self._samples.values()}
        unused = [name for name in self._pictures if name not in used]
        for name in unused:
            del self._pictures[name]
        return len(unused)
