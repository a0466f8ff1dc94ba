"""A network made only to answer: a copy of a trained one, and the stages it runs through.

The stages are torchvision's. Left out is what an answer does not need: norms as layers of their own, masks of
other classes than the one found or below the wanted score, and pasting.

Shape suffixes: N instances, C channels, S side of a region's mask.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, concat_box_prediction_layers
from torchvision.models.detection.transform import resize_boxes
from torchvision.ops import MultiScaleRoIAlign

from models.convolutions import fold_norms, use_fewer_products
from models.gathering import GatheringRoIAlign
from models.heads import draw_masks


@dataclass(frozen=True)
class Regions:
    """What was found in one picture, best score first.

    Attributes:
        boxes: float32 (N, 4), x0, y0, x1, y1 in px of the picture as it came.
        scores: float32 (N,).
        labels: int64 (N,), from 1.
        masks: float32 (N, S, S), probabilities inside the boxes.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor


def copy_for_inference(model: MaskRCNN, device: torch.device) -> MaskRCNN:
    """Return a copy that answers the same up to rounding, faster, on a device. The model stays as it is."""
    fast = copy.deepcopy(model).to(device).eval().requires_grad_(False)
    fold_norms(fast)
    if device.type == "cpu":
        _suit_a_cpu(fast)
    return fast


def _suit_a_cpu(model: MaskRCNN) -> None:
    """Cut regions by gathering, with channels last, and convolve where it pays with fewer products."""
    heads = model.roi_heads
    heads.box_roi_pool, heads.mask_roi_pool = map(_gathering, (heads.box_roi_pool, heads.mask_roi_pool))
    if isinstance(heads.box_head, TwoMLPHead):
        heads.box_head = _ConvolvedMlp(heads.box_head, heads.box_roi_pool.output_size)
    for part in (model.backbone.body, model.backbone.fpn.inner_blocks, heads.box_head, heads.mask_predictor):
        part.to(memory_format=torch.channels_last)
    use_fewer_products(model)


def _gathering(pool: MultiScaleRoIAlign) -> GatheringRoIAlign:
    return GatheringRoIAlign(pool.featmap_names, pool.output_size, pool.sampling_ratio)


class _ConvolvedMlp(nn.Module):
    """torchvision's box head, its first layer as one convolution over the whole region."""

    def __init__(self, head: TwoMLPHead, size: Sequence[int]) -> None:
        super().__init__()
        weight = head.fc6.weight.view(head.fc6.out_features, -1, *size)
        self.weight, self.bias = nn.Parameter(weight, requires_grad=False), head.fc6.bias
        self.fc7 = head.fc7

    def forward(self, regions: Tensor) -> Tensor:
        """Map regions (K, C, P, P) to features (K, D)."""
        first = F.conv2d(regions, self.weight, self.bias).flatten(start_dim=1)
        features: Tensor = self.fc7(first.relu_()).relu_()
        return features


def find_regions(model: MaskRCNN, batch: Tensor, min_score: float) -> tuple[list[Regions], Tensor, Tensor]:
    """Run the stages. Nothing is pasted, and masks are made for what is found alone.

    Args:
        model: torchvision's, or a copy for inference.
        batch: float32 (B, 3, H, W) in 0..1.
        min_score: Regions with a lower score are left out before masks are made for them.

    Returns:
        The regions of each picture; the mean of the finest map over each picture, float32 (B, C); and
        whether all the networks in it computed finite numbers, bool ().
    """
    images, _ = model.transform(list(batch))
    features = model.backbone(images.tensors)
    proposals, raw_proposals = _propose(model.rpn, images, features)
    found, raw_boxes = _classify(model.roi_heads, images, features, proposals)
    found = [tuple(part[own[1] >= min_score] for part in own) for own in found]
    boxes = [own[0] for own in found]
    masks, raw_masks = _mask(model.roi_heads, images, features, boxes, torch.cat([own[2] for own in found]))
    size, whole = images.image_sizes[0], (batch.shape[-2], batch.shape[-1])
    regions = [
        Regions(resize_boxes(own[0], size, whole), own[1], own[2], part)
        for own, part in zip(found, torch.split(masks, [len(own) for own in boxes]), strict=True)
    ]
    watched = [*features.values(), *raw_proposals, *raw_boxes, raw_masks]
    is_finite = torch.stack([each.sum() for each in watched]).isfinite().all()
    return regions, _pool(next(iter(features.values())), size, images.tensors.shape[-2:]), is_finite


def _propose(
    rpn: RegionProposalNetwork, images: ImageList, features: dict[str, Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Return each picture's proposals (M, 4) in resized px, and what the network said."""
    maps = list(features.values())
    objectness, deltas = rpn.head(maps)
    anchors = rpn.anchor_generator(images, maps)
    anchors_per_level = [each[0].numel() for each in objectness]
    flat_objectness, flat_deltas = concat_box_prediction_layers([*objectness], [*deltas])
    decoded = rpn.box_coder.decode(flat_deltas, anchors).view(len(anchors), -1, 4)
    boxes, _ = rpn.filter_proposals(decoded, flat_objectness, images.image_sizes, anchors_per_level)
    return boxes, [*objectness, *deltas]


def _classify(
    heads: RoIHeads, images: ImageList, features: dict[str, Tensor], proposals: list[Tensor]
) -> tuple[list[tuple[Tensor, ...]], list[Tensor]]:
    """Return each picture's boxes, scores and labels, best score first, and what the network said."""
    regions = heads.box_roi_pool(features, proposals, padded_sizes(images))
    logits, deltas = heads.box_predictor(heads.box_head(regions))
    found = heads.postprocess_detections(logits, deltas, proposals, images.image_sizes)
    return list(zip(*found, strict=True)), [logits, deltas]


def _mask(
    heads: RoIHeads, images: ImageList, features: dict[str, Tensor], boxes: list[Tensor], labels_N: Tensor
) -> tuple[Tensor, Tensor]:
    """Return float32 (N, S, S), each region's probabilities of its own class, and their logits."""
    regions = heads.mask_roi_pool(features, boxes, padded_sizes(images))
    logits = draw_masks(heads, regions, labels_N)
    return logits.sigmoid(), logits


def padded_sizes(images: ImageList) -> list[tuple[int, int]]:
    """The padded size tells a map's stride exactly; torchvision guesses it from the first picture's own."""
    height, width = images.tensors.shape[-2:]
    return [(height, width)] * len(images.image_sizes)


def _pool(features: Tensor, size: tuple[int, int], padded_size: torch.Size) -> Tensor:
    rows, columns = (
        max(1, round(cells * side / padded))
        for cells, side, padded in zip(features.shape[-2:], size, padded_size, strict=True)
    )
    return features[:, :, :rows, :columns].float().mean(dim=(2, 3))
