"""The same convolutions with less work: norms folded into them, and fewer products for 3 x 3 kernels.

NNPACK comes with torch. It convolves in a transformed space (Winograd's F(6 x 6, 3 x 3) for large maps,
16 x 16 Fourier tiles for many small ones; Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks", 2015, arXiv:1509.09308). With 256 channels it needs a third of the time of oneDNN's direct
convolution on large maps, half for a hundred regions of 14 x 14. The price is rounding: errors of up to 7e-5
of the outputs' spread, where the direct one has 1e-5. cuDNN does the same on a GPU without being asked.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any, Final, TypeVar

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
_MIN_CELLS_BACK: Final = 4000
"""From this size on the way back pays too, where the kernel has to be turned round first."""


def fold_norms(module: nn.Module) -> int:
    """Fold every batch norm, frozen or in evaluation mode, into the convolution before it; return how many.

    Changes the module's weights: for a copy, never for a model that is trained on or saved.
    """
    pairs = _with_norm_behind(module, nn.BatchNorm2d | FrozenBatchNorm2d)
    for parent, _, conv, name, norm in pairs:
        statistics: Any = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
        conv.weight, conv.bias = fuse_conv_bn_weights(conv.weight, conv.bias, *statistics)
        if isinstance(conv, LeanConv2d):
            conv.follow(None)
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


def train_with_less_work(module: nn.Module) -> None:
    """Replace convolutions by `LeanConv2d` where a frozen norm follows or fewer products may pay.

    Parameters, buffers and their names stay, and so does the ``state_dict``.
    """
    norms = {
        (id(parent), name): (behind, norm)
        for parent, name, _, behind, norm in _with_norm_behind(module, FrozenBatchNorm2d)
    }
    found = [
        (parent, name, conv)
        for parent in module.modules()
        for name, conv in parent.named_children()
        if isinstance(conv, nn.Conv2d) and (_pays(conv) or (id(parent), name) in norms)
    ]
    for parent, name, conv in found:
        lean = LeanConv2d.like(conv)
        setattr(parent, name, lean)
        if (id(parent), name) in norms:
            behind, norm = norms[id(parent), name]
            folded = FoldedNorm.like(norm)
            lean.follow(folded)
            setattr(parent, behind, folded)


def use_plain_convolutions(module: nn.Module) -> None:
    """Replace each `LeanConv2d`, its norm folded by `fold_norms`, by torch's own: exporters know that one."""
    found = [
        (parent, name, conv)
        for parent in module.modules()
        for name, conv in parent.named_children()
        if isinstance(conv, LeanConv2d)
    ]
    for parent, name, conv in found:
        setattr(parent, name, _with_parameters_of(conv, nn.Conv2d))


def _with_norm_behind(module: nn.Module, kinds: Any) -> list[tuple[nn.Module, str, Any, str, Any]]:
    """Return parent, name and convolution, and name and norm, wherever one follows the other."""
    return [
        (parent, name, conv, behind, norm)
        for parent in module.modules()
        for (name, conv), (behind, norm) in pairwise(parent.named_children())
        if isinstance(conv, nn.Conv2d) and isinstance(norm, kinds)
    ]


def _pays(conv: nn.Conv2d) -> bool:
    shape = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups)
    is_plain = shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1) and conv.padding_mode == "zeros"
    return is_plain and min(conv.in_channels, conv.out_channels) >= _MIN_CHANNELS


class FoldedNorm(FrozenBatchNorm2d):  # type: ignore[misc]
    """A frozen norm whose work the convolution before it does; it keeps the statistics."""

    @classmethod
    def like(cls, norm: FrozenBatchNorm2d) -> FoldedNorm:
        """Take over the statistics."""
        folded = cls(len(norm.weight), norm.eps)
        folded.load_state_dict(norm.state_dict(), assign=True)
        return folded

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps as they are."""
        return x

    def as_factors(self) -> tuple[Tensor, Tensor]:
        """Return by what a channel is multiplied, and what is then added; (C,) each."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale


