"""Masks alone: from a region's 28 x 28 probabilities to an RLE of the picture's size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from benchmarks.provenance import describe_run
from benchmarks.speed.report import Line, Report, lines_of, memory_of
from benchmarks.timing import take_turns
from maskloop.masks import encode_masks
from models.operations.pasting import paste_masks

PASTED, ENCODED, OURS = "paste_masks_in_image > 0.5", "… and encoded by pycocotools", "maskloop"
SIZES_QUICK = ((480, 640), (800, 1333))
SIZES = (*SIZES_QUICK, (3000, 4000))
_SIDE = 28
_QUESTION = (
    "Region masks (float 28 x 28) to masks of the picture's size, cut at 0.5: torchvision's pasting, the "
    "same and encoded, and maskloop's RLE."
)


def measure_masks(*, quick: bool, budget_s: float) -> Report:
    """Time all three for 10 and 100 instances, on pictures of 0.3, 1 and (not quick) 12 megapixels."""
    lines: list[Line] = []
    different = 0
    for height, width in SIZES_QUICK if quick else SIZES:
        for count in (10, 100):
            probabilities, boxes = draw_regions(count, height, width)
            contestants = _contestants(probabilities, boxes, height, width)
            different += sum(a != b for a, b in zip(contestants[ENCODED](), contestants[OURS](), strict=True))
            rounds = take_turns(contestants, rounds=3 if quick else 9, budget_s=budget_s)
            case = f"{width} x {height} px, {count} instances"
            lines += lines_of(case, rounds, reference=PASTED, memory=memory_of(contestants))
    remarks = {"masks that are not equal on every pixel": different}
    return Report("masks", _QUESTION, describe_run(), tuple(lines), remarks)


def _contestants(
    probabilities: Tensor, boxes: Tensor, height: int, width: int
) -> dict[str, Callable[[], Any]]:
    def paste() -> Any:
        return paste_masks_in_image(probabilities[:, None], boxes, (height, width)) > 0.5

    return {
        PASTED: paste,
        ENCODED: lambda: encode_masks(paste()[:, 0].numpy()),
        OURS: lambda: paste_masks(probabilities, boxes, height, width),
    }


def draw_regions(count: int, height_px: int, width_px: int) -> tuple[Tensor, Tensor]:
    """Return ragged discs as probabilities (N, 28, 28), and boxes (N, 4) of 2 to 60 % of the shorter side."""
    random = torch.Generator().manual_seed(0)
    axis = torch.linspace(-1.0, 1.0, _SIDE)
    distance = (axis[:, None] ** 2 + axis**2).sqrt()
    noise = 0.5 * torch.randn(count, _SIDE, _SIDE, generator=random)
    probabilities = torch.sigmoid(6.0 * (0.8 - distance) + noise)
    picture = torch.tensor([width_px, height_px], dtype=torch.float32)
    shares = 0.02 * 30.0 ** torch.rand(count, 2, generator=random)
    centres, halves = torch.rand(count, 2, generator=random) * picture, shares * picture.min() / 2
    boxes = torch.cat([centres - halves, centres + halves], dim=1)
    return probabilities, torch.minimum(boxes.clamp(min=0.0), picture.repeat(2))
