"""The journal of changes of champion: what is intended, what a crash left to do, and how each change ended.

Promotions, rollbacks and the ends of rollouts change the champion in one way::

    intent written ──► challenger dropped ──► champion moved ──► tags set ──► end written
          └────────────── a crash anywhere here: `finish` goes on ───────────────┘

Intent (`ChampionChanging`) and end (`ChampionChanged`, or `ChampionChangeAbandoned` if the version is gone
from the registry) are entries of the ledger. Both are keyed by the epoch, which the ledger accepts once: of
two processes one wins, and one that wakes up late finds its epoch taken. The steps between them write to the
registry and can be repeated, so `finish` repeats all of them and none is noted by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from maskloop.errors import NotFoundError, RefusedError
from maskloop.folding.reader import StateReader
from maskloop.ledger.leases import leased
from maskloop.ledger.port import Ledger
from maskloop.records.kinds import (
    ChampionChangeAbandoned,
    ChampionChanged,
    ChampionChanging,
    read_record,
    write_record,
)
from maskloop.state.loop_state import LoopState
from registry.champion.aliases import expected_aliases, mark_statuses, point_alias
from registry.ports import CHALLENGER, CHAMPION, ModelStore

LEASE: Final = "promotion"
_LEASE_TTL_S: Final = 120.0


def promotion_lease(ledger: Ledger) -> AbstractContextManager[Callable[[], None]]:
    """Return the one lease under which decisions are recorded and the champion changes.

    What it gives raises UnavailableError once the lease is lost.
    """
    return leased(ledger, LEASE, ttl_s=_LEASE_TTL_S)


@contextmanager
def open_journal(ledger: Ledger, store: ModelStore) -> Iterator[ChampionJournal]:
    """Hold the promotion lease for the body, and give the journal. Raises BusyError if somebody has it."""
    with promotion_lease(ledger) as check_lease:
        yield ChampionJournal(ledger, store, check_lease)


@dataclass(frozen=True)
class Change:
    """A change of champion under way.

    Attributes:
        intended: Which version is to serve instead of which, and why.
        cycle_id: The turn of the loop it belongs to; empty for a rollback.
        actor: Who began it.
    """

    intended: ChampionChanging
    cycle_id: str
    actor: str

    @classmethod
    def under_way(cls, state: LoopState) -> Change | None:
        """Return the change that was begun and has no end yet, if there is one."""
        if state.changing is None:
            return None
        return cls(state.changing, state.changing_cycle, state.changing_actor)

    def completed(self, *, alias_moved: bool) -> ChampionChanged:
        """Return the end after which the intended version serves."""
        return ChampionChanged.model_validate({**self.intended.model_dump(), "alias_moved": alias_moved})

    def abandoned(self, reason: str) -> ChampionChangeAbandoned:
        """Return the end after which what served before serves on."""
        return ChampionChangeAbandoned(
            epoch=self.intended.epoch, version=self.intended.version, reason=reason
        )


class ChampionJournal:
    """Changes the champion, one change at a time. Use it while holding the lease: see `open_journal`."""

    def __init__(self, ledger: Ledger, store: ModelStore, check_lease: Callable[[], None]) -> None:
        self._ledger, self._store, self._check_lease = ledger, store, check_lease
        self._reader = StateReader(ledger)

    def carry_out(self, intended: ChampionChanging, *, actor: str, cycle_id: str = "") -> ChampionChanged:
        """Begin a change and finish it.

        Raises:
            RefusedError: if the version in the registry holds other weights, or somebody else made a change
                meanwhile; nothing has moved.
            NotFoundError: if the version is gone from the registry; what served before serves on.
            UnavailableError: if the registry or the ledger does not answer; `finish` completes it later.
        """
        self._check_weights(intended)
        self.begin(intended, actor=actor, cycle_id=cycle_id)
        return _change_of(self.finish(), intended)

    def carry_out_without_registry(self, intended: ChampionChanging, *, actor: str) -> ChampionChanged:
        """Begin a change, or take up this one, and let it serve; its alias follows later.

        Raises:
            RefusedError: if somebody else made a change meanwhile.
        """
        self.begin(intended, actor=actor)
        state = self._reader.read()
        change = Change.under_way(state)
        if change is not None and change.intended == intended:
            state = self._end(change, change.completed(alias_moved=False), actor=actor)
        return _change_of(state, intended)

    def under_way(self) -> Change | None:
        """Return the change that a crash interrupted, if there is one."""
        return Change.under_way(self._reader.read())

    def begin(self, intended: ChampionChanging, *, actor: str, cycle_id: str = "") -> None:
        """Write down what is intended, once.

        Raises:
            RefusedError: if the epoch is already used for another change.
        """
        key = f"champion.changing:{intended.epoch}"
        entry = write_record(self._ledger, intended, actor=actor, cycle_id=cycle_id, key=key)
        if read_record(entry) != intended:
            raise RefusedError(
                "somebody else changed the champion at the same moment", hint="look, then try again"
            )

    def finish(self) -> LoopState:
        """Complete the change under way, or abandon it if its version is gone; return the state after it.

        Raises:
            UnavailableError: if the registry or the ledger does not answer, or the lease was lost; it can be
                finished later.
        """
        state = self._reader.read()
        change = Change.under_way(state)
        if change is None:
            return state
        try:
            self._move(change.intended)
        except NotFoundError as error:
            state = self._end(change, change.abandoned(error.headline), actor=change.actor)
            point_alias(self._store, CHAMPION, change.intended.previous_version)
        else:
            state = self._end(change, change.completed(alias_moved=True), actor=change.actor)
        if state.epoch > change.intended.epoch:  # we slept and somebody went on: what they decided stands
            point_alias(self._store, CHAMPION, expected_aliases(state)[CHAMPION])
        return state

    def abandon(self, reason: str, *, actor: str) -> LoopState:
        """Give the change under way up, if there is one; what served before serves on."""
        state = self._reader.read()
        change = Change.under_way(state)
        return self._end(change, change.abandoned(reason), actor=actor) if change else state

    def _check_weights(self, intended: ChampionChanging) -> None:
        if self._store.version(intended.version).weights_digest != intended.weights_digest:
            raise RefusedError(
                f"version {intended.version} in the registry does not hold the weights that were blessed",
                where=f"weights {intended.weights_digest[:12]}",
            )

    def _move(self, intended: ChampionChanging) -> None:
        """Make the registry show what is intended; may be repeated."""
        challenger = self._store.with_alias(CHALLENGER)
        if challenger and challenger.version == intended.version:
            self._store.delete_alias(CHALLENGER)
        self._check_lease()
        self._store.set_alias(CHAMPION, intended.version)
        mark_statuses(self._store, intended)

    def _end(
        self, change: Change, end: ChampionChanged | ChampionChangeAbandoned, *, actor: str
    ) -> LoopState:
        """Write down how a change ended, unless that is written already; return the state after it."""
        key = f"champion.changed:{change.intended.epoch}"
        write_record(self._ledger, end, actor=actor, cycle_id=change.cycle_id, key=key)
        return self._reader.read()


def _change_of(state: LoopState, intended: ChampionChanging) -> ChampionChanged:
    for serving in reversed(state.serving):
        if serving.change.epoch == intended.epoch:
            return serving.change
    raise NotFoundError(f"version {intended.version} vanished from the registry before it could serve")
