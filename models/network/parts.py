"""The networks within a Mask R-CNN. What lies between them chooses and cuts regions, and is never compiled.

Shape suffixes: K regions to classify, N regions to outline, S side of a region's mask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from models.network.heads import draw_masks

Scanned = tuple[dict[str, Tensor], list[Tensor], list[Tensor]]
"""The pyramid's maps (B, C, h, w) by name, finest first; objectness (B, A, h, w) and deltas (B, 4A, h, w)."""


@dataclass(frozen=True)
class Parts:
    """Three networks, run by torch or by whatever they were exported to.

    Attributes:
        scan: Maps prepared pictures, float32 (B, 3, H, W), sides multiples of 32, to `Scanned`.
        classify: Maps regions (K, C, P, P) to logits (K, classes + 1) and deltas (K, 4 * (classes + 1)).
        outline: Maps regions (N, C, P, P) and their labels, int64 (N,) from 1, to logits (N, S, S).
    """

    scan: Callable[[Tensor], Scanned]
    classify: Callable[[Tensor], tuple[Tensor, Tensor]]
    outline: Callable[[Tensor, Tensor], Tensor]


def parts_of(model: MaskRCNN) -> Parts:
    """Return the networks of a model as torch runs them."""
    heads = model.roi_heads

    def scan(pictures: Tensor) -> Scanned:
        maps = model.backbone(pictures)
        objectness, deltas = model.rpn.head([*maps.values()])
        return maps, objectness, deltas

    def classify(regions: Tensor) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = heads.box_predictor(heads.box_head(regions))
        return found

    def outline(regions: Tensor, labels_N: Tensor) -> Tensor:
        return draw_masks(heads, regions, labels_N)

    return Parts(scan, classify, outline)


def in_bf16(parts: Parts) -> Parts:
    """Return the same networks for models that hold them in bfloat16: what lies between stays float32."""

    def scan(pictures: Tensor) -> Scanned:
        given = pictures.bfloat16().contiguous(memory_format=torch.channels_last)
        maps, objectness, deltas = parts.scan(given)
        floats = {name: each.float() for name, each in maps.items()}
        return floats, [each.float() for each in objectness], [each.float() for each in deltas]

    def classify(regions: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = parts.classify(regions.bfloat16())
        return logits.float(), deltas.float()

    def outline(regions: Tensor, labels_N: Tensor) -> Tensor:
        return parts.outline(regions.bfloat16(), labels_N).float()

    return Parts(scan, classify, outline)
