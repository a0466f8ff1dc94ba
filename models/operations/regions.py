"""RoIAlign for small feature maps, as matrix products.

torchvision's CPU kernel visits every sample of every region one by one. Bilinear sampling on a grid is
separable, so the same numbers come out of two matrix products per picture (rows, then columns). For a batch
of 8 pictures of 128 px with 64 regions each, forward and gradient together took 55 ms of one thread's time
instead of 104 ms, and a training step of the demo 176 ms instead of 229 ms (medians, busy machine).

Shape suffixes: K regions, P bins along a side, H and W the map's sides, C channels.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign

_REGIONS_AT_ONCE: Final = 128


class SmallMapRoIAlign(MultiScaleRoIAlign):  # type: ignore[misc]
    """Cuts regions from one map; equal to torchvision's RoIAlign (``aligned=False``) up to rounding."""

    def __init__(self, level: str, side_px: int, sampling_ratio: int, *, stride_px: int) -> None:
        super().__init__([level], side_px, sampling_ratio)
        self._stride_px = stride_px

    def forward(
        self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Tensor:
        """Return (K, C, P, P) for the K boxes (x0, y0, x1, y1 in px) of all pictures, in order."""
        maps = x[self.featmap_names[0]].permute(0, 2, 3, 1)
        dtype = torch.promote_types(maps.dtype, torch.float32)
        with torch.autocast(maps.device.type, enabled=False):
            parts = [
                align_regions(
                    single.to(dtype), some / self._stride_px, self.output_size[0], self.sampling_ratio
                )
                for single, own in zip(maps, boxes, strict=True)
                for some in torch.split(own, _REGIONS_AT_ONCE)
            ]
        return torch.cat(parts)


def align_regions(map_HWC: Tensor, boxes_K4: Tensor, bins: int, sampling_ratio: int) -> Tensor:
    """Return (K, C, P, P): the mean of ``sampling_ratio`` squared bilinear samples in each bin.

    He et al., "Mask R-CNN", 2017, arXiv:1703.06870, section 3; borders as torchvision treats them.

    Args:
        map_HWC: float32 (H, W, C).
        boxes_K4: float32 (K, 4), x0, y0, x1, y1 in cells of the map.
        bins: P.
        sampling_ratio: Samples along each side of a bin.
    """
    height, width, channels = map_HWC.shape
    rows_KPH = _weights(boxes_K4[:, 1], boxes_K4[:, 3], bins, sampling_ratio, height)
    columns_KPW = _weights(boxes_K4[:, 0], boxes_K4[:, 2], bins, sampling_ratio, width)
    by_row = rows_KPH.reshape(-1, height) @ map_HWC.reshape(height, width * channels)
    cells = columns_KPW[:, None] @ by_row.view(-1, bins, width, channels)
    return cells.permute(0, 3, 1, 2)


def _weights(low_K: Tensor, high_K: Tensor, bins: int, ratio: int, length: int) -> Tensor:
    """Return (K, P, length): how much each cell of a line counts in each bin."""
    bin_size = (high_K - low_K).clamp(min=1.0) / bins
    places = (torch.arange(bins * ratio, device=low_K.device) + 0.5) / ratio
    at = low_K[:, None] + places * bin_size[:, None]
    inside = (at >= -1.0) & (at <= length)
    cells = torch.arange(length, device=low_K.device)
    hat = (1.0 - (at.clamp(0, length - 1)[..., None] - cells).abs()).clamp(min=0.0) * inside[..., None]
    return hat.view(-1, bins, ratio, length).mean(dim=2)
