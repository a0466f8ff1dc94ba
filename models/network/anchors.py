"""Anchors, made once for each size of the maps."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import AnchorGenerator

_SIZES_KEPT: Final = 8


class CachedAnchors(AnchorGenerator):  # type: ignore[misc]
    """torchvision's anchors, kept, and shared by the pictures of a batch.

    They are float32 (or float64) whatever the maps are: in bfloat16, which torchvision follows, a coordinate
    of 500 px is only known to 2 px.
    """

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        """Return B times the same (N, 4), x0, y0, x1, y1 in px, for batches of B pictures."""
        first = feature_maps[0]
        dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
        grids = tuple((each.shape[-2], each.shape[-1]) for each in feature_maps)
        height, width = image_list.tensors.shape[-2:]
        key = (height, width, grids, dtype, first.device)
        kept = self.__dict__.setdefault("_kept", {})
        if (anchors := kept.get(key)) is None:
            if len(kept) >= _SIZES_KEPT:
                kept.clear()
            strides = [(height // rows, width // columns) for rows, columns in grids]
            with torch.inference_mode(False):  # anchors of a prediction must serve a training too
                self.set_cell_anchors(dtype, first.device)
                anchors = kept[key] = torch.cat(self.grid_anchors([*grids], strides))
        return [anchors] * len(image_list.image_sizes)
