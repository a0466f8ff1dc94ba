"""F2: the camera changes, and the model no longer fits what it sees."""

from __future__ import annotations

from statistics import fmean
from typing import Any, Final

from dataset.ingestion.plan import IngestOptions
from dataset.labelled_pictures import DatasetVersion, Split
from flows.deciding.decisions import decide_by_hand
from flows.drift.monitor import Monitored, monitor
from flows.gameday.production import (
    answer,
    current_version,
    held_out,
    through_another_camera,
    write_labels,
    write_pictures,
)
from flows.gameday.scenario import PERSON, Stage, UnhandledError
from flows.intake.batch_intake import ingest
from flows.loop.reconcile import reconcile
from flows.notifications.sending import list_notices

SOURCE: Final = "gameday camera"
_NUM_SEEN, _MIN_SEEN, _NUM_REFERENCE, _NUM_TRAIN = 100, 50, 60, 80
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "monitoring": {"window_samples": _NUM_SEEN, "min_window_samples": _MIN_SEEN, "confirm_windows": 1},
    "retraining": {"on_drift": True, "cooldown_hours": 0.0, "max_cycles_per_week": 1000},
    "approval": {"policy": "manual", "four_eyes": False},
    "rollout": {"enabled": False},
}


def play_drift(stage: Stage) -> None:
    """Change the camera; the loop must see it, retrain on labels of its pictures, and be quiet again."""
    version = current_version(stage)
    pictures = held_out(version, limit=10_000)
    if len(pictures) < _MIN_SEEN + _NUM_REFERENCE:
        raise UnhandledError(
            f"{len(pictures)} held-out pictures are too few",
            hint=f"{_MIN_SEEN + _NUM_REFERENCE} are needed: a window, and a reference of the new camera",
        )
    seen, reference = pictures[_NUM_REFERENCE:][:_NUM_SEEN], pictures[:_NUM_REFERENCE]
    folder = write_pictures(stage, version, seen, through_another_camera, "before")
    stage.inject("maskloop predict", "another camera: darker, yellower, blurred, with more noise")
    stage.look("detected", "maskloop predict", answer(stage, folder, SOURCE))
    found = monitor(stage.app)
    stage.see("detected", "maskloop monitor", found.said, is_seen=_outcome(found) == "drift")
    stage.look("detected", "maskloop monitor", tell_quality(found))
    stage.find_opened("drift")
    told = [one["headline"] for one in list_notices(stage.app) if one["event"] == "drift"]
    stage.see("detected", "maskloop notify list", "; ".join(told) or "no notice", is_seen=bool(told))
    _retrain(stage, version, reference)
    again = write_pictures(stage, version, seen, through_another_camera, "afterwards")
    stage.look("restored", "maskloop predict", answer(stage, again, SOURCE))
    after = monitor(stage.app)
    stage.look("restored", "maskloop monitor", tell_quality(after))
    stage.see("restored", "maskloop monitor", after.said, is_seen=_outcome(after) == "quiet")
    stage.write_up(cause="the camera was exchanged", action="its pictures were labelled and learned from")


def tell_quality(found: Monitored) -> str:
    """Say how good the champion's masks probably are in the window, over all classes. Pure."""
    if found.judged is None:
        return "no estimate without a verdict"
    shown = [one for one in found.judged.estimates if one.metric == "mask_iou"]
    values = [one.value for one in shown if one.value is not None]
    if len(values) < len(shown) or not values:
        return "; ".join(found.judged.tell_quality()) or "no estimate"
    return f"the mean mask IoU of {len(values)} classes is estimated at {fmean(values):.2f}"


def _retrain(stage: Stage, version: DatasetVersion, reference: tuple[Any, ...]) -> None:
    trained_on = sorted(version.by_split["train"], key=lambda one: one.digest)[:_NUM_TRAIN]
    _reconcile(stage)
    batches: tuple[tuple[Split, Any], ...] = (("train", trained_on), ("test", reference))
    for split, pictures in batches:
        folder = write_pictures(stage, version, pictures, through_another_camera, f"labelled-{split}")
        labels = write_labels(folder, version, pictures, {})
        taken = ingest(stage.app, labels, folder, options=IngestOptions(SOURCE, split=split))
        stage.look("mitigated", "maskloop ingest", taken.balance.sentence())
    _reconcile(stage)
    cycle = next(iter(stage.app.state().open_cycles), None)
    version_name = cycle.verdict.candidate_version if cycle and cycle.verdict else ""
    if not version_name:
        raise UnhandledError("the retrained candidate was not accepted", hint="`maskloop history` tells why")
    decided = decide_by_hand(stage.app, version_name, "approved", by=PERSON, why="it knows the new camera")
    stage.look("mitigated", "maskloop approve", decided.sentence())
    _reconcile(stage)
    champion = stage.app.state().champion
    is_seen = champion is not None and champion.version == version_name
    stage.see("mitigated", "maskloop status", f"version {version_name} serves", is_seen=is_seen)


def _reconcile(stage: Stage) -> None:
    done = reconcile(stage.app)
    stage.look("mitigated", "maskloop reconcile", "; ".join([*done.done, *done.failed]) or "nothing is due")


def _outcome(found: Monitored) -> str:
    return found.judged.outcome if found.judged else ""
