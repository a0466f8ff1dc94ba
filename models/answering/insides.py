"""What the network's features are like inside a mask, in a few numbers, from what it computes anyway.

The features that the mask head is given for a region are averaged with the mask's probabilities as weights.
They are then projected on a few directions of random signs, which keep distances on average (D. Achlioptas,
Database-friendly random projections, Journal of Computer and System Sciences 66, 2003). The signs come from a
hash, so that they are the same on every machine and in every version.

Shape suffixes: N instances, C channels, P and S sides of a region's features and of its mask.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from evaluation.instances import NUM_INSIDES

_LEAST_WEIGHT = 1e-6


def describe_insides(regions_NCPP: Tensor, masks_NSS: Tensor) -> Tensor:
    """Return float32 (N, `NUM_INSIDES`).

    Args:
        regions_NCPP: What the mask head was given, (N, C, P, P), float32 or bfloat16.
        masks_NSS: Probabilities inside the same regions, (N, S, S), 0..1, of the same type.
    """
    regions = regions_NCPP.float()
    height, width = regions.shape[-2:]
    weights_NPP = F.adaptive_avg_pool2d(masks_NSS.float()[:, None], (height, width))[:, 0]
    summed_NC = torch.einsum("nchw,nhw->nc", regions, weights_NPP)
    means_NC = summed_NC / weights_NPP.sum(dim=(1, 2)).clamp_min(_LEAST_WEIGHT)[:, None]
    return means_NC @ _draw_signs(regions.shape[1], regions.device)


@cache
def _draw_signs(num_channels: int, device: torch.device) -> Tensor:
    """Return float32 (C, `NUM_INSIDES`) of equal sizes and random signs, kept on the device."""
    num = num_channels * NUM_INSIDES
    drawn = hashlib.shake_256(b"insides of masks").digest(-(-num // 8))
    signs = 2.0 * np.unpackbits(np.frombuffer(drawn, np.uint8))[:num].astype(np.float32) - 1.0
    scaled = signs.reshape(num_channels, NUM_INSIDES) / np.float32(math.sqrt(NUM_INSIDES))
    with torch.inference_mode(False):  # else what is cached could not be used outside of it
        return torch.from_numpy(scaled).to(device)
