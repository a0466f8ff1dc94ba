"""Whether automatic promotion is frozen now, from the record and the settings. Pure."""

from __future__ import annotations

from datetime import datetime

from maskloop.settings.workspace_settings import Settings
from maskloop.state.loop_state import LoopState
from monitoring.slo.label_quality import find_quality_budgets
from registry.approval.freeze import Freeze
from registry.champion.lineage import rollback_target


def find_freeze(state: LoopState, settings: Settings, now: datetime) -> Freeze | None:
    """Return why the policy promotes nothing; None while it may.

    It thaws by itself: with labels that show the promised quality, once those that did not are older than the
    objective's window, or with another champion.
    """
    for budget in find_quality_budgets(state, settings, now):
        if budget.is_spent:
            return Freeze(budget.version, budget.sentence(), rollback_target(state))
    return None
