"""What to train, and what follows from it alone: the plan of batches and the run's identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from maskloop.digest import digest_value
from maskloop.errors import TrainingError
from maskloop.settings.workspace_settings import Settings
from models.loading.mixing import plan_batches
from models.loading.sampling import combine_repeats, orientations, repeat_factors

OnStep = Callable[[int, Mapping[str, float], float, float, float], None]
"""Takes a step's number (from 1), its losses (``loss/total`` and ``loss/<part>``), the learning rate, the
pictures per second of the step itself, and the share of the time before and in it that it waited for its
batch, 0..100."""
OnEvaluation = Callable[[int, Mapping[str, float]], None]
"""Takes the step whose weights were evaluated and the metrics, named as in `training_loop`."""


@dataclass(frozen=True)
class TrainingRequest:
    """What to train. Two equal requests give the same weights.

    Attributes:
        dataset: A verified data version; its ``train`` and ``val`` pictures are used.
        settings: The [model] and [training] sections, and the score threshold of [gates].
        checkpoint_dir: A folder for this run alone.
        steps: Number of optimiser steps.
        learning_rate: The schedule's peak.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        parent_artifact: The model to start from; None starts from the first weights in the settings.
        parent_digest: The parent's weights digest as recorded elsewhere, to check it against.
        teacher_artifact: The model to learn from beside the labels; None learns from the labels alone.
        teacher_digest: The teacher's weights digest as recorded elsewhere, to check it against.
        new_digests: The training pictures to learn; empty means all that are not replayed.
        replay_digests: The training pictures to mix in so that they are not forgotten.
        draw_weights: How many times as often as otherwise a picture is drawn, 1 or more, by digest; 1 where
            none is named.
    """

    dataset: DatasetVersion
    settings: Settings
    checkpoint_dir: Path
    steps: int
    learning_rate: float
    device: str = "auto"
    parent_artifact: Path | None = None
    parent_digest: str | None = None
    teacher_artifact: Path | None = None
    teacher_digest: str | None = None
    new_digests: tuple[str, ...] = ()
    replay_digests: tuple[str, ...] = ()
    draw_weights: Mapping[str, float] = field(default_factory=dict)


def plan_training(request: TrainingRequest) -> list[list[LabelledPicture]]:
    """Return the pictures of each step's batch.

    Raises:
        TrainingError: if there are none, or one is not a training picture of this version.
    """
    pictures = {picture.digest: picture for picture in request.dataset.by_split["train"]}
    replayed = set(request.replay_digests)
    chosen = set(request.new_digests) or pictures.keys() - replayed
    if unknown := (chosen | replayed) - pictures.keys():
        raise TrainingError(
            f"{len(unknown)} of the pictures to train on are not training pictures of {request.dataset.tag}",
            where=min(unknown),
        )
    training, used = request.settings.training, [pictures[digest] for digest in sorted(chosen | replayed)]
    factors = repeat_factors(used, training.sampling.repeat_threshold)
    plan = plan_batches(
        sorted(replayed - chosen),
        sorted(chosen),
        replay_percent=training.replay_percent,
        batch_size=training.batch_size,
        steps=request.steps,
        seed=training.seed,
        repeats=combine_repeats(factors, request.draw_weights),
        groups=orientations(used) if training.sampling.group_by_orientation else None,
    )
    return [[pictures[digest] for digest in batch] for batch in plan]


def identify(request: TrainingRequest) -> str:
    """Return a digest of everything the weights depend on."""
    settings = request.settings
    return digest_value(
        {
            "dataset": request.dataset.fingerprint,
            "classes": list(request.dataset.class_names),
            "model": settings.model.model_dump(mode="json"),
            "training": settings.training.model_dump(mode="json"),
            "steps": request.steps,
            "learning_rate": request.learning_rate,
            "parent": request.parent_digest or str(request.parent_artifact or ""),
            "teacher": request.teacher_digest or str(request.teacher_artifact or ""),
            "new": sorted(request.new_digests),
            "replay": sorted(request.replay_digests),
            "draw_weights": dict(sorted(request.draw_weights.items())),
        }
    )
