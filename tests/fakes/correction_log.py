"""A correction log that keeps everything in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from monitoring.samples.corrections import Correction, Judged, Label, no_picture_left


class FakeCorrectionLog:
    def __init__(self, *, keep_pictures: int = 2000, retention_days: float = 90.0) -> None:
        self._keep_pictures, self._retention = keep_pictures, timedelta(days=retention_days)
        self._said: dict[str, Correction] = {}
        self._labels: dict[str, Label] = {}
        self._pictures: dict[str, bytes] = {}
        self._num_ever = 0

    def add(self, correction: Correction, picture: bytes | None = None) -> bool:
        key = correction.request_id
        before = self._said.get(key)
        if before and before.content_digest == correction.content_digest:
            return False
        self._num_ever += 1
        self._said.pop(key, None)
        self._said[key] = correction  # the last to arrive comes last
        if picture is not None:
            self._pictures[key] = picture
        can_wait = correction.instances is not None and key in self._pictures
        self._labels[key] = Label("waiting" if can_wait else "none")
        with_picture = [known for known in reversed(self._said) if known in self._pictures]
        for old in with_picture[self._keep_pictures :]:
            del self._pictures[old]
            if self._labels[old].fate == "waiting":
                self._labels[old] = Label("none", no_picture_left(self._keep_pictures))
        return True

    def get(self, request_ids: Sequence[str]) -> Mapping[str, Correction]:
        return {key: self._said[key] for key in request_ids if key in self._said}

    def newest_sequence(self) -> int:
        return self._num_ever if self._said else 0

    def newest(self, limit: int) -> Sequence[Correction]:
        return tuple(reversed(self._said.values()))[:limit]

    def waiting(self, limit: int) -> Sequence[Correction]:
        return tuple(one for key, one in self._said.items() if self._labels[key].fate == "waiting")[:limit]

    def num_waiting(self) -> int:
        return len(self.waiting(len(self._said)))

    def labels(self, request_ids: Sequence[str]) -> Mapping[str, Label]:
        return {key: self._labels[key] for key in request_ids if key in self._labels}

    def picture_bytes(self, request_id: str) -> bytes | None:
        return self._pictures.get(request_id)

    def mark_ingested(self, corrections: Sequence[Correction], tag: str) -> None:
        self._settle(corrections, Label("ingested", tag))

    def mark_refused(self, corrections: Sequence[Correction], reason: str) -> None:
        self._settle(corrections, Label("refused", reason))

    def wait_again(self) -> int:
        refused = [key for key, label in self._labels.items() if label.fate == "refused"]
        again = [key for key in refused if key in self._pictures]
        self._labels.update({key: Label("waiting") for key in again})
        return len(again)

    def judged(self) -> Sequence[Judged]:
        counts = Counter((one.model_version, one.verdict) for one in self._said.values())
        versions = sorted({version for version, _ in counts})
        return tuple(Judged(each, counts[each, "right"], counts[each, "wrong"]) for each in versions)

    def prune(self, now: datetime | None = None) -> int:
        oldest = (now or datetime.now(UTC)) - self._retention
        expired = [key for key, one in self._said.items() if one.at < oldest]
        for key in expired:
            del self._said[key], self._labels[key]
            self._pictures.pop(key, None)
        return len(expired)

    def _settle(self, corrections: Sequence[Correction], label: Label) -> None:
        for one in corrections:
            now = self._said.get(one.request_id)
            if now and now.content_digest == one.content_digest:
                self._labels[one.request_id] = label
