"""A ledger that keeps everything in memory, and a clock that stands still until it is moved."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from maskloop.clock import Clock
from maskloop.ledger.port import (
    SCHEMA_VERSION,
    Entry,
    Lease,
    LeaseHolder,
    Snapshot,
    make_entry,
    select_entries,
)

_FREED = datetime.min.replace(tzinfo=UTC)


@dataclass
class FakeClock:
    time: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def advance(self, **of_time: float) -> datetime:
        self.time += timedelta(**of_time)
        return self.time


@dataclass
class FakeLedger:
    clock: Clock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self._entries: list[Entry] = []
        self._snapshots: dict[tuple[int, str], Snapshot] = {}
        self._leases: dict[str, tuple[Lease, datetime]] = {}

    def append(
        self,
        kind: str,
        payload: Mapping[str, Any],
        *,
        actor: str = "maskloop",
        cycle_id: str = "",
        key: str = "",
    ) -> Entry:
        if key and (found := next((entry for entry in self._entries if entry.key == key), None)):
            return found
        previous = self._entries[-1].digest if self._entries else "0" * 64
        sequence = len(self._entries) + 1
        now = self.clock.now()
        entry = make_entry(sequence, kind, now, actor, cycle_id, payload, key, SCHEMA_VERSION, previous)
        self._entries.append(entry)
        return entry

    def entries(self, *, after: int = 0, limit: int = 0) -> Sequence[Entry]:
        found = self._entries[max(after, 0) :]
        return tuple(found[:limit] if limit else found)

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
        return select_entries(
            self._entries,
            kinds=kinds,
            cycle_id=cycle_id,
            key=key,
            before=before,
            newest_first=newest_first,
            limit=limit,
        )

    def keep_snapshot(self, snapshot: Snapshot) -> None:
        self._snapshots.setdefault((snapshot.sequence, snapshot.fold_version), snapshot)
        kept = sorted(self._snapshots)[-2:]
        self._snapshots = {place: self._snapshots[place] for place in kept}

    def newest_snapshot(self, fold_version: str) -> Snapshot | None:
        own = [one for one in self._snapshots.values() if one.fold_version == fold_version]
        return max(own, key=lambda one: one.sequence, default=None)

    def drop_snapshots(self) -> None:
        self._snapshots.clear()

    def take_lease(self, name: str, *, ttl_s: float) -> Lease | None:
        held = self._leases.get(name)
        if held and held[1] > self.clock.now():
            return None
        lease = Lease(name, "this process", held[0].epoch + 1 if held else 1)
        self._leases[name] = (lease, self._until(ttl_s))
        return lease

    def lease_holder(self, name: str) -> LeaseHolder | None:
        held = self._leases.get(name)
        if held is None or held[1] == _FREED:
            return None
        return LeaseHolder(socket.gethostname(), os.getpid(), held[1] > self.clock.now())

    def renew_lease(self, lease: Lease, *, ttl_s: float) -> bool:
        return self._set_expiry(lease, self._until(ttl_s))

    def free_lease(self, lease: Lease) -> None:
        self._set_expiry(lease, _FREED)

    def _set_expiry(self, lease: Lease, until: datetime) -> bool:
        held = self._leases.get(lease.name)
        if held is None or held[0].epoch != lease.epoch:
            return False
        self._leases[lease.name] = (held[0], until)
        return True

    def _until(self, ttl_s: float) -> datetime:
        return self.clock.now() + timedelta(seconds=ttl_s)
