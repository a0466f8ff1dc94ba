"""The stories' access to the ledger: each record is reported after it was written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flows.workspace.telling import Teller
from maskloop.ledger.port import Entry, Ledger
from maskloop.records.kinds import write_record
from maskloop.records.record import Record
from maskloop.state.loop_state import LoopState


@dataclass(frozen=True)
class Journal:
    """Where the stories record what they do.

    Attributes:
        ledger: Holds the records.
        state: Reads what they add up to, as of now.
        teller: Is told each record.
    """

    ledger: Ledger
    state: Callable[[], LoopState]
    teller: Teller

    def write(self, cycle_id: str, record: Record, *, actor: str = "maskloop", key: str = "") -> Entry:
        """Write a record of a cycle and tell it; the same key twice is one entry."""
        entry = write_record(self.ledger, record, actor=actor, cycle_id=cycle_id, key=key)
        self.teller.say(f"{entry.cycle_id}: {record.sentence()}")
        return entry
