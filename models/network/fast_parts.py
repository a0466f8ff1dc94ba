"""The parts of a training step that take torchvision's places, each a switch.

Each learns what torchvision's own learns; `tests/unit/models/training/test_training_step.py` shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Final, get_args

from torchvision.models.detection import MaskRCNN
from torchvision.ops import MultiScaleRoIAlign

from maskloop.settings.backbones import BACKBONES
from maskloop.settings.model_settings import FastPart, ModelSettings
from maskloop.settings.network_rules import check_prediction, refuse
from models.loading.batches import TrainingBatch
from models.network.anchors import CachedAnchors
from models.network.heads import CropHeads
from models.network.preparation import Preparation, View
from models.network.proposals import SparseProposals
from models.operations.convolutions import train_with_less_work
from models.operations.gathering import gather_like
from models.operations.mask_targets import to_dense_masks
from models.operations.regions import SmallMapRoIAlign
from models.operations.suppression import Suppression

ALL_FAST_PARTS: Final[tuple[FastPart, ...]] = get_args(FastPart)


def use_fast_parts(model: MaskRCNN, settings: ModelSettings, parts: Collection[FastPart]) -> None:
    """Replace torchvision's modules by fast ones. Names and weights stay the same.

    Raises:
        ConfigurationError: if the network is to predict in a way that torchvision's own parts cannot.
    """
    refuse(check_prediction(settings.prediction, parts))
    for part, put in _PUT.items():
        if part in parts:
            put(model, settings)


def feed(batch: TrainingBatch, parts: Collection[FastPart]) -> TrainingBatch:
    """Return a batch as a model with these parts wants it: torchvision's own need more made of it."""
    if "preparation" not in parts:
        batch = replace(batch, images=[image.float() / 255 for image in batch.images])
    if "heads" not in parts:
        batch = replace(batch, targets=[to_dense_masks(target) for target in batch.targets])
    return batch


def _put_anchors(model: MaskRCNN, _settings: ModelSettings) -> None:
    anchors = model.rpn.anchor_generator
    model.rpn.anchor_generator = CachedAnchors(anchors.sizes, anchors.aspect_ratios)


def _put_proposals(model: MaskRCNN, _settings: ModelSettings) -> None:
    model.rpn = SparseProposals.like(model.rpn)


def _put_heads(model: MaskRCNN, settings: ModelSettings) -> None:
    model.roi_heads = CropHeads.like(model.roi_heads)
    wanted = settings.prediction
    model.roi_heads.suppression = Suppression(wanted.soft_nms, wanted.soft_nms_sigma)


def _put_pooling(model: MaskRCNN, settings: ModelSettings) -> None:
    spec, heads = BACKBONES[settings.backbone], model.roi_heads
    for name in ("box_roi_pool", "mask_roi_pool"):
        pool = getattr(heads, name)
        is_alone = spec.num_roi_levels == 1
        setattr(heads, name, _pool_one_level(pool, spec.strides_px[0]) if is_alone else gather_like(pool))


def _pool_one_level(pool: MultiScaleRoIAlign, stride_px: int) -> SmallMapRoIAlign:
    (level,), (side_px, _) = pool.featmap_names, pool.output_size
    return SmallMapRoIAlign(level, side_px, pool.sampling_ratio, stride_px=stride_px)


def _put_preparation(model: MaskRCNN, settings: ModelSettings) -> None:
    model.transform = Preparation(settings.min_size_px, settings.max_size_px)
    wanted = settings.prediction
    model.transform.views = tuple(
        View(scale, is_mirrored)
        for scale in (1.0, *wanted.extra_scales)
        for is_mirrored in ((False, True) if wanted.mirrored else (False,))
    )


def _put_convolutions(model: MaskRCNN, _settings: ModelSettings) -> None:
    train_with_less_work(model)


_PUT: Final[Mapping[FastPart, Callable[[MaskRCNN, ModelSettings], None]]] = {
    "anchors": _put_anchors,
    "proposals": _put_proposals,
    "heads": _put_heads,
    "pooling": _put_pooling,
    "preparation": _put_preparation,
    "convolutions": _put_convolutions,
}
