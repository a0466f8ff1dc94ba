"""torchvision's MaskRCNN, built from settings, with weights from where the settings say."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import AnchorGenerator, RPNHead
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.misc import FrozenBatchNorm2d

from maskloop.errors import ConfigurationError
from maskloop.settings.backbones import BACKBONES
from maskloop.settings.model_settings import FastPart, ModelSettings
from models.network.backbones import Backbone, build_backbone, norm_layer
from models.network.fast_parts import ALL_FAST_PARTS, use_fast_parts
from models.network.heads import ClassAgnosticMasks
from models.network.weights import load_pretrained

_BOX_ROI_SIZE = 7


def build_model(
    settings: ModelSettings,
    *,
    num_classes: int,
    pretrained: bool = True,
    fast_parts: Collection[FastPart] = ALL_FAST_PARTS,
) -> MaskRCNN:
    """Build the network, on the CPU, in training mode.

    ``resnet50`` and ``resnet50_v2`` have exactly the parameter names and shapes of torchvision's
    ``maskrcnn_resnet50_fpn`` and ``maskrcnn_resnet50_fpn_v2`` under default settings.

    Args:
        settings: The [model] section.
        num_classes: Number of classes, the background not counted.
        pretrained: Load the weights the settings name; False leaves the random ones, for a caller who
            loads an artifact next.
        fast_parts: Which parts take torchvision's places; see `models.network.fast_parts`.

    Raises:
        ConfigurationError: if the settings contradict each other or the weights do not fit.
        UnavailableError: if weights could not be downloaded.
    """
    model = build_stock_model(settings, num_classes=num_classes)
    use_fast_parts(model, settings, fast_parts)
    _use_the_epsilon_of_the_coco_weights(model, settings)
    if pretrained:
        load_pretrained(model, settings)
    return model


def build_stock_model(settings: ModelSettings, *, num_classes: int) -> MaskRCNN:
    """Build the same network of torchvision's own parts alone, with random weights; ours is held against it.

    Raises:
        ConfigurationError: if the settings contradict each other.
    """
    if num_classes < 1:
        raise ConfigurationError("a model needs at least one class", where="classes")
    backbone = build_backbone(settings)
    if settings.weights != "scratch":  # freezing random weights would only cripple the network
        backbone.freeze_all_but(settings.trainable_layers)
    channels, head_norm = settings.fpn_channels, _head_norm(settings)
    anchors = _anchor_generator(settings, backbone)
    return MaskRCNN(
        backbone.module,
        min_size=settings.min_size_px,
        max_size=settings.max_size_px,
        rpn_anchor_generator=anchors,
        rpn_head=RPNHead(
            channels, anchors.num_anchors_per_location()[0], conv_depth=2 if _is_v2(settings) else 1
        ),
        rpn_pre_nms_top_n_train=settings.train_proposals_before_nms,
        rpn_pre_nms_top_n_test=settings.test_proposals_before_nms,
        rpn_post_nms_top_n_train=settings.train_proposals,
        rpn_post_nms_top_n_test=settings.test_proposals,
        rpn_batch_size_per_image=settings.anchors_per_picture,
        box_roi_pool=_pool(settings, backbone, _BOX_ROI_SIZE),
        box_head=_box_head(settings),
        box_predictor=FastRCNNPredictor(settings.box_head_width, num_classes + 1),
        box_score_thresh=settings.min_score,
        box_nms_thresh=settings.nms_iou,
        box_detections_per_img=settings.max_detections,
        box_batch_size_per_image=settings.rois_per_picture,
        mask_roi_pool=_pool(settings, backbone, settings.mask_roi_size_px),
        mask_head=MaskRCNNHeads(channels, settings.mask_head_layers, 1, norm_layer=head_norm),
        mask_predictor=_mask_predictor(settings, num_classes),
    )


def _is_v2(settings: ModelSettings) -> bool:
    return BACKBONES[settings.backbone].has_v2_heads


def _head_norm(settings: ModelSettings) -> Any:
    return norm_layer(settings.norm) if _is_v2(settings) else None


def _box_head(settings: ModelSettings) -> nn.Module:
    channels, width = settings.fpn_channels, settings.box_head_width
    if _is_v2(settings):
        shape = (channels, _BOX_ROI_SIZE, _BOX_ROI_SIZE)
        head: nn.Module = FastRCNNConvFCHead(shape, [channels] * 4, [width], norm_layer=_head_norm(settings))
        return head
    mlp: nn.Module = TwoMLPHead(channels * _BOX_ROI_SIZE**2, width)
    return mlp


def _mask_predictor(settings: ModelSettings, num_classes: int) -> nn.Module:
    channels = (settings.fpn_channels, *settings.mask_head_layers)[-1]
    kind = ClassAgnosticMasks if settings.class_agnostic_masks else MaskRCNNPredictor
    predictor: nn.Module = kind(channels, settings.mask_head_width, num_classes + 1)
    return predictor


def _pool(settings: ModelSettings, backbone: Backbone, side_px: int) -> MultiScaleRoIAlign:
    return MultiScaleRoIAlign([*backbone.roi_levels], side_px, settings.roi_sampling_ratio)


def _anchor_generator(settings: ModelSettings, backbone: Backbone) -> Any:
    sizes = settings.anchor_sizes_px or backbone.anchor_sizes_px
    return AnchorGenerator(sizes, (settings.anchor_aspect_ratios,) * len(sizes))


def _use_the_epsilon_of_the_coco_weights(model: MaskRCNN, settings: ModelSettings) -> None:
    """torchvision's first Mask R-CNN weights were trained with an epsilon of 0 in the frozen norms."""
    epsilon = BACKBONES[settings.backbone].coco_norm_epsilon
    if epsilon is not None and settings.weights == "coco":
        for module in model.modules():
            if isinstance(module, FrozenBatchNorm2d):
                module.eps = epsilon
