"""What each kind of record does to the state: one function per kind, one module per station."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from maskloop.ledger.port import Entry
from maskloop.records.kinds import Record
from maskloop.reducing.draft import Draft, Past

Reducer = Callable[[Draft, Entry, Any, Past], None]
"""Changes the draft by one entry, whose record is given beside it."""
_Reducer = TypeVar("_Reducer", bound=Reducer)

REDUCERS: dict[type[Record], Reducer] = {}


def reduces(*kinds: type[Record]) -> Callable[[_Reducer], _Reducer]:
    """Register a function for these kinds of records; a kind has one at most."""

    def register(reducer: _Reducer) -> _Reducer:
        for kind in kinds:
            if kind in REDUCERS:
                raise ValueError(f"{kind.kind} has a reducer already")
            REDUCERS[kind] = reducer
        return reducer

    return register
