"""Facts of views, made from a ledger that a test writes."""

from __future__ import annotations

from typing import Any

from flows.notifications.notices import find_notices
from flows.pages.status import Status
from flows.views.gathered import Gathered
from flows.views.history import read_history
from maskloop.settings.workspace_settings import GateSettings, Settings
from tests.fakes.incident_stories import Story


def status_of(story: Story, **counts: int) -> Status:
    return Status(story.state, {"received": 0, "scored": 0, "skipped": 0, "pending": 0} | counts)


def facts_of(story: Story, **more: Any) -> Gathered:
    settings = Settings(gates=GateSettings())
    now = story.clock.now()
    given: dict[str, Any] = {
        "workspace": "parts",
        "now": now,
        "settings": settings,
        "status": status_of(story),
        "history": read_history(story.ledger),
        "notices": find_notices(story.state, settings, now),
    }
    return Gathered(**given | more)
