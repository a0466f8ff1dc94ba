"""What the ledger can hold: one frozen class per kind of entry, each of which prints as a sentence.

A record never changes once a version of maskloop has written it: fields are only ever added, with a default,
so that entries written by any earlier version stay readable (tests/records/).

A new kind is a class in its station's module, named in the module's ``__all__``, and a golden entry.
"""

from __future__ import annotations

from typing import Any

from maskloop.ledger.port import Entry, Ledger
from maskloop.records.cycle_records import *  # noqa: F403
from maskloop.records.data_records import *  # noqa: F403
from maskloop.records.decision_records import *  # noqa: F403
from maskloop.records.labelling_records import *  # noqa: F403
from maskloop.records.on_call_records import *  # noqa: F403
from maskloop.records.production_records import *  # noqa: F403
from maskloop.records.record import *  # noqa: F403
from maskloop.records.record import Record

RECORDS = Record.by_kind


def write_record(
    ledger: Ledger, record: Record, *, actor: str = "maskloop", cycle_id: str = "", key: str = ""
) -> Entry:
    """Append a record to the ledger; an idempotency ``key`` used before gives the older entry back."""
    payload: dict[str, Any] = record.model_dump(mode="json")
    return ledger.append(record.kind, payload, actor=actor, cycle_id=cycle_id, key=key)


def read_record(entry: Entry) -> Record | None:
    """Turn an entry into its record; None for a kind this version does not know."""
    kind = RECORDS.get(entry.kind)
    return kind.model_validate(dict(entry.payload)) if kind else None
