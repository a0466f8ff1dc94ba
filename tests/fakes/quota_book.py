"""A quota book that keeps everything in memory."""

from __future__ import annotations

from datetime import datetime

from serving.sampling.quota_book import Worker, divide
from serving.sampling.quotas import Pool


class FakeQuotaBook:
    def __init__(self, *, least_workers: int = 1) -> None:
        self._least_workers = least_workers
        self._seen: dict[str, datetime] = {}
        self._taken: dict[tuple[int, str], dict[str, int]] = {}

    def exchange(self, worker: Worker, day: int) -> Pool:
        self._seen[worker.name] = worker.seen_at
        self._taken[day, worker.name] = {**self._taken.get((day, worker.name), {}), **worker.counts}
        everybody = [
            Worker(name, seen_at, self._taken.get((day, name), {})) for name, seen_at in self._seen.items()
        ]
        return divide(everybody, worker.name, day, least=self._least_workers)
