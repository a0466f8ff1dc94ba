"""What to train for a cycle: from settings, a data version and a start to the trainer's request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset.labelled_pictures import DatasetVersion
from dataset.version_store import tag_number
from maskloop.digest import digest_value
from maskloop.settings.workspace_settings import GateSettings, Settings, ThresholdSettings
from models.loading.request import TrainingRequest


@dataclass(frozen=True)
class Start:
    """What a training starts from: the champion's weights and the data they have seen, or nothing.

    Alternatively the champion is the teacher of a training that starts from first weights.
    """

    artifact: Path | None = None
    weights_digest: str = ""
    data_tag: str = ""
    teacher: Path | None = None
    teacher_digest: str = ""

    @property
    def is_retraining(self) -> bool:
        """Whether it starts from a champion's weights."""
        return self.artifact is not None


def make_request(
    settings: Settings,
    version: DatasetVersion,
    start: Start,
    *,
    folder: Path,
    draw_weights: Mapping[str, float],
) -> TrainingRequest:
    """Return what the trainer needs.

    Args:
        settings: Of the workspace.
        version: To train on.
        start: What to start from.
        folder: Of the cycle; the request's checkpoints lie in a folder below it that is named after what
            shapes the model, so that edited settings start afresh.
        draw_weights: How many times as often as others a retraining draws a picture, by digest.
    """
    training, again = settings.training, start.is_retraining
    new = new_pictures(version, start.data_tag) if again else ()
    known = frozenset(new)
    old = tuple(p.digest for p in version.by_split["train"] if p.digest not in known) if new else ()
    origins = [start.weights_digest, start.teacher_digest]
    shaping = [version.fingerprint, digest_settings(settings), *origins]
    return TrainingRequest(
        dataset=version,
        settings=settings,
        parent_artifact=start.artifact,
        parent_digest=start.weights_digest or None,
        teacher_artifact=start.teacher,
        teacher_digest=start.teacher_digest or None,
        replay_digests=old,
        new_digests=new,
        draw_weights=draw_weights if again else {},
        steps=training.retrain_steps if again else training.steps,
        learning_rate=training.retrain_learning_rate if again else training.learning_rate,
        checkpoint_dir=folder / digest_value(shaping)[:12],
        device=training.device,
    )


def new_pictures(version: DatasetVersion, since_tag: str) -> tuple[str, ...]:
    """Return the digests of the training pictures that came after ``since_tag``."""
    known = tag_number(since_tag)
    return tuple(p.digest for p in version.by_split["train"] if tag_number(p.added_in) > known)


def digest_settings(settings: Settings) -> str:
    """Return the digest of everything in the settings that shapes a model: its weights and its thresholds.

    Thresholds at their defaults are left out, so that the digests of trainings recorded before thresholds
    existed stay valid.
    """
    shaping: dict[str, Any] = {
        "model": settings.model.model_dump(mode="json"),
        "training": settings.training.model_dump(mode="json"),
    }
    if score_threshold(settings) != GateSettings().score_threshold:
        shaping["score_threshold"] = score_threshold(settings)
    if settings.thresholds != ThresholdSettings():
        shaping["thresholds"] = settings.thresholds.model_dump(mode="json")
    return digest_value(shaping)


def score_threshold(settings: Settings) -> float:
    """Return the score, 0..1, from which on detections are judged."""
    return (settings.gates or GateSettings()).score_threshold
