"""Promotion and rollback: who may become champion. `ChampionJournal` carries it out and survives crashes."""

from __future__ import annotations

from datetime import datetime

from maskloop.clock import Clock, SystemClock
from maskloop.errors import NotFoundError, RefusedError, UnavailableError
from maskloop.folding.history import recall_version
from maskloop.folding.reader import StateReader
from maskloop.ledger.port import Ledger
from maskloop.records.kinds import AliasTampered, ChampionChanged, ChampionChanging
from maskloop.settings.workspace_settings import ApprovalSettings
from maskloop.state.loop_state import LoopState
from registry.approval.approval import check_four_eyes, expires_at
from registry.champion.aliases import restore_aliases
from registry.champion.champion_journal import Change, open_journal
from registry.gates.blessing import check_approval, check_blessing
from registry.ports import ModelStore


def promote(
    ledger: Ledger,
    store: ModelStore,
    *,
    cycle_id: str,
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
        cycle_id: The turn of the loop this belongs to.
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
    with open_journal(ledger, store) as journal:
        state = journal.finish()
        if state.champion and state.champion.weights_digest == weights_digest:
            return state.champion
        now = (clock or SystemClock()).now()
        plan = plan_promotion(state, weights_digest, settings, why=why, now=now)
        return journal.carry_out(plan, cycle_id=cycle_id, actor=actor)


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
    `reconcile_aliases`, and the copy on disk serves. Asked again after a crash, it completes the same
    rollback and does not go back further.

    Raises:
        RefusedError: if the version never served, is not blessed, or was itself rolled back from and not
            judged again since.
        NotFoundError: if somebody deleted it from the registry.
        UnavailableError: if the ledger does not answer, or another change of champion is under way.
    """
    with open_journal(ledger, store) as journal:
        begun = _find_same(journal.under_way(), to_version)
        try:
            state = journal.finish()
        except UnavailableError:
            if begun:
                return journal.carry_out_without_registry(begun, actor=by)
            state = journal.abandon("a rollback came first, the registry was away", actor=by)
        if begun and state.champion and state.champion.epoch == begun.epoch:
            return state.champion
        target = to_version or (state.champions[-2][0] if len(state.champions) > 1 else "")
        state = recall_version(ledger, state, target)
        plan = plan_rollback(state, to_version=to_version, why=why)
        try:
            return journal.carry_out(plan, actor=by)
        except UnavailableError:
            return journal.carry_out_without_registry(plan, actor=by)


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
    if StateReader(ledger).read().changing is None:
        return False
    with open_journal(ledger, store) as journal:
        journal.finish()
    return True


def reconcile_aliases(ledger: Ledger, store: ModelStore) -> list[AliasTampered]:
    """Put the aliases where the ledger says, and return a record of each that somebody had moved."""
    with open_journal(ledger, store) as journal:
        return restore_aliases(ledger, store, journal.finish())


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


def _find_same(begun: Change | None, to_version: str | None) -> ChampionChanging | None:
    """Return what is intended by an interrupted change, if it is the rollback that is asked for now."""
    if begun is None or begun.intended.cause != "rollback":
        return None
    return begun.intended if to_version in (None, begun.intended.version) else None


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
