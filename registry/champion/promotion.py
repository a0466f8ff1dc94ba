"""Moving ``champion``: promotion, rollback, recovery, and putting back what was moved by hand.

A change is journalled: the intent (`ChampionChanging`) with a new epoch, then the registry's aliases and
tags, then the fact (`ChampionChanged`)::

    checked ──► intent written ──► challenger dropped ──► champion moved ──► tags ──► fact written
                     └───────── a crash anywhere here: `recover` goes on ─────────┘
                                (or abandons it, if the version is gone from the registry)

Both entries are keyed by the epoch, which the ledger accepts once: of two promoters one wins, and one that
wakes up late finds its epoch taken. Aliases follow the ledger, never the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from typing import Final

from maskloop.clock import Clock, SystemClock
from maskloop.errors import NotFoundError, RefusedError, UnavailableError
from maskloop.folding.history import recall_version
from maskloop.folding.reader import StateReader
from maskloop.ledger.leases import leased
from maskloop.ledger.port import Ledger
from maskloop.records.kinds import (
    AliasTampered,
    ChampionChangeAbandoned,
    ChampionChanged,
    ChampionChanging,
    read_record,
    write_record,
)
from maskloop.settings.workspace_settings import ApprovalSettings
from maskloop.state.loop_state import LoopState
from registry.approval.approval import check_four_eyes, expires_at
from registry.gates.blessing import check_approval, check_blessing
from registry.ports import CHALLENGER, CHAMPION, STATUS_TAG, ModelStore, VersionStatus

LEASE: Final = "promotion"
_LEASE_TTL_S: Final = 120.0


def promotion_lease(ledger: Ledger) -> AbstractContextManager[Callable[[], None]]:
    """Return the one lease under which decisions are recorded and the champion changes.

    What it gives raises UnavailableError once the lease is lost.
    """
    return leased(ledger, LEASE, ttl_s=_LEASE_TTL_S)


def promote(
    ledger: Ledger,
    store: ModelStore,
    *,
    cycle: str,
    weights_digest: str,
    settings: ApprovalSettings,
    why: str,
    actor: str = "maskloop",
    clock: Clock | None = None,
) -> ChampionChanged:
    """Make blessed and approved weights the champion; if they are already, return that change.

    Args:
        ledger: Holds the verdict and the approval.
        store: Holds the version.
        cycle: The turn of the loop this belongs to.
        weights_digest: The weights to promote.
        settings: The approval policy: expiry, four eyes.
        why: For the record.
        actor: Who does it.
        clock: Tells whether the approval has expired.

    Raises:
        RefusedError: naming the rule that is not met; nothing has moved.
        NotFoundError: if the version is gone from the registry; what served before serves on.
        UnavailableError: if the registry or the ledger does not answer; `recover` completes it.
    """
    reader = StateReader(ledger)
    with promotion_lease(ledger) as check_lease:
        state = _finish_changing(reader, store, check_lease)
        if state.champion and state.champion.weights_digest == weights_digest:
            return state.champion
        now = (clock or SystemClock()).now()
        plan = plan_promotion(state, weights_digest, settings, why=why, now=now)
        return _change(reader, store, plan, cycle=cycle, actor=actor, check_lease=check_lease)


def plan_promotion(
    state: LoopState,
    weights_digest: str,
    settings: ApprovalSettings,
    *,
    why: str,
    now: datetime,
) -> ChampionChanging:
    """Check every rule of a promotion. Raises RefusedError naming the first that is not met."""
    verdict = check_blessing(state, weights_digest)
    approval = check_approval(state, verdict)
    check_four_eyes(approval, settings, requested_by=state.requester_of(weights_digest))
    if now >= expires_at(state.approvals[weights_digest][0], settings):
        raise RefusedError(
            f"the approval of version {approval.version} has expired",
            hint=f"approve again: maskloop approve {approval.version} --by NAME",
        )
    champion = state.champion
    if verdict.champion_digest != (champion.weights_digest if champion else ""):
        raise RefusedError(
            f"version {verdict.candidate_version} was judged against another champion",
            hint="retrain: the new candidate is judged against the one that serves now",
        )
    if weights_digest in state.served:
        raise RefusedError(
            f"version {verdict.candidate_version} has served before and is retired",
            hint=f"only a rollback brings it back: maskloop rollback {verdict.candidate_version} --why WHY",
        )
    return _changing(state, verdict.candidate_version, weights_digest, "promotion", why)


def rollback(
    ledger: Ledger,
    store: ModelStore,
    *,
    to_version: str | None = None,
    by: str,
    why: str,
) -> ChampionChanged:
    """Bring back an earlier champion, by default the one before this.

    Needs nothing but the ledger: while the registry is away, its alias is left to the next
    `reconcile_aliases`, and the copy on disk serves.

    Raises:
        RefusedError: if the version never served, is not blessed, or was itself rolled back from and not
            judged again since.
        NotFoundError: if somebody deleted it from the registry.
        UnavailableError: if the ledger does not answer, or another change of champion is under way.
    """
    reader = StateReader(ledger)
    with promotion_lease(ledger) as check_lease:
        try:
            state = _finish_changing(reader, store, check_lease)
        except UnavailableError:
            state = _drop_changing(reader)
        target = to_version or (state.champions[-2][0] if len(state.champions) > 1 else "")
        state = recall_version(ledger, state, target)
        plan = plan_rollback(state, to_version=to_version, why=why)
        try:
            return _change(reader, store, plan, cycle="", actor=by, check_lease=check_lease)
        except UnavailableError:
            return _change_without_registry(ledger, plan, actor=by)


def plan_rollback(state: LoopState, *, to_version: str | None, why: str) -> ChampionChanging:
    """Check every rule of a rollback. Raises RefusedError naming the first that is not met."""
    version, weights_digest = _earlier_champion(state, to_version)
    check_approval(state, check_blessing(state, weights_digest))
    if weights_digest in state.rolled_back:
        raise RefusedError(
            f"version {version} was itself rolled back from",
            hint="it needs a new verdict and approval before it can serve again",
        )
    return _changing(state, version, weights_digest, "rollback", why)


def recover(ledger: Ledger, store: ModelStore) -> bool:
    """Complete (or, if its version is gone, abandon) a change that a crash interrupted.

    Returns:
        True if there was one.
    """
    reader = StateReader(ledger)
    if reader.read().changing is None:
        return False
    with promotion_lease(ledger) as check_lease:
        _finish_changing(reader, store, check_lease)
    return True


def expected_aliases(state: LoopState) -> Mapping[str, str]:
    """Say where the aliases belong: a version, or an empty string for nowhere.

    ``challenger`` is the newest candidate of an open cycle that the gates did not fail.
    """
    champion = state.champion.version if state.champion else ""
    judged = [
        cycle.verdict.candidate_version
        for cycle in state.open_cycles
        if cycle.verdict and cycle.verdict.outcome != "fail" and cycle.phase in ("judged", "approved")
    ]
    challenger = judged[-1] if judged and judged[-1] != champion else ""
    return {CHAMPION: champion, CHALLENGER: challenger}


def reconcile_aliases(ledger: Ledger, store: ModelStore) -> list[AliasTampered]:
    """Put the aliases where the ledger says, and record each that somebody had moved.

    An alias whose version was deleted is reported once; serving goes on from the copy on disk. A challenger
    that is merely missing, or left over from an ended cycle, is set or dropped without a record.
    """
    with promotion_lease(ledger) as check_lease:
        state = _finish_changing(StateReader(ledger), store, check_lease)
        tampered = []
        for alias, expected in expected_aliases(state).items():
            found = store.with_alias(alias)
            found_version = found.version if found else ""
            if found_version == expected:
                continue
            record = AliasTampered(alias=alias, found_version=found_version, expected_version=expected)
            if _is_tampering(state, record) and _record_once(ledger, store, state, record):
                tampered.append(record)
            _put_alias(store, alias, expected)
        return tampered


# --- planning ------------------------------------------------------------------------------------


def _changing(state: LoopState, version: str, weights_digest: str, cause: str, why: str) -> ChampionChanging:
    before = state.champion
    return ChampionChanging.model_validate(
        {
            "epoch": state.epoch + 1,
            "version": version,
            "weights_digest": weights_digest,
            "previous_version": before.version if before else "",
            "previous_digest": before.weights_digest if before else "",
            "cause": cause,
            "why": why,
        }
    )


def _earlier_champion(state: LoopState, to_version: str | None) -> tuple[str, str]:
    """Return the version to go back to, and its weights digest."""
    if to_version is None:
        if len(state.champions) < 2:
            raise RefusedError("there is no earlier champion to roll back to")
        return state.champions[-2]
    candidate = state.candidate_of(to_version)
    if candidate is None:
        raise NotFoundError(
            f"there is no version {to_version}", hint="`maskloop history` shows the champions so far"
        )
    if candidate.weights_digest not in state.served:
        raise RefusedError(
            f"version {to_version} has never served, so nothing can be rolled back to it",
            hint="`maskloop history` shows the champions so far",
        )
    if state.champion and state.champion.version == to_version:
        raise RefusedError(f"version {to_version} serves already")
    return to_version, candidate.weights_digest


# --- applying ------------------------------------------------------------------------------------


def _change(
    reader: StateReader,
    store: ModelStore,
    plan: ChampionChanging,
    *,
    cycle: str,
    actor: str,
    check_lease: Callable[[], None],
) -> ChampionChanged:
    registered = store.version(plan.version)
    if registered.weights_digest != plan.weights_digest:
        raise RefusedError(
            f"version {plan.version} in the registry does not hold the weights that were blessed",
            where=f"weights {plan.weights_digest[:12]}",
        )
    key = f"champion.changing:{plan.epoch}"
    entry = write_record(reader.ledger, plan, actor=actor, cycle=cycle, key=key)
    if read_record(entry) != plan:
        raise RefusedError(
            "somebody else changed the champion at the same moment", hint="look, then try again"
        )
    state = _finish_changing(reader, store, check_lease)
    change = next((s.change for s in reversed(state.serving) if s.change.epoch == plan.epoch), None)
    if change is None:
        raise NotFoundError(f"version {plan.version} vanished from the registry before it could serve")
    return change


def _change_without_registry(ledger: Ledger, plan: ChampionChanging, *, actor: str) -> ChampionChanged:
    changed = ChampionChanged.model_validate({**plan.model_dump(), "alias_moved": False})
    write_record(ledger, plan, actor=actor, key=f"champion.changing:{plan.epoch}")
    write_record(ledger, changed, actor=actor, key=f"champion.changed:{plan.epoch}")
    return changed


def _drop_changing(reader: StateReader) -> LoopState:
    """Abandon a change that cannot be completed now, so that a rollback need not wait for the registry."""
    changing = reader.read().changing
    if changing is not None:
        abandoned = ChampionChangeAbandoned(
            epoch=changing.epoch,
            version=changing.version,
            reason="a rollback came first, the registry was away",
        )
        write_record(reader.ledger, abandoned, key=f"champion.changed:{changing.epoch}")
    return reader.read()


def _finish_changing(reader: StateReader, store: ModelStore, check_lease: Callable[[], None]) -> LoopState:
    """Complete the change the ledger says is under way, if there is one, and return the state after it."""
    state = reader.read()
    changing, cycle, actor = state.changing, state.changing_cycle, state.changing_actor
    if changing is None:
        return state
    key = f"champion.changed:{changing.epoch}"
    try:
        _move_aliases(store, changing, check_lease)
    except NotFoundError as error:
        abandoned = ChampionChangeAbandoned(
            epoch=changing.epoch, version=changing.version, reason=error.headline
        )
        write_record(reader.ledger, abandoned, actor=actor, cycle=cycle, key=key)
        _put_alias(store, CHAMPION, changing.previous_version)
    else:
        changed = ChampionChanged.model_validate(changing.model_dump())
        write_record(reader.ledger, changed, actor=actor, cycle=cycle, key=key)
    state = reader.read()
    if state.epoch > changing.epoch:  # we slept and somebody went on: what they decided stands
        _put_alias(store, CHAMPION, expected_aliases(state)[CHAMPION])
    return state


def _move_aliases(store: ModelStore, changing: ChampionChanging, check_lease: Callable[[], None]) -> None:
    challenger = store.with_alias(CHALLENGER)
    if challenger and challenger.version == changing.version:
        store.delete_alias(CHALLENGER)
    check_lease()
    store.set_alias(CHAMPION, changing.version)
    store.set_tag(changing.version, STATUS_TAG, VersionStatus.CHAMPION.value)
    if changing.previous_version:
        with suppress(NotFoundError):  # deleted by hand: nothing is left to mark
            store.set_tag(changing.previous_version, STATUS_TAG, VersionStatus.RETIRED.value)


def _put_alias(store: ModelStore, alias: str, version: str) -> None:
    """Point an alias at a version, or nowhere if that is empty or was deleted."""
    if version:
        try:
            store.set_alias(alias, version)
        except NotFoundError:
            pass
        else:
            return
    store.delete_alias(alias)


def _is_tampering(state: LoopState, found: AliasTampered) -> bool:
    if found.alias == CHAMPION:
        return state.champion is None or state.champion.alias_moved
    if not found.found_version:
        return False
    is_left_over = state.candidate_of(found.found_version) is not None and not state.was_promoted(
        found.found_version
    )
    return bool(found.expected_version) or not is_left_over


def _record_once(ledger: Ledger, store: ModelStore, state: LoopState, record: AliasTampered) -> bool:
    """Record a moved alias; one that cannot be put back, because its version is gone, only the first time."""
    key = ""
    try:
        if record.expected_version:
            store.version(record.expected_version)
    except NotFoundError:
        key = f"alias.lost:{record.alias}:{record.expected_version}:{record.found_version}:{state.epoch}"
    return write_record(ledger, record, key=key).sequence > state.last_sequence
