"""The state of a ledger, read again and again: from the newest snapshot, then only what is new."""

from __future__ import annotations

from threading import Lock
from typing import Final

from pydantic import TypeAdapter, ValidationError

from maskloop.digest import digest_bytes
from maskloop.folding.fold import FOLD_VERSION, extend
from maskloop.ledger.port import FIRST_PREVIOUS, Ledger, Snapshot, check_chain
from maskloop.reducing.draft import Draft
from maskloop.state.loop_state import LoopState

SNAPSHOT_EVERY: Final = 256
"""Entries. A reader folds at most so many, and those since the last reconcile."""
_AS_JSON: Final[TypeAdapter[LoopState]] = TypeAdapter(LoopState)


class StateReader:
    """Folds a ledger again and again, each time reading only what is new. May be shared between threads."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self._lock = ledger, Lock()
        self._draft: Draft | None = None
        self._state = LoopState()
        self._last_digest = FIRST_PREVIOUS
        self._kept_at = 0

    def read(self) -> LoopState:
        """Return the present state.

        Raises:
            IntegrityError: if an entry that follows the newest snapshot was changed by hand.
        """
        with self._lock:
            return self._read()

    def keep_snapshot(self, *, every: int = SNAPSHOT_EVERY) -> None:
        """Keep the present state in the ledger, if so many entries came since the last snapshot."""
        with self._lock:
            state = self._read()
            if state.last_sequence - self._kept_at >= every:
                self.ledger.keep_snapshot(make_snapshot(state, self._last_digest))
                self._kept_at = state.last_sequence

    def _read(self) -> LoopState:
        if self._draft is None:
            self._draft = self._begin()
        entries = self.ledger.entries(after=self._state.last_sequence)
        if entries:
            check_chain(entries, after=(self._state.last_sequence, self._last_digest))
            extend(self._draft, entries, self.ledger)
            self._state, self._last_digest = self._draft.freeze(), entries[-1].digest
        return self._state

    def _begin(self) -> Draft:
        snapshot = self.ledger.newest_snapshot(FOLD_VERSION)
        state = open_snapshot(self.ledger, snapshot) if snapshot else None
        if state is not None and snapshot is not None:
            self._state, self._last_digest = state, snapshot.entry_digest
            self._kept_at = snapshot.sequence
        return Draft.of(self._state)


def make_snapshot(state: LoopState, last_digest: str) -> Snapshot:
    """Put a state into the form it is kept in; ``last_digest`` is of the newest entry it was folded from."""
    body = _AS_JSON.dump_json(state).decode()
    return Snapshot(state.last_sequence, last_digest, FOLD_VERSION, body, digest_bytes(body.encode()))


def open_snapshot(ledger: Ledger, snapshot: Snapshot) -> LoopState | None:
    """Return the state in a snapshot, None if it does not fit the ledger, its own digest, or this fold."""
    last = ledger.entries(after=snapshot.sequence - 1, limit=1)
    is_of_this_ledger = bool(last) and last[0].digest == snapshot.entry_digest
    if not is_of_this_ledger or snapshot.fold_version != FOLD_VERSION:
        return None
    if digest_bytes(snapshot.body.encode()) != snapshot.body_digest:
        return None
    try:
        state = _AS_JSON.validate_json(snapshot.body)
    except ValidationError:
        return None
    return state if state.last_sequence == snapshot.sequence else None
