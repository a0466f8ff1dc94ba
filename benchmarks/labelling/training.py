"""The trainings of a learning curve: the champion, and the champion taught some chosen pictures."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models.detection import MaskRCNN

from benchmarks.labelling.pictures import Pictures
from dataset.labelled_pictures import LabelledPicture
from dataset.pictures.decoding import decode_picture
from maskloop.settings.workspace_settings import Settings
from models.artifacts.manifest import ArtifactFacts, load_manifest
from models.artifacts.model_folder import save_artifact
from models.loading.batches import PictureCache
from models.loading.request import TrainingRequest
from models.training.training_loop import train
from models.validation.class_iou import measure_class_iou

_SCORE: Final = 0.5


def load_picture(path: Path) -> NDArray[np.uint8]:
    """Decode a picture, uint8 (H, W, 3)."""
    return decode_picture(path.read_bytes(), max_mpx=25.0)


def train_champion(directory: Path, pictures: Pictures, settings: Settings) -> str:
    """Train the champion on its own pictures, or find it trained; returns the digest of its weights."""
    if not (directory / "manifest.json").exists():
        shutil.rmtree(directory, ignore_errors=True)
        steps, rate = settings.training.steps, settings.training.learning_rate
        model = _train(pictures, settings, steps=steps, rate=rate, new=pictures.own, replay=(), parent=None)
        facts = ArtifactFacts(pictures.version.class_names, settings.model, _SCORE)
        save_artifact(directory, model, facts)
    return load_manifest(directory).weights_digest


def teach(champion: Path, pictures: Pictures, chosen: Sequence[str], settings: Settings) -> MaskRCNN:
    """Return the champion after it was taught chosen pictures, as `maskloop retrain` does it."""
    return _train(
        pictures,
        settings,
        steps=settings.training.retrain_steps,
        rate=settings.training.retrain_learning_rate,
        new=tuple(chosen),
        replay=pictures.own,
        parent=champion,
    )


def measure_iou(model: MaskRCNN, pictures: Pictures, tested: Sequence[LabelledPicture]) -> dict[str, float]:
    """Return each class's mask IoU on pictures, 0..1."""
    cache = PictureCache(pictures.version, load_picture)
    return measure_class_iou(
        model,
        tested,
        cache.pixels,
        class_names=pictures.version.class_names,
        score_threshold=_SCORE,
        device=torch.device("cpu"),
    )


def _train(
    pictures: Pictures,
    settings: Settings,
    *,
    steps: int,
    rate: float,
    new: Sequence[str],
    replay: Sequence[str],
    parent: Path | None,
) -> MaskRCNN:
    with TemporaryDirectory() as folder:
        request = TrainingRequest(
            dataset=pictures.version,
            settings=settings,
            checkpoint_dir=Path(folder),
            steps=steps,
            learning_rate=rate,
            device="cpu",
            parent_artifact=parent,
            new_digests=tuple(new),
            replay_digests=tuple(replay),
        )
        return train(request).model
