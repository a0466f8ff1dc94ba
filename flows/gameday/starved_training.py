"""F3: a training that needs more memory than there is."""

from __future__ import annotations

from typing import Any, Final

from flows.gameday.scenario import Stage
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.notifications.sending import list_notices
from maskloop.errors import MaskloopError

SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "training": {"retrain_steps": 2},
    "retraining": {"max_training_attempts": 2, "max_cycles_per_week": 1000, "cooldown_hours": 0.0},
    "rollout": {"enabled": False},
}
_SIDE_PX: Final = 1_000_000
"""A picture of this side is 12 TB: no machine gives that much, and none is slowed down by the attempt."""


def play_memory(stage: Stage) -> None:
    """Make pictures too large for any memory; the cycle must be given up, and taken up once they are not."""
    own = stage.app.settings.model
    stage.change_settings(model={"min_size_px": _SIDE_PX, "max_size_px": _SIDE_PX})
    stage.inject("maskloop.toml", f"model.min_size_px = {_SIDE_PX}: more than any memory holds")
    try:
        run_turn(stage.app, starts_from="champion")
        said = "the training went on"
    except MaskloopError as error:
        said = str(error)
    is_seen = "out of memory" in said
    stage.see("detected", "maskloop retrain", said, is_seen=is_seen)
    for _ in range(stage.app.settings.retraining.max_training_attempts):
        found = reconcile(stage.app)
        stage.look("detected", "maskloop reconcile", "; ".join([*found.done, *found.failed]))
    incident = stage.find_opened("training")
    told = [one["headline"] for one in list_notices(stage.app) if one["event"] == "failed-cycle"]
    stage.see("detected", "maskloop notify list", "; ".join(told) or "no notice", is_seen=bool(told))
    stage.change_settings(model={"min_size_px": own.min_size_px, "max_size_px": own.max_size_px})
    stage.see("mitigated", "maskloop.toml", f"model.min_size_px = {own.min_size_px} again", is_seen=True)
    cycle = run_turn(stage.app, starts_from="champion")
    over = stage.app.state().incidents[incident.id]
    said = over.restored_by or f"{cycle.id} is {cycle.phase}"
    stage.see("restored", "maskloop retrain", said, is_seen=not over.is_open)
    stage.write_up(cause="pictures were made too large for the memory", action="their size was set back")
