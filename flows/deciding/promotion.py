"""An approved candidate becomes the champion."""

from __future__ import annotations

from flows.workspace.journal import Journal
from maskloop.clock import Clock
from maskloop.errors import RefusedError
from maskloop.records.kinds import ChampionChanged
from maskloop.settings.workspace_settings import ApprovalSettings
from maskloop.state.cycle_state import Cycle
from registry.champion.promotion import promote
from registry.ports import ModelStore


def promote_cycle(
    journal: Journal, models: ModelStore, settings: ApprovalSettings, clock: Clock, cycle: Cycle
) -> ChampionChanged:
    """Make an approved cycle's candidate the champion.

    Raises:
        RefusedError: if the approval has expired, or another rule forbids it.
    """
    if cycle.verdict is None or cycle.approval is None or cycle.approval_at is None:
        raise RefusedError(f"{cycle.id} has no approved verdict")
    changed = promote(
        journal.ledger,
        models,
        cycle_id=cycle.id,
        weights_digest=cycle.verdict.candidate_digest,
        settings=settings,
        clock=clock,
        why=cycle.approval.why or f"approved by {cycle.approval.by}",
        actor=cycle.approval.by,
    )
    journal.teller.say(changed.sentence())
    return changed
