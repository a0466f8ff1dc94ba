"""What every ledger promises: the fake, SQLite and PostgreSQL."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from maskloop.database.address import sqlite_url
from maskloop.errors import ConfigurationError, UnavailableError
from maskloop.ledger.leases import leased
from maskloop.ledger.port import Lease, Ledger, Snapshot, check_chain, newest_first
from maskloop.ledger.sql_ledger import SqlLedger
from tests.fakes.ledger import FakeClock, FakeLedger


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "fake":
        yield FakeLedger(clock)
        return
    is_file = request.param == "sqlite"
    url = sqlite_url(tmp_path / "ledger.db") if is_file else request.getfixturevalue("postgresql_url")
    made = SqlLedger(url, clock=clock, lease_clock=clock)
    yield made
    made.close()


def test_entries_are_numbered_from_one_without_gaps_and_chained(ledger: Ledger, clock: FakeClock) -> None:
    for number in range(5):
        ledger.append("thing.happened", {"number": number}, actor="anna", cycle_id="c1")
        clock.advance(seconds=-3600)
    entries = ledger.entries()
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry.payload["number"] for entry in entries] == [0, 1, 2, 3, 4]
    assert (entries[0].actor, entries[0].cycle_id, entries[0].key) == ("anna", "c1", "")
    check_chain(entries)


def test_append_gives_back_what_entries_will_say(ledger: Ledger) -> None:
    entry = ledger.append("thing.happened", {"list": (1, 2), "text": "ü\n"}, key="k")
    assert ledger.entries() == (entry,)
    assert entry.payload == {"list": [1, 2], "text": "ü\n"}


def test_a_key_used_before_gives_the_older_entry(ledger: Ledger) -> None:
    first = ledger.append("thing.happened", {"a": 1}, key="once")
    assert ledger.append("other.thing", {"a": 2}, key="once") == first
    assert len(ledger.entries()) == 1


def test_entries_without_a_key_may_be_equal(ledger: Ledger) -> None:
    ledger.append("thing.happened", {})
    ledger.append("thing.happened", {})
    assert len(ledger.entries()) == 2


def test_entries_after_a_number(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.append("thing.happened", {})
    assert [entry.sequence for entry in ledger.entries(after=1)] == [2, 3]
    assert ledger.entries(after=3) == ()


@pytest.mark.parametrize("payload", [{"x": float("nan")}, {"x": object()}])
def test_only_plain_finite_json_is_written(ledger: Ledger, payload: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        ledger.append("thing.happened", payload)
    assert ledger.entries() == ()


def test_a_lease_has_one_holder_until_it_expires(ledger: Ledger, clock: FakeClock) -> None:
    first = ledger.take_lease("training", ttl_s=60)
    assert first is not None
    assert ledger.take_lease("training", ttl_s=60) is None
    assert ledger.take_lease("promotion", ttl_s=60) is not None
    clock.advance(seconds=61)
    second = ledger.take_lease("training", ttl_s=60)
    assert second is not None
    assert second.epoch > first.epoch


def test_a_lease_that_was_lost_cannot_be_renewed_or_freed(ledger: Ledger, clock: FakeClock) -> None:
    first = ledger.take_lease("training", ttl_s=60)
    clock.advance(seconds=61)
    second = ledger.take_lease("training", ttl_s=60)
    assert first
    assert second
    assert not ledger.renew_lease(first, ttl_s=60)
    ledger.free_lease(first)
    assert ledger.take_lease("training", ttl_s=60) is None


def test_a_renewed_lease_lasts_longer(ledger: Ledger, clock: FakeClock) -> None:
    lease = ledger.take_lease("training", ttl_s=60)
    assert lease
    clock.advance(seconds=50)
    assert ledger.renew_lease(lease, ttl_s=60)
    clock.advance(seconds=50)
    assert ledger.take_lease("training", ttl_s=60) is None


def test_a_freed_lease_can_be_taken_at_once(ledger: Ledger) -> None:
    lease = ledger.take_lease("training", ttl_s=60)
    assert lease
    ledger.free_lease(lease)
    again = ledger.take_lease("training", ttl_s=60)
    assert again
    assert again.epoch == lease.epoch + 1


def test_holding_a_lease_for_a_block_frees_it_also_after_an_error(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError), leased(ledger, "training", ttl_s=60):
        raise RuntimeError
    assert ledger.take_lease("training", ttl_s=60) is not None


def test_a_held_lease_keeps_everybody_else_out(ledger: Ledger) -> None:
    assert ledger.take_lease("training", ttl_s=60)
    with pytest.raises(UnavailableError, match="already running"), leased(ledger, "training", ttl_s=60):
        pass


def test_who_holds_a_lease_can_be_asked_without_touching_it(ledger: Ledger, clock: FakeClock) -> None:
    assert ledger.lease_holder("training") is None
    lease = ledger.take_lease("training", ttl_s=60)
    assert lease is not None
    holder = ledger.lease_holder("training")
    assert holder is not None
    assert (holder.pid, holder.host, holder.is_alive) == (os.getpid(), socket.gethostname(), True)
    clock.advance(seconds=61)
    expired = ledger.lease_holder("training")
    assert expired is not None
    assert not expired.is_alive
    assert ledger.renew_lease(lease, ttl_s=60), "asking has taken nothing"
    ledger.free_lease(lease)
    assert ledger.lease_holder("training") is None


def test_a_refusal_names_the_process_that_is_at_it(ledger: Ledger) -> None:
    with leased(ledger, "training", ttl_s=60):
        pattern = rf"training is already running \(process {os.getpid()} on "
        with pytest.raises(UnavailableError, match=pattern), leased(ledger, "training", ttl_s=60):
            pass


# --- looking up ----------------------------------------------------------------------------------


@pytest.fixture
def told(ledger: Ledger, clock: FakeClock) -> Ledger:
    """Six entries: of kinds a, b, a, b, a, b, in cycles c1, c1, c2, c2 and none."""
    for number, cycle in enumerate(("c1", "c1", "c2", "c2", "", ""), start=1):
        ledger.append("ab"[(number - 1) % 2], {"number": number}, cycle_id=cycle, key=f"key {number}")
        clock.advance(minutes=-1)
    return ledger


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"kinds": ("a",)}, [1, 3, 5]),
        ({"kinds": ("a", "b"), "newest_first": True}, [6, 5, 4, 3, 2, 1]),
        ({"cycle_id": "c2"}, [3, 4]),
        ({"cycle_id": "c2", "kinds": ("b",)}, [4]),
        ({"key": "key 5"}, [5]),
        ({"key": "key 7"}, []),
        ({"before": 3}, [1, 2]),
        ({"kinds": ("b",), "before": 6, "newest_first": True, "limit": 1}, [4]),
        ({"limit": 2}, [1, 2]),
        ({"kinds": ("c",)}, []),
    ],
)
def test_entries_are_found_by_what_they_are_about(
    told: Ledger, asked: dict[str, Any], found: list[int]
) -> None:
    entries = told.find(**asked)
    assert [entry.sequence for entry in entries] == found
    assert all(entry == told.entries()[entry.sequence - 1] for entry in entries)


def test_the_newest_of_a_kind_are_read_one_after_the_other_to_the_first(ledger: Ledger) -> None:
    for number in range(1, 151):
        ledger.append("ab"[number % 2], {"number": number})
    assert [entry.sequence for entry in newest_first(ledger, ("a",))] == list(range(150, 0, -2))
    assert next(newest_first(ledger, ("b",), before=100)).sequence == 99


def test_the_first_entries_after_one_are_read_alone(told: Ledger) -> None:
    assert [entry.sequence for entry in told.entries(after=2, limit=3)] == [3, 4, 5]


# --- snapshots -----------------------------------------------------------------------------------


def snapshot(sequence: int, fold_version: str = "1", body: str = "{}") -> Snapshot:
    return Snapshot(sequence, "d" * 64, fold_version, body, "b" * 64)


def test_the_newest_snapshot_of_a_fold_comes_back_as_it_was_kept(ledger: Ledger) -> None:
    assert ledger.newest_snapshot("1") is None
    ledger.keep_snapshot(snapshot(5))
    ledger.keep_snapshot(snapshot(9, body='{"name": "Größe"}'))
    assert ledger.newest_snapshot("1") == snapshot(9, body='{"name": "Größe"}')
    assert ledger.newest_snapshot("2") is None


def test_a_snapshot_is_kept_once(ledger: Ledger) -> None:
    ledger.keep_snapshot(snapshot(5))
    ledger.keep_snapshot(snapshot(5, body="[]"))
    assert ledger.newest_snapshot("1") == snapshot(5)


def test_only_the_newest_snapshots_stay(ledger: Ledger) -> None:
    for sequence, fold_version in ((1, "old"), (2, "1"), (3, "1"), (4, "1")):
        ledger.keep_snapshot(snapshot(sequence, fold_version))
    assert ledger.newest_snapshot("old") is None
    assert ledger.newest_snapshot("1") == snapshot(4)


def test_dropped_snapshots_take_no_entry_along(told: Ledger) -> None:
    told.keep_snapshot(snapshot(5))
    told.drop_snapshots()
    assert told.newest_snapshot("1") is None
    assert len(told.entries()) == 6


def test_a_lease_lasts_by_postgresql_s_clock_whatever_the_hosts_clocks_say(postgresql_url: str) -> None:
    first = SqlLedger(postgresql_url)
    assert first.take_lease("training", ttl_s=60)
    with closing(ShiftedHost(postgresql_url)) as other:
        assert other.take_lease("training", ttl_s=60) is None
        holder = other.lease_holder("training")
        assert holder is not None
        assert holder.is_alive
    first.close()


class ShiftedHost(SqlLedger):
    """A host four minutes ahead, which is refused nothing yet."""

    def __init__(self, url: str) -> None:
        super().__init__(url, clock=ShiftedClock(timedelta(minutes=4)))


class ShiftedClock:
    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        return datetime.now(UTC) + self._by


@pytest.mark.parametrize(
    ("days", "said"), [(3, "4320 minutes ahead of the database"), (-3, "4320 minutes behind the database")]
)
def test_a_host_whose_clock_is_days_off_is_told_so_and_writes_nothing(
    postgresql_url: str, days: int, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        SqlLedger(postgresql_url, clock=ShiftedClock(timedelta(days=days)))


def test_a_lease_that_could_not_be_renewed_for_its_time_counts_as_lost(clock: FakeClock) -> None:
    ledger = SilentLedger(clock)
    with leased(ledger, "training", ttl_s=0.15) as check:
        check()
        assert ledger.has_been_asked.wait(30)
        time.sleep(0.2)  # real time is what a lease lasts by
        with pytest.raises(UnavailableError, match="silent ledger"):
            check()


class SilentLedger(FakeLedger):
    """Gives leases, and answers no more from then on."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.has_been_asked = threading.Event()

    def renew_lease(self, lease: Lease, *, ttl_s: float) -> bool:
        self.has_been_asked.set()
        raise UnavailableError("no answer")

    def free_lease(self, lease: Lease) -> None:
        pass
