"""A network that several ranks train as one process would: the same losses and gradients for the same batch.

torchvision's losses are means over the anchors and regions drawn. Ranks draw different numbers of them, so
the mean of the ranks' means is another number. Here each rank divides by the mean number over the ranks, so
the mean of the ranks' losses, and with it the mean gradient that `DistributedDataParallel` makes, is that of
the whole batch. For the same reason pictures are padded to the largest of the batch, batch norms see the
batch, and what is drawn in a picture follows from the step and its place in the batch alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torchvision.models.detection import MaskRCNN

from maskloop.settings.model_settings import TrainingSettings
from models.network.heads import CropHeads
from models.network.preparation import Preparation
from models.network.proposals import SparseProposals
from models.ranks.group import Ranks
from models.ranks.norms import share_norms

_STRIDES: Final = "Grad strides do not match bucket view strides"
"""Of 1 x 1 kernels, which lie alike in memory whatever their strides are called."""


class Classroom:
    """Lets a network learn together with those of the other ranks.

    Attributes:
        learner: What a batch is given to in place of the network.
    """

    def __init__(self, model: MaskRCNN, ranks: Ranks, training: TrainingSettings) -> None:
        """Change the network's norms; the weights of the first rank are taken over by the others.

        Args:
            model: In training mode, on its device.
            ranks: Those who learn.
            training: Several workers need our own heads, proposals and preparation.
        """
        self._model, self._ranks, self._training = model, ranks, training
        self._draws_by_picture = training.cluster.workers > 1
        self.learner: nn.Module = model
        if not ranks.is_alone:
            share_norms(model, ranks)
            warnings.filterwarnings("ignore", message=_STRIDES)
            self.learner = DistributedDataParallel(model, gradient_as_bucket_view=True)

    @contextmanager
    def in_session(self, step: int, places: Sequence[int], *, is_last_part: bool) -> Iterator[None]:
        """In the body, the network learns from these places of a step's batch; see `places.share_places`.

        Gradients are exchanged in the last part of the batch alone.
        """
        rpn, heads, preparation = self._model.rpn, self._model.roi_heads, self._model.transform
        if self._draws_by_picture:
            assert isinstance(rpn, SparseProposals)  # noqa: S101 - settings with others are refused
            assert isinstance(heads, CropHeads)  # noqa: S101
            device = next(self._model.parameters()).device
            rpn.picture_seeds, heads.picture_seeds = _seeds(self._training.seed, step, places, device)
            if not self._ranks.is_alone:
                assert isinstance(preparation, Preparation)  # noqa: S101
                rpn.mean_count = heads.mean_counts = self._ranks.mean
                preparation.largest_size = self._ranks.largest
        try:
            if isinstance(self.learner, DistributedDataParallel) and not is_last_part:
                with self.learner.no_sync():
                    yield
            else:
                yield
        finally:
            if self._draws_by_picture:
                rpn.picture_seeds = heads.picture_seeds = None
                rpn.mean_count = heads.mean_counts = None
                preparation.largest_size = None


def _seeds(seed: int, step: int, places: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the seeds of the anchors and of the regions drawn in each picture, int64 (B,)."""
    drawn = [np.random.SeedSequence([seed, step, place]).generate_state(2, np.uint64) for place in places]
    of_anchors, of_regions = torch.from_numpy(np.array(drawn).view(np.int64)).to(device).unbind(1)
    return of_anchors, of_regions
