"""Where the runbook of each notice and incident is, as a path in the repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from maskloop.settings.notification_settings import NoticeEvent
from maskloop.state.incident_state import IncidentKind

_DRIFT: Final = "docs/runbooks/drift.md#production-has-drifted"
_FAILED: Final = "docs/runbooks/training.md#a-training-was-given-up"
_WITHDRAWN: Final = "docs/runbooks/rollback.md#a-challenger-was-withdrawn"

NOTICE_RUNBOOKS: Final[Mapping[NoticeEvent, str]] = {
    "drift": _DRIFT,
    "decision": "docs/runbooks/training.md#a-candidate-or-a-rollout-waits-for-a-person",
    "failed-cycle": _FAILED,
    "rollback": _WITHDRAWN,
    "labels-waiting": "docs/runbooks/training.md#labels-are-awaited",
    "labels-finished": "docs/runbooks/training.md#labels-are-awaited",
    "quality": "docs/runbooks/quality.md#the-quality-budget-is-spent",
    "budget": "docs/runbooks/training.md#the-budget-of-cycles-is-spent",
}
INCIDENT_RUNBOOKS: Final[Mapping[IncidentKind, str]] = {
    "drift": _DRIFT,
    "training": _FAILED,
    "rollout": _WITHDRAWN,
    "champion": "docs/runbooks/rollback.md#roll-back-by-hand",
    "alias": "docs/runbooks/rollback.md#an-alias-was-moved-by-hand",
    "reported": "docs/runbooks/README.md#runbooks",
}
