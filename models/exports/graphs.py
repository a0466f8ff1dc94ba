"""A model's networks as graphs that exporters take: one tensor in, tensors out, channels last at the border.

Pictures, maps and regions keep their channels last, as the rest of a prediction has them in memory, so that
nothing is turned around on the way in or out. Norms are folded into convolutions first.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.faster_rcnn import TwoMLPHead

from models.exports.manifest import CLASSIFY, OUTLINE, SCAN
from models.exports.steps import Steps
from models.operations.convolutions import fold_norms, use_plain_convolutions
from models.operations.suppression import Suppression

_STRIDE_PX: Final = 32
_MOST_CELLS: Final = 256
"""Largest side of a picture in units of 32 px, so 8192 px."""


@dataclass(frozen=True)
class Graph:
    """A network to be exported.

    Attributes:
        module: Takes one tensor, returns a tuple of tensors.
        example: An input; its first axis is a free number, as are a picture's sides.
        dynamic: `torch.export`'s free sizes of the input, by axis.
    """

    module: nn.Module
    example: Tensor
    dynamic: Mapping[int, Any]

    def capture(self) -> ExportedProgram:
        """Return the program, with free sizes."""
        with torch.no_grad():
            return torch.export.export(self.module, (self.example,), dynamic_shapes=(dict(self.dynamic),))


def graphs_of(model: MaskRCNN) -> dict[str, Graph]:
    """Return the graphs of a copy of a model, by name; the model stays as it is.

    ``scan`` maps pictures (B, H, W, 3), sides multiples of 32, to all maps (B, h, w, C), then objectness
    (B, A, h, w), then deltas (B, 4A, h, w). ``classify`` maps regions (K, P, P, C) to logits and deltas.
    ``outline`` maps regions (N, P, P, C) to mask logits of all classes (N, classes + 1, S, S).
    """
    plain = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    fold_norms(plain)
    use_plain_convolutions(plain)
    heads, channels = plain.roi_heads, plain.backbone.out_channels
    box_size, mask_size = heads.box_roi_pool.output_size, heads.mask_roi_pool.output_size
    is_mlp = isinstance(heads.box_head, TwoMLPHead)
    box_head = _ChannelsLastMlp(heads.box_head, box_size) if is_mlp else _Turned(heads.box_head)
    return {
        SCAN: _on_pictures(_Scan(plain.backbone, plain.rpn.head)),
        CLASSIFY: _on_regions(_Classify(box_head, heads.box_predictor), box_size, channels),
        OUTLINE: _on_regions(_Outline(_Turned(heads.mask_head), heads.mask_predictor), mask_size, channels),
    }


def level_names(scan: Graph) -> tuple[str, ...]:
    """Return the names of the pyramid's maps, finest first."""
    backbone: Any = scan.module.backbone
    with torch.no_grad():
        return tuple(backbone(torch.zeros(1, 3, 2 * _STRIDE_PX, 2 * _STRIDE_PX)))


def steps_of(model: MaskRCNN) -> Steps:
    """Return in numbers what a prediction does between a model's networks."""
    transform, rpn, heads = model.transform, model.rpn, model.roi_heads
    anchors = rpn.anchor_generator
    anchors.set_cell_anchors(torch.float32, torch.device("cpu"))
    box_pool, mask_pool = heads.box_roi_pool, heads.mask_roi_pool
    suppression = getattr(heads, "suppression", Suppression())
    return Steps(
        min_size_px=transform.min_size[0],
        max_size_px=transform.max_size,
        mean=tuple(transform.image_mean),
        spread=tuple(transform.image_std),
        num_views=len(getattr(transform, "views", (None,))),
        cell_anchors=tuple(tuple(map(tuple, each.tolist())) for each in anchors.cell_anchors),
        proposals_before_nms=rpn._pre_nms_top_n["testing"],
        proposals=rpn._post_nms_top_n["testing"],
        proposal_nms_iou=rpn.nms_thresh,
        proposal_min_side_px=rpn.min_size,
        proposal_min_score=rpn.score_thresh,
        proposal_weights=rpn.box_coder.weights,
        box_weights=heads.box_coder.weights,
        largest_growth=heads.box_coder.bbox_xform_clip,
        roi_levels=tuple(box_pool.featmap_names),
        box_bins=box_pool.output_size[0],
        mask_bins=mask_pool.output_size[0],
        roi_samples=box_pool.sampling_ratio,
        min_score=heads.score_thresh,
        nms_iou=heads.nms_thresh,
        max_detections=heads.detections_per_img,
        suppression=suppression.method,
        suppression_sigma=suppression.sigma,
    )


def _on_pictures(module: nn.Module) -> Graph:
    rows, columns = (_STRIDE_PX * Dim(name, min=1, max=_MOST_CELLS) for name in ("rows", "columns"))
    example = torch.zeros(2, 4 * _STRIDE_PX, 5 * _STRIDE_PX, 3)
    return Graph(module, example, {0: Dim("pictures", min=1, max=1024), 1: rows, 2: columns})


def _on_regions(module: nn.Module, size: tuple[int, ...], channels: int) -> Graph:
    return Graph(module, torch.zeros(3, *size, channels), {0: Dim("regions", min=1, max=2**20)})


class _Scan(nn.Module):
    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        maps = [*self.backbone(pictures.permute(0, 3, 1, 2)).values()]
        objectness, deltas = self.head(maps)
        return (*(each.permute(0, 2, 3, 1) for each in maps), *objectness, *deltas)


class _Classify(nn.Module):
    def __init__(self, head: nn.Module, predictor: nn.Module) -> None:
        super().__init__()
        self.head, self.predictor = head, predictor

    def forward(self, regions: Tensor) -> tuple[Tensor, ...]:
        logits, deltas = self.predictor(self.head(regions))
        return logits, deltas


class _Outline(nn.Module):
    def __init__(self, head: nn.Module, predictor: nn.Module) -> None:
        super().__init__()
        self.head, self.predictor = head, predictor

    def forward(self, regions: Tensor) -> tuple[Tensor, ...]:
        return (self.predictor(self.head(regions)),)


class _Turned(nn.Module):
    """A network that wants its channels first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, regions: Tensor) -> Tensor:
        found: Tensor = self.network(regions.permute(0, 3, 1, 2))
        return found


class _ChannelsLastMlp(nn.Module):
    """torchvision's box head for regions (K, P, P, C): the first layer is turned, not the regions."""

    def __init__(self, head: TwoMLPHead, size: tuple[int, ...]) -> None:
        super().__init__()
        weight = head.fc6.weight.unflatten(1, (-1, *size)).permute(0, 2, 3, 1).flatten(start_dim=1)
        self.weight, self.bias = nn.Parameter(weight.contiguous(), requires_grad=False), head.fc6.bias
        self.fc7 = head.fc7

    def forward(self, regions: Tensor) -> Tensor:
        first = F.linear(regions.flatten(start_dim=1), self.weight, self.bias).relu()
        features: Tensor = self.fc7(first).relu()
        return features
