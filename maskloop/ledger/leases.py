"""Doing something alone: a lease from the ledger that stays alive as long as its holder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from maskloop.errors import BusyError, MaskloopError, UnavailableError
from maskloop.ledger.port import Ledger


@contextmanager
def leased(ledger: Ledger, name: str, *, ttl_s: float) -> Iterator[Callable[[], None]]:
    """Hold a lease for the body; a heartbeat renews it until the body or the process ends.

    Gives a function that raises UnavailableError once the lease is lost to another process, or could not be
    renewed for as long as it lasts, so that another may have it: call it between steps of long work.

    Raises:
        BusyError: if somebody else holds it.
    """
    lease = ledger.take_lease(name, ttl_s=ttl_s)
    if lease is None:
        holder = ledger.lease_holder(name)
        where = f" (process {holder.pid} on {holder.host})" if holder else ""
        raise BusyError(
            f"{name} is already running{where}", hint="Wait for it to end; `maskloop status` shows it"
        )
    ended, lost = threading.Event(), threading.Event()
    renewed_at = time.monotonic()

    def keep_alive() -> None:
        nonlocal renewed_at
        while not ended.wait(ttl_s / 3):
            begun_at = time.monotonic()
            try:
                if not ledger.renew_lease(lease, ttl_s=ttl_s):
                    lost.set()
                    return
                renewed_at = begun_at
            except MaskloopError:  # the ledger is busy: there are two more heartbeats
                continue

    def check() -> None:
        if lost.is_set() or time.monotonic() - renewed_at >= ttl_s:
            raise UnavailableError(f"the lease on {name} was lost to another process, or to a silent ledger")

    heartbeat = threading.Thread(target=keep_alive, name=f"lease on {name}", daemon=True)
    heartbeat.start()
    try:
        yield check
    finally:
        ended.set()
        heartbeat.join()
        ledger.free_lease(lease)
