"""An approved candidate becomes the champion; an earlier champion comes back."""

from __future__ import annotations

from flows.workspace.wiring import App
from maskloop.errors import RefusedError
from maskloop.records.kinds import ChampionChanged
from maskloop.state.cycle_state import Cycle
from registry.champion.promotion import promote, rollback


def promote_cycle(app: App, cycle: Cycle) -> ChampionChanged:
    """Make an approved cycle's candidate the champion.

    Raises:
        RefusedError: if the approval has expired, or another rule forbids it.
    """
    if cycle.verdict is None or cycle.approval is None or cycle.approval_at is None:
        raise RefusedError(f"{cycle.id} has no approved verdict")
    changed = promote(
        app.ledger,
        app.models,
        cycle_id=cycle.id,
        weights_digest=cycle.verdict.candidate_digest,
        settings=app.settings.approval,
        clock=app.clock,
        why=cycle.approval.why or f"approved by {cycle.approval.by}",
        actor=cycle.approval.by,
    )
    app.teller.say(changed.sentence())
    return changed


def roll_back(app: App, *, to_version: str | None, by: str, why: str) -> ChampionChanged:
    """Put an earlier champion back. Raises RefusedError if that version never served or lost its blessing."""
    changed = rollback(app.ledger, app.models, to_version=to_version, by=by, why=why)
    app.teller.say(changed.sentence())
    return changed
