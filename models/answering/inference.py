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
from torchvision.models.detection.rpn import RegionProposalNetwork, concat_box_prediction_layers
from torchvision.models.detection.transform import resize_boxes

from models.answering.insides import describe_insides
from models.network.parts import Parts, parts_of
from models.operations.convolutions import fold_norms, use_fewer_products
from models.operations.gathering import gather_like


@dataclass(frozen=True)
class FoundRegions:
    """What was found in one picture, best score first.

    Attributes:
        boxes: float32 (N, 4), x0, y0, x1, y1 in px of the picture as it came.
        scores: float32 (N,).
        labels: int64 (N,), from 1.
        masks: float32 (N, S, S), probabilities inside the boxes.
        insides: float32 (N, `NUM_INSIDES`), see `models.answering.insides`.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor
    insides: Tensor


def copy_for_inference(model: MaskRCNN, device: torch.device, *, bf16: bool = False) -> MaskRCNN:
    """Return a copy that answers the same up to rounding, faster, on a device. The model stays as it is.

    Args:
        model: A trained one.
        device: Where it is to compute.
        bf16: Let its networks compute in bfloat16 (`parts.in_bf16`); rounding is coarser then.
    """
    fast = copy.deepcopy(model).to(device).eval().requires_grad_(False)
    fold_norms(fast)
    if device.type == "cpu":
        _cut_by_gathering(fast)
    if bf16:
        heads = fast.roi_heads
        networks = (fast.backbone, fast.rpn.head, heads.box_head, heads.box_predictor)
        for network in (*networks, heads.mask_head, heads.mask_predictor):
            network.to(torch.bfloat16).to(memory_format=torch.channels_last)
    elif device.type == "cpu":
        _convolve_for_a_cpu(fast)
    return fast


def keep_choosing_alone(model: MaskRCNN) -> MaskRCNN:
    """Drop a model's networks, which run elsewhere; what chooses and cuts regions stays, made for a CPU."""
    heads = model.eval().roi_heads
    heads.box_roi_pool, heads.mask_roi_pool = map(gather_like, (heads.box_roi_pool, heads.mask_roi_pool))
    model.backbone, model.rpn.head = nn.Identity(), nn.Identity()
    for name in ("box_head", "box_predictor", "mask_head", "mask_predictor"):
        setattr(heads, name, nn.Identity())
    return model


def _cut_by_gathering(model: MaskRCNN) -> None:
    """Cut regions with channels last, as the first layer of the box head wants them where it convolves."""
    heads = model.roi_heads
    heads.box_roi_pool, heads.mask_roi_pool = map(gather_like, (heads.box_roi_pool, heads.mask_roi_pool))
    instructions = torch.backends.cpu.get_cpu_capability()
    if isinstance(heads.box_head, TwoMLPHead) and convolves_whole_regions(instructions):
        heads.box_head = _ConvolvedMlp(heads.box_head, heads.box_roi_pool.output_size)


def convolves_whole_regions(instructions: str) -> bool:
    """Tell whether the box head's first layer is faster as a convolution than as a matrix product.

    oneDNN's convolution over a region takes 0.4 of the time with AVX-512, 5 times as much with AVX2.

    Args:
        instructions: As ``torch.backends.cpu.get_cpu_capability()`` names them.
    """
    return instructions.startswith(("AVX512", "AVX10"))


def _convolve_for_a_cpu(model: MaskRCNN) -> None:
    """Keep channels last where that is faster, and convolve where it pays with fewer products."""
    heads = model.roi_heads
    for part in (model.backbone.body, model.backbone.fpn.inner_blocks, heads.box_head, heads.mask_predictor):
        part.to(memory_format=torch.channels_last)
    use_fewer_products(model)


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


