"""The same convolutions with less work: norms folded into them, and fewer products for 3 x 3 kernels.

NNPACK comes with torch. It convolves in a transformed space (Winograd's F(6 x 6, 3 x 3) for large maps,
16 x 16 Fourier tiles for many small ones; Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks", 2015, arXiv:1509.09308). With 256 channels it needs a third of the time of oneDNN's direct
convolution on large maps, half for a hundred regions of 14 x 14. The price is rounding: errors of up to 7e-5
of the outputs' spread, where the direct one has 1e-5. cuDNN does the same on a GPU without being asked.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops.misc import FrozenBatchNorm2d

_MIN_CHANNELS: Final = 128
_MIN_CELLS_ALONE: Final = 500
"""From this size on a map is worth transforming the kernel for, each time."""
_MIN_CELLS_TOGETHER: Final = 196
_MIN_MAPS_TOGETHER: Final = 16
"""From this many on maps as small as 14 x 14 share the transformed kernel; 7 x 7 is faster direct."""


def fold_norms(module: nn.Module) -> int:
    """Fold every batch norm, frozen or in evaluation mode, into the convolution before it; return how many.

    Changes the module's weights: for a copy, never for a model that is trained on or saved.
    """
    pairs = [
        (parent, conv, name, norm)
        for parent in module.modules()
        for (_, conv), (name, norm) in pairwise(parent.named_children())
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d | FrozenBatchNorm2d)
    ]
    for parent, conv, name, norm in pairs:
        statistics: Any = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
        conv.weight, conv.bias = fuse_conv_bn_weights(conv.weight, conv.bias, *statistics)
        setattr(parent, name, nn.Identity())
    return len(pairs)


def use_fewer_products(module: nn.Module) -> int:
    """Replace the convolutions it pays for by `TransformedConv2d`; return how many. None without NNPACK."""
    if not torch.backends.nnpack.is_available():  # type: ignore[no-untyped-call]
        return 0
    found = [
        (parent, name, conv)
        for parent in module.modules()
        for name, conv in parent.named_children()
        if isinstance(conv, nn.Conv2d) and _pays(conv)
    ]
    for parent, name, conv in found:
        setattr(parent, name, TransformedConv2d(conv))
    return len(found)


def _pays(conv: nn.Conv2d) -> bool:
    shape = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups)
    is_plain = shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1) and conv.padding_mode == "zeros"
    return is_plain and min(conv.in_channels, conv.out_channels) >= _MIN_CHANNELS


class TransformedConv2d(nn.Module):
    """A 3 x 3 convolution of stride 1 that keeps the size, by NNPACK where it pays; float32 on a CPU."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach().contiguous(), requires_grad=False)
        self.bias = conv.bias

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve (B, C, H, W). A large map's result does not depend on the others of its batch."""
        count, _, height, width = maps.shape
        is_large = height * width >= _MIN_CELLS_ALONE
        if is_large and count > 1:
            return torch.cat([self._transformed(each) for each in torch.split(maps, 1)])
        if is_large or (count >= _MIN_MAPS_TOGETHER and height * width >= _MIN_CELLS_TOGETHER):
            return self._transformed(maps)
        return F.conv2d(maps, self.weight, self.bias, padding=1)

    def _transformed(self, maps: Tensor) -> Tensor:
        return torch._nnpack_spatial_convolution(_planes(maps), self.weight, self.bias, padding=(1, 1))


def _planes(maps: Tensor) -> Tensor:
    """Return the maps with one plane of memory per channel. As a matrix, one map is turned twice as fast."""
    count, channels, height, width = maps.shape
    if count > 1 or maps.is_contiguous():
        return maps.contiguous()
    cells = maps.permute(0, 2, 3, 1).reshape(height * width, channels)
    return cells.t().contiguous().view(maps.shape)
