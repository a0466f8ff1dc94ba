"""Entries and their digests, and the lease that work holds."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskloop.errors import BusyError, IntegrityError, StorageError, UnavailableError
from maskloop.ledger.leases import leased
from maskloop.ledger.port import Entry, Lease, check_chain, check_entry, make_entry, write_time
from tests.fakes.ledger import FakeLedger

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FIELDS: dict[str, Any] = {
    "sequence": 1,
    "kind": "thing.happened",
    "at": NOON,
    "actor": "anna",
    "cycle_id": "c1",
    "payload": {"n": 1},
    "key": "k",
    "schema_version": 1,
    "previous_digest": "0" * 64,
}


def entry(**changes: object) -> Entry:
    return make_entry(**{**FIELDS, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 2},
        {"kind": "other.thing"},
        {"at": NOON + timedelta(microseconds=1)},
        {"actor": "otto"},
        {"cycle_id": ""},
        {"payload": {"n": 2}},
        {"key": ""},
        {"schema_version": 2},
        {"previous_digest": "1" * 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_field_of_an_entry_enters_its_digest(change: dict[str, object]) -> None:
    assert entry(**change).digest != entry().digest


def test_the_same_moment_in_another_zone_has_the_same_digest() -> None:
    in_tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    assert entry(at=in_tokyo).digest == entry().digest
    assert write_time(in_tokyo) == "2026-03-02T12:00:00.000000+00:00"


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)), st.integers(-12, 12))
def test_times_are_written_so_that_their_order_is_that_of_the_text(time: datetime, hours: int) -> None:
    here = time.replace(tzinfo=timezone(timedelta(hours=hours)))
    written = write_time(here)
    assert datetime.fromisoformat(written) == here
    assert write_time(here - timedelta(microseconds=1)) < written


def test_a_payload_is_kept_as_json_would_give_it_back() -> None:
    assert entry(payload={"pair": (1, 2)}).payload == {"pair": [1, 2]}


def test_an_entry_looked_up_alone_is_checked_by_its_own_digest() -> None:
    one = entry(sequence=7, previous_digest="a" * 64)
    assert check_entry(one) is one
    with pytest.raises(IntegrityError, match="entry 8"):
        check_entry(replace(one, sequence=8))
    with pytest.raises(IntegrityError, match="entry 7"):
        check_entry(replace(one, payload={"n": 9}))


def test_a_chain_goes_on_only_after_the_entry_that_was_checked_before() -> None:
    first = entry()
    second = entry(sequence=2, previous_digest=first.digest)
    check_chain([second], after=(1, first.digest))
    for wrong in ((0, first.digest), (1, "0" * 64), (2, first.digest)):
        with pytest.raises(IntegrityError) as refused:
            check_chain([second], after=wrong)
        assert str(refused.value) == "the ledger was changed by hand (entry 2)"


# --- leases --------------------------------------------------------------------------------------


def heartbeat(name: str) -> threading.Thread:
    return next(one for one in threading.enumerate() if one.name == f"lease on {name}")


def test_a_lease_is_free_again_after_the_work_and_after_a_failure() -> None:
    ledger = FakeLedger()
    for _ in range(2):
        with pytest.raises(RuntimeError), leased(ledger, "training", ttl_s=60):
            raise RuntimeError
        assert ledger.lease_holder("training") is None
    with leased(ledger, "training", ttl_s=60) as check:
        check()


def test_work_whose_lease_was_lost_hears_of_it_at_its_next_check() -> None:
    go_on = threading.Event()

    class Losing(FakeLedger):
        def renew_lease(self, lease: Lease, *, ttl_s: float) -> bool:
            go_on.wait(timeout=10)
            return False

    with leased(Losing(), "training of c1", ttl_s=0.01) as check:
        check()
        beating = heartbeat("training of c1")
        go_on.set()
        beating.join(timeout=10)
        with pytest.raises(UnavailableError, match="the lease on training of c1 was lost to another process"):
            check()


def test_a_ledger_that_is_busy_for_a_moment_costs_no_lease() -> None:
    renewed = threading.Event()

    class Busy(FakeLedger):
        num_asked = 0

        def renew_lease(self, lease: Lease, *, ttl_s: float) -> bool:
            self.num_asked += 1
            if self.num_asked < 3:
                raise StorageError("the ledger is busy")
            renewed.set()
            return True

    with leased(Busy(), "training of c2", ttl_s=1.5) as check:
        assert renewed.wait(timeout=10)
        check()


def test_a_lease_somebody_holds_names_the_command_that_shows_it() -> None:
    ledger = FakeLedger()
    with (
        leased(ledger, "training", ttl_s=60),
        pytest.raises(BusyError) as refused,
        leased(ledger, "training", ttl_s=60),
    ):
        pass
    assert refused.value.hint == "Wait for it to end; `maskloop status` shows it"
