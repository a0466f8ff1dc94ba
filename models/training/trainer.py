"""Training behind its port: see `models.ports.Trainer`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.instances import GroundTruth
from maskloop.errors import TrainingError
from maskloop.settings.backbones import BACKBONES
from maskloop.settings.model_settings import ModelSettings
from models.loading.batches import LoadPicture
from models.loading.preview import preview_training
from models.loading.request import OnEvaluation, OnStep, TrainingRequest
from models.training.anchor_fit import AnchorShapes
from models.training.training_loop import TrainingResult, train

_NO_MEMORY: Final = ("out of memory", "can't allocate memory", "not enough memory")
"""How torch says it of a card (of kinds without an error class of their own), and of the machine."""


class TorchTrainer:
    """Trains with torch, in this process."""

    def train(
        self,
        request: TrainingRequest,
        *,
        on_step: OnStep,
        on_evaluation: OnEvaluation,
        progress: Callable[[int, int], None],
        on_checkpoint: Callable[[int], None],
        should_stop: Callable[[], bool],
    ) -> TrainingResult:
        """Train, or go on where a killed run with the same request stood."""
        with memory_told():
            return train(
                request,
                on_step=on_step,
                on_evaluation=on_evaluation,
                progress=progress,
                on_checkpoint=on_checkpoint,
                should_stop=should_stop,
            )

    def preview(
        self, request: TrainingRequest, load_picture: LoadPicture
    ) -> Iterator[tuple[NDArray[np.uint8], GroundTruth]]:
        """Yield the pictures of the request's steps, uint8 (H, W, 3), as a training would see them."""
        return preview_training(request, load_picture)

    def present_anchors(self, settings: ModelSettings) -> tuple[AnchorShapes, tuple[int, ...]]:
        """Return the anchors that the settings mean, and the strides they lie at."""
        spec = BACKBONES[settings.backbone]
        sizes = settings.anchor_sizes_px or spec.anchor_sizes_px
        return AnchorShapes(sizes, settings.anchor_aspect_ratios), spec.strides_px


@contextmanager
def memory_told() -> Iterator[None]:
    """Turn what torch raises when memory runs out into an error that is recorded and says what to lower.

    Raises:
        TrainingError: if the body ran out of memory.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        is_named = any(said in str(error) for said in _NO_MEMORY)
        if isinstance(error, RuntimeError) and not (is_named or isinstance(error, torch.OutOfMemoryError)):
            raise
        raise TrainingError(
            f"the training ran out of memory: {(str(error) or 'no more was given').splitlines()[0]}",
            hint="lower training.batch_size, or model.min_size_px and model.max_size_px",
        ) from error