class LeanConv2d(nn.Conv2d):
    """A convolution that is trained: with the frozen norm behind it folded in, by NNPACK where it pays.

    The norm's factor is multiplied with the kernel at each step, not with the maps: 23 million products
    instead of 238 million for a picture of 800 x 1344 px. The gradient's way back to the maps is a
    convolution as well and goes the same way; the kernel's own gradient is torch's.
    """

    _norm: FoldedNorm | None = None

    @classmethod
    def like(cls, conv: nn.Conv2d) -> LeanConv2d:
        """Take over the parameters."""
        return _with_parameters_of(conv, cls)

    def follow(self, norm: FoldedNorm | None) -> None:
        """Do the work of a norm, which stays where it is registered; None to do one's own alone."""
        object.__setattr__(self, "_norm", norm)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C, H, W)."""
        weight, bias = self.weight, self.bias
        if self._norm is not None:
            scale, shift = self._norm.as_factors()
            weight = weight * scale[:, None, None, None]
            bias = shift if bias is None else bias * scale + shift
        if _pays(self) and _is_transformable(input) and _is_worth_it(input):
            convolved: Tensor = _Transformed.apply(input, weight, bias)
            return convolved
        plain: Tensor = self._conv_forward(input, weight, bias)
        return plain


_Conv = TypeVar("_Conv", bound=nn.Conv2d)
_SHAPE: Final = (
    "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode",
)  # fmt: skip


def _with_parameters_of(conv: nn.Conv2d, kind: type[_Conv]) -> _Conv:
    shape: Any = {name: getattr(conv, name) for name in _SHAPE}
    made = kind(bias=conv.bias is not None, device="meta", **shape)  # no weights of its own
    made.weight, made.bias = conv.weight, conv.bias
    return made


class _Transformed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(maps, weight)
        return _transform(maps, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        maps, weight = ctx.saved_tensors
        for_maps, for_weight, for_bias = ctx.needs_input_grad
        pays = not _is_large(maps) or maps.shape[2] * maps.shape[3] >= _MIN_CELLS_BACK
        plain: Any = ([len(weight)], [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
        to_maps, to_weight, to_bias = torch.ops.aten.convolution_backward(
            gradient, maps, weight, *plain, (for_maps and not pays, for_weight, for_bias)
        )
        if for_maps and pays:
            to_maps = _transform(gradient, weight.flip(2, 3).transpose(0, 1), None)
        return to_maps, to_weight, to_bias


class TransformedConv2d(nn.Module):
    """A 3 x 3 convolution of stride 1 that keeps the size, by NNPACK where it pays; float32 on a CPU."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach().contiguous(), requires_grad=False)
        self.bias = conv.bias

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve (B, C, H, W). A large map's result does not depend on the others of its batch."""
        if _is_worth_it(maps):
            return _transform(maps, self.weight, self.bias)
        return F.conv2d(maps, self.weight, self.bias, padding=1)


def _is_transformable(maps: Tensor) -> bool:
    """NNPACK computes float32 on a CPU; a GPU's library does the same by itself."""
    is_plain = maps.device.type == "cpu" and maps.dtype == torch.float32
    return is_plain and not torch.is_autocast_enabled("cpu") and _has_nnpack()


@cache
def _has_nnpack() -> bool:
    return bool(torch.backends.nnpack.is_available())  # type: ignore[no-untyped-call]


def _is_worth_it(maps: Tensor) -> bool:
    count, _, height, width = maps.shape
    is_shared = count >= _MIN_MAPS_TOGETHER and height * width >= _MIN_CELLS_TOGETHER
    return count > 0 and (_is_large(maps) or is_shared)


def _is_large(maps: Tensor) -> bool:
    return maps.shape[2] * maps.shape[3] >= _MIN_CELLS_ALONE


def _transform(maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve large maps one by one, small ones together."""
    kernel = weight.contiguous()
    parts = torch.split(maps, 1) if _is_large(maps) else [maps]
    convolved = [
        torch._nnpack_spatial_convolution(_planes(part), kernel, bias, padding=(1, 1)) for part in parts
    ]
    return convolved[0] if len(convolved) == 1 else torch.cat(convolved)


def _planes(maps: Tensor) -> Tensor:
    """Return the maps with one plane of memory per channel. As a matrix, one map is turned twice as fast."""
    count, channels, height, width = maps.shape
    if count > 1 or maps.is_contiguous():
        return maps.contiguous()
    cells = maps.permute(0, 2, 3, 1).reshape(height * width, channels)
    return cells.t().contiguous().view(maps.shape)