@dataclass(frozen=True)
class Seen:
    """What the network made of a batch of pictures of one size, before it suppresses boxes and draws masks.

    Attributes:
        images: Resized and padded.
        features: The pyramid's maps.
        proposals: Of each picture, (M, 4) in px of the resized pictures.
        logits: Of the classes, of all pictures' proposals.
        deltas: Box regressions, of the same regions.
        raw_proposals: What the proposal network said.
    """

    images: ImageList
    features: dict[str, Tensor]
    proposals: list[Tensor]
    logits: Tensor
    deltas: Tensor
    raw_proposals: list[Tensor]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the resized pictures, px, before padding."""
        size: tuple[int, int] = self.images.image_sizes[0]
        return size

    def watched(self) -> list[Tensor]:
        """Return everything that must be finite: tensors of any shape, float32 or bfloat16."""
        return [*self.features.values(), *self.raw_proposals, self.logits, self.deltas]


def find_regions(
    model: MaskRCNN, batch: Tensor, min_score: float, parts: Parts | None = None
) -> tuple[list[FoundRegions], Tensor, Tensor]:
    """Run the stages. Nothing is pasted, and masks are made for what is found alone.

    Args:
        model: torchvision's, or a copy for inference.
        batch: float32 (B, 3, H, W) in 0..1.
        min_score: Regions with a lower score are left out before masks are made for them.
        parts: Networks to run instead of the model's own.

    Returns:
        The regions of each picture; the mean of the finest map over each picture, float32 (B, C); and
        whether all the networks in it computed finite numbers, bool ().
    """
    parts = parts or parts_of(model)
    seen = look_at(model, parts, batch)
    heads, sizes = model.roi_heads, seen.images.image_sizes
    kept = heads.postprocess_detections(seen.logits, seen.deltas, seen.proposals, sizes)
    found = [*zip(*kept, strict=True)]
    if min_score > heads.score_thresh:
        counts = torch.stack([(own[1] >= min_score).sum() for own in found]).tolist()
        found = [tuple(part[:count] for part in own) for own, count in zip(found, counts, strict=True)]
    boxes = [own[0] for own in found]
    drawn = draw_regions(model, parts, seen, boxes, torch.cat([own[2] for own in found]))
    whole, counts = (batch.shape[-2], batch.shape[-1]), [len(own) for own in boxes]
    by_picture = zip(*(torch.split(each, counts) for each in (drawn.masks, drawn.insides)), strict=True)
    regions = [
        FoundRegions(resize_boxes(own[0], seen.size, whole), own[1], own[2], masks, insides)
        for own, (masks, insides) in zip(found, by_picture, strict=True)
    ]
    is_finite = torch.stack([each.sum() for each in [*seen.watched(), drawn.logits]]).isfinite().all()
    return regions, mean_of_finest_map(seen), is_finite


def look_at(model: MaskRCNN, parts: Parts, batch: Tensor, prepare: nn.Module | None = None) -> Seen:
    """Run all stages up to the classes and boxes of the proposals.

    Args:
        model: torchvision's, or a copy for inference.
        parts: The networks to run, the model's own or others.
        batch: float32 (B, 3, H, W) in 0..1.
        prepare: Resizes and pads the pictures; None takes the model's own.
    """
    images, _ = (prepare or model.transform)(list(batch))
    features, objectness, offsets = parts.scan(images.tensors)
    proposals = _propose(model.rpn, images, features, objectness, offsets)
    logits, deltas = parts.classify(model.roi_heads.box_roi_pool(features, proposals, padded_sizes(images)))
    return Seen(images, features, proposals, logits, deltas, [*objectness, *offsets])


@dataclass(frozen=True)
class DrawnRegions:
    """What was drawn in the boxes of all pictures.

    Attributes:
        masks: float32 (N, S, S), each region's probabilities of its own class.
        logits: The same before they became probabilities.
        insides: float32 (N, `NUM_INSIDES`), see `models.answering.insides`.
    """

    masks: Tensor
    logits: Tensor
    insides: Tensor


def draw_regions(
    model: MaskRCNN, parts: Parts, seen: Seen, boxes: list[Tensor], labels_N: Tensor
) -> DrawnRegions:
    """Draw the mask of each region, and describe the inside.

    Args:
        model: Which has seen the pictures.
        parts: The networks it ran.
        seen: What it saw.
        boxes: Of each picture, (M, 4) in px of the resized pictures.
        labels_N: int64, of the boxes of all pictures.
    """
    regions = model.roi_heads.mask_roi_pool(seen.features, boxes, padded_sizes(seen.images))
    logits = parts.outline(regions, labels_N)
    masks = logits.sigmoid()
    return DrawnRegions(masks, logits, describe_insides(regions, masks))


def _propose(
    rpn: RegionProposalNetwork,
    images: ImageList,
    features: dict[str, Tensor],
    objectness: list[Tensor],
    deltas: list[Tensor],
) -> list[Tensor]:
    """Return each picture's proposals (M, 4) in resized px."""
    anchors = rpn.anchor_generator(images, list(features.values()))
    anchors_per_level = [each[0].numel() for each in objectness]
    flat_objectness, flat_deltas = concat_box_prediction_layers([*objectness], [*deltas])
    decoded = rpn.box_coder.decode(flat_deltas, anchors).view(len(anchors), -1, 4)
    boxes: list[Tensor] = rpn.filter_proposals(
        decoded, flat_objectness, images.image_sizes, anchors_per_level
    )[0]
    return boxes


def padded_sizes(images: ImageList) -> list[tuple[int, int]]:
    """The padded size tells a map's stride exactly; torchvision guesses it from the first picture's own."""
    height, width = images.tensors.shape[-2:]
    return [(height, width)] * len(images.image_sizes)


def mean_of_finest_map(seen: Seen) -> Tensor:
    """Return the mean of the finest map over each picture, without its padding, float32 (B, C)."""
    features, padded_size = next(iter(seen.features.values())), seen.images.tensors.shape[-2:]
    rows, columns = (
        max(1, round(cells * side / padded))
        for cells, side, padded in zip(features.shape[-2:], seen.size, padded_size, strict=True)
    )
    return features[:, :, :rows, :columns].float().mean(dim=(2, 3))
