"""The loss of the training, measured on pictures that it does not learn from.

A network that learns its training pictures by heart shows it here first: this loss rises while that of the
training falls. The losses are those of a step, of the labels alone, without a gradient, on pictures as they
are, with the norms' running statistics, as the network will answer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from dataset.labelled_pictures import LabelledPicture
from maskloop.settings.model_settings import TrainingSettings
from models.devices import uses_bf16
from models.loading.batches import TrainingBatch
from models.loading.examples import read_example
from models.network.heads import CropHeads
from models.network.preparation import Preparation
from models.network.proposals import SparseProposals
from models.operations.mask_targets import make_target

MAX_PICTURES: Final = 32
"""The loss is a mean, so some pictures tell it: always the same, so that its changes are the network's."""


def measure_losses(
    model: MaskRCNN,
    pictures: Sequence[LabelledPicture],
    pixels_of: Callable[[LabelledPicture], NDArray[np.uint8]],
    *,
    training: TrainingSettings,
    device: torch.device,
) -> dict[str, float]:
    """Return each part of the loss by torchvision's name, its mean over the first pictures, at most 32.

    The same weights give the same numbers. No random number is drawn from torch's own generator, which the
    training may be using, and the model is only read.

    Args:
        model: In evaluation mode, on the device.
        pictures: Annotated ones.
        pixels_of: Returns a picture, uint8 (H, W, 3). What it raises, this raises.
        training: Its batch size, precision and seed.
        device: Where it computes.
    """
    rpn, heads = _as_in_training(model, torch.Generator(device).manual_seed(training.seed))
    is_bf16 = uses_bf16(training.precision, device)
    sums: dict[str, float] = {}
    chosen = pictures[:MAX_PICTURES]
    for batch in _batches(chosen, pixels_of, training.batch_size):
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=is_bf16):
            losses = _losses(model, rpn, heads, batch.to(device))
        for name, loss in losses.items():
            sums[name] = sums.get(name, 0.0) + float(loss) * len(batch.images)
    return {name: total / len(chosen) for name, total in sums.items()}


def _as_in_training(model: MaskRCNN, generator: torch.Generator) -> tuple[SparseProposals, CropHeads]:
    """Return new networks around the model's own layers, which stay in evaluation mode, that tell losses."""
    rpn, heads = SparseProposals.like(model.rpn), CropHeads.like(model.roi_heads)
    for network in (rpn, heads):
        network.training = True  # of itself alone: `train()` would reach its layers
        network.generator = generator
    return rpn, heads


def _losses(
    model: MaskRCNN, rpn: SparseProposals, heads: CropHeads, batch: TrainingBatch
) -> dict[str, Tensor]:
    given: list[Tensor] = batch.images
    if not isinstance(model.transform, Preparation):
        given = [image.float() / 255 for image in given]
    images, targets = model.transform(given, batch.targets)
    features: Any = model.backbone(images.tensors)
    if isinstance(features, Tensor):
        features = OrderedDict([("0", features)])
    proposals, of_proposals = rpn(images, features, targets)
    _, of_heads = heads(features, proposals, images.image_sizes, targets)
    return {**of_heads, **of_proposals}


def _batches(
    pictures: Sequence[LabelledPicture], pixels_of: Callable[[LabelledPicture], NDArray[np.uint8]], size: int
) -> Iterator[TrainingBatch]:
    for start in range(0, len(pictures), size):
        some = pictures[start : start + size]
        pairs = [_plain_example(picture, pixels_of(picture)) for picture in some]
        images, targets = ([*each] for each in zip(*pairs, strict=True))
        yield TrainingBatch(images, targets, tuple(picture.name for picture in some))


def _plain_example(picture: LabelledPicture, pixels: NDArray[np.uint8]) -> tuple[Tensor, dict[str, Tensor]]:
    example = read_example(picture, pixels)
    image = torch.from_numpy(np.array(pixels, order="C")).permute(2, 0, 1)
    height_px, width_px = example.size_px
    target = make_target(
        example.crops, example.labels, height_px=height_px, width_px=width_px, crowds=example.crowds
    )
    return image, target
