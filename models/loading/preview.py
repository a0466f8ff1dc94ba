"""What training sees: the very batches of its first steps, for a person to look at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from evaluation.instances import GroundTruth
from maskloop.masks import place_masks
from models.loading.batches import BatchStream, LoadPicture, PictureCache
from models.loading.request import TrainingRequest, plan_training
from models.operations.mask_targets import read_crops


def preview_training(
    request: TrainingRequest, load_picture: LoadPicture
) -> Iterator[tuple[NDArray[np.uint8], GroundTruth]]:
    """Yield the pictures of the request's steps, in order, uint8 (H, W, 3), each with its instances.

    The ground truth's ``picture_id`` is the name of the file the picture was made from.

    Raises:
        TrainingError: if there is nothing to train on.
        ConfigurationError: if the settings name mirrored classes that the data set does not have.
    """
    training = request.settings.training
    cache = PictureCache(request.dataset, load_picture)
    stream = BatchStream(cache, plan_training(request), training)
    for step in range(request.steps):
        batch = stream.make(step)
        for name, image, target in zip(batch.names, batch.images, batch.targets, strict=True):
            pixels = image.permute(1, 2, 0).numpy()
            yield pixels, _truth_of(name, target, pixels.shape[:2])


def _truth_of(name: str, target: dict[str, Tensor], size_px: tuple[int, int]) -> GroundTruth:
    parts = ((crop.left_px, crop.top_px, crop.pixels) for crop in read_crops(target))
    masks = place_masks(parts, height_px=size_px[0], width_px=size_px[1])
    return GroundTruth(
        picture_id=name,
        source="",
        height_px=size_px[0],
        width_px=size_px[1],
        class_indices=target["labels"].numpy() - 1,
        masks=masks,
        is_crowd=np.zeros(len(masks), dtype=bool),
    )
