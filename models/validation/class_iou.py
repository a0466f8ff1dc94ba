"""How good a network in training is, measured the way the gates will measure it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models.detection import MaskRCNN

from dataset.labelled_pictures import LabelledPicture
from evaluation.instances import Detections
from evaluation.iou import measure_mask_iou
from evaluation.thresholds import calibrate_thresholds
from models.answering.predictor import TorchPredictor
from models.loading.ground_truth import ground_truth
from models.ranks.group import ALONE, Ranks
from models.ranks.places import share_items

_PICTURES_AT_ONCE = 32
PixelsOf = Callable[[LabelledPicture], NDArray[np.uint8]]
"""Returns a picture, uint8 (H, W, 3); `models.loading.batches.PictureCache.pixels` is one."""


def measure_class_iou(
    model: MaskRCNN,
    pictures: Sequence[LabelledPicture],
    pixels_of: PixelsOf,
    *,
    class_names: tuple[str, ...],
    score_threshold: float,
    device: torch.device,
    ranks: Ranks = ALONE,
) -> dict[str, float]:
    """Return each class's mask IoU, 0..1; a class without instances has no entry.

    The model is left in evaluation mode. What ``pixels_of`` raises, this raises. Each picture is looked at by
    one of the ranks, and all return the same.

    Raises:
        IntegrityError: if the model computes numbers that are not finite.
    """
    predictor = TorchPredictor(model, class_names=class_names, device=device)
    own = [pictures[at] for at in share_items(len(pictures), count=ranks.count, rank=ranks.rank)]
    found = ranks.gather(_detect(predictor, own, pixels_of, min_score=score_threshold))
    table = measure_mask_iou(
        {digest: each for one in found for digest, each in one.items()},
        [ground_truth(picture) for picture in pictures],
        class_names=class_names,
        score_threshold=score_threshold,
    )
    measured = zip(class_names, table.class_iou().tolist(), strict=True)
    return {name: iou for name, iou in measured if np.isfinite(iou)}


def calibrate_model(
    model: MaskRCNN,
    pictures: Sequence[LabelledPicture],
    pixels_of: PixelsOf,
    *,
    class_names: tuple[str, ...],
    min_instances: int,
    device: torch.device,
) -> dict[str, float]:
    """Return the score threshold of each class that has enough instances in the pictures, 0..1.

    See `evaluation.thresholds.calibrate_thresholds`. The model is left in evaluation mode, on the device.

    Raises:
        IntegrityError: if the model computes numbers that are not finite.
    """
    predictor = TorchPredictor(model, class_names=class_names, device=device)
    return calibrate_thresholds(
        _detect(predictor, pictures, pixels_of, min_score=0.0),
        [ground_truth(picture) for picture in pictures],
        class_names=class_names,
        min_instances=min_instances,
    )


def _detect(
    predictor: TorchPredictor, pictures: Sequence[LabelledPicture], pixels_of: PixelsOf, *, min_score: float
) -> dict[str, Detections]:
    """Return what is found in each picture, by its digest."""
    detections = {}
    for start in range(0, len(pictures), _PICTURES_AT_ONCE):
        some = pictures[start : start + _PICTURES_AT_ONCE]
        found = predictor.predict([pixels_of(each) for each in some], min_score=min_score)
        detections.update({each.digest: one.detections for each, one in zip(some, found, strict=True)})
    return detections
