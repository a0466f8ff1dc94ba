"""The ledger: one append-only record of everything the loop decided and did.

Each entry holds the digest of the one before it, so that a changed or missing entry is noticed. The order is
the sequence number's, never the clock's. Entries carry a ``schema_version`` and stay readable for ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from maskloop.digest import canonical_json, digest_value
from maskloop.errors import IntegrityError

SCHEMA_VERSION: Final = 1
FIRST_PREVIOUS: Final = "0" * 64
_READ_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger.

    Attributes:
        sequence: 1, 2, 3, … without gaps.
        kind: What happened, e.g. ``verdict.reached``; see `maskloop.records.kinds`.
        at: When it was written, UTC.
        actor: Who did it: a person's name, or ``maskloop``.
        cycle_id: The turn of the loop it belongs to, or an empty string.
        payload: Plain JSON data.
        key: The idempotency key, or an empty string.
        schema_version: Of the payload.
        previous_digest: Digest of the entry before it.
        digest: Digest of all of the above.
    """

    sequence: int
    kind: str
    at: datetime
    actor: str
    cycle_id: str
    payload: Mapping[str, Any]
    key: str
    schema_version: int
    previous_digest: str
    digest: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to be the only one doing something, until it expires."""

    name: str
    owner: str
    epoch: int
    """Grows with every holder: work stamped with an older epoch has lost the right to finish."""


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """Who took a lease last and has not given it back.

    Attributes:
        host: Name of the machine.
        pid: Process id on that machine.
        is_alive: False once the lease has expired, or its process is known to have ended: both mean that the
            work died.
    """

    host: str
    pid: int
    is_alive: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The folded state up to one entry, kept so that a reader need not fold from the first entry.

    A cache: without it, or with one that does not fit, everything is folded again.

    Attributes:
        sequence: Of the newest entry folded.
        entry_digest: Of that entry; another one at that place voids the snapshot.
        fold_version: Of the fold that made it; another fold ignores it.
        body: The state as JSON.
        body_digest: Of the body.
    """

    sequence: int
    entry_digest: str
    fold_version: str
    body: str
    body_digest: str


class Finder(Protocol):
    """Where entries can be looked up by what they are about."""

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
        """Return the entries that fit everything asked for; what is empty or 0 is not asked for.

        Args:
            kinds: Any of these kinds.
            cycle_id: Of this turn of the loop.
            key: With this idempotency key.
            before: With a lower sequence number.
            newest_first: In falling order of the sequence number instead of rising.
            limit: At most so many, the first ones in that order.
        """
        ...


class Ledger(Finder, Protocol):
    """The port. `maskloop.ledger.sql_ledger` has the real one, `tests.fakes.ledger` one in memory."""

    def append(
        self,
        kind: str,
        payload: Mapping[str, Any],
        *,
        actor: str = "maskloop",
        cycle_id: str = "",
        key: str = "",
    ) -> Entry:
        """Write one entry; with a ``key`` that was used before, return that older entry instead."""
        ...

    def entries(self, *, after: int = 0, limit: int = 0) -> Sequence[Entry]:
        """Return the entries with a sequence number above ``after``, in order; only the first ``limit``."""
        ...

    def keep_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a folded state and drop all but the newest two; twice keeps it once."""
        ...

    def newest_snapshot(self, fold_version: str) -> Snapshot | None:
        """Return the newest snapshot of this fold, as it was kept; the caller checks it."""
        ...

    def drop_snapshots(self) -> None:
        """Forget all snapshots. Nothing but time is lost."""
        ...

    def take_lease(self, name: str, *, ttl_s: float) -> Lease | None:
        """Take a free or expired lease; None if somebody alive holds it."""
        ...

    def lease_holder(self, name: str) -> LeaseHolder | None:
        """Say who holds a lease, without touching it; None if it was never taken or was given back."""
        ...

    def renew_lease(self, lease: Lease, *, ttl_s: float) -> bool:
        """Prolong a lease; False if it was lost to another holder."""
        ...

    def free_lease(self, lease: Lease) -> None:
        """Give a lease back, if it is still held."""
        ...


def make_entry(
    sequence: int,
    kind: str,
    at: datetime,
    actor: str,
    cycle_id: str,
    payload: Mapping[str, Any],
    key: str,
    schema_version: int,
    previous_digest: str,
) -> Entry:
    """Build an entry and its digest. Raises ValueError if the payload is not plain, finite JSON."""
    plain = json.loads(canonical_json(payload))
    head = [sequence, kind, write_time(at), actor, cycle_id, plain, key, schema_version, previous_digest]
    return Entry(
        sequence, kind, at, actor, cycle_id, plain, key, schema_version, previous_digest, digest_value(head)
    )


def check_chain(entries: Sequence[Entry], *, after: tuple[int, str] = (0, FIRST_PREVIOUS)) -> None:
    """Check that no entry was changed, lost or put in between.

    Args:
        entries: All of them, or those that follow ``after``, which was checked before.
        after: Sequence number and digest of the last entry that was checked before.

    Raises:
        IntegrityError: naming the first entry that does not fit.
    """
    expected, previous = after[0] + 1, after[1]
    for entry in entries:
        again = make_entry(
            expected,
            entry.kind,
            entry.at,
            entry.actor,
            entry.cycle_id,
            entry.payload,
            entry.key,
            entry.schema_version,
            previous,
        )
        if again != entry:
            raise IntegrityError("the ledger was changed by hand", where=f"entry {entry.sequence}")
        previous, expected = entry.digest, expected + 1


def check_entry(entry: Entry) -> Entry:
    """Return an entry that was looked up by itself. Raises IntegrityError if it does not fit its digest."""
    check_chain([entry], after=(entry.sequence - 1, entry.previous_digest))
    return entry


def newest_first(ledger: Finder, kinds: Sequence[str], *, before: int = 0) -> Iterator[Entry]:
    """Yield the entries of some kinds, the newest first, reading few more than are asked for."""
    while found := ledger.find(kinds=kinds, before=before, newest_first=True, limit=_READ_AT_ONCE):
        yield from map(check_entry, found)
        before = found[-1].sequence
        if before == 1:
            return


def select_entries(
    entries: Sequence[Entry],
    *,
    kinds: Sequence[str] = (),
    cycle_id: str = "",
    key: str = "",
    before: int = 0,
    newest_first: bool = False,
    limit: int = 0,
) -> tuple[Entry, ...]:
    """Answer `Finder.find` from entries in memory."""
    found = [
        entry
        for entry in (reversed(entries) if newest_first else entries)
        if (not kinds or entry.kind in kinds)
        and (not cycle_id or entry.cycle_id == cycle_id)
        and (not key or entry.key == key)
        and (not before or entry.sequence < before)
    ]
    return tuple(found[:limit] if limit else found)


def write_time(time_: datetime) -> str:
    """Return a time as entries are stored and digested with it: ISO 8601, UTC, in microseconds."""
    return time_.astimezone(UTC).isoformat(timespec="microseconds")
