"""Batch norms whose statistics are those of all ranks' pictures.

torch's ``SyncBatchNorm`` computes on accelerators alone, and is no ``BatchNorm2d``, which those who fold
norms look for. Means and squares are joined as in Chan, Golub and LeVeque, "Algorithms for Computing the
Sample Variance", 1983.

Shape suffixes: W ranks, C channels.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from models.ranks.group import Ranks


class SharedBatchNorm2d(nn.BatchNorm2d):
    """A batch norm over the pictures of all ranks; in evaluation mode it is torch's. Names stay."""

    ranks: Ranks

    @classmethod
    def like(cls, norm: nn.BatchNorm2d, ranks: Ranks) -> SharedBatchNorm2d:
        """Take over parameters and statistics."""
        shared = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        shared.ranks, shared.training = ranks, norm.training
        shared.weight, shared.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            setattr(shared, name, buffer)
        return shared

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, H, W); B may be 0 on some ranks."""
        if not self.training:
            return super().forward(input)
        maps = input.to(torch.promote_types(input.dtype, torch.float32))
        count, mean_C, variance_C = _statistics_of_all(maps, self.ranks)
        self._follow(count, mean_C.detach(), variance_C.detach())
        factor_C = self.weight * (variance_C + self.eps).rsqrt()
        shift_C = self.bias - mean_C * factor_C
        normed = maps * factor_C[:, None, None] + shift_C[:, None, None]
        return normed.to(input.dtype)

    def _follow(self, count: Tensor, mean_C: Tensor, variance_C: Tensor) -> None:
        """Move the running statistics, if there was any value; the variance kept is the unbiased one."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        step = (self.momentum or 0.0) * (count > 0).to(self.running_mean.dtype)
        unbiased_C = variance_C * (count / (count - 1).clamp(min=1.0))
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), step)
            self.running_var.lerp_(unbiased_C.to(self.running_var.dtype), step)


def share_norms(module: nn.Module, ranks: Ranks) -> int:
    """Replace each batch norm that is trained by one over all ranks; return how many."""
    found = [
        (parent, name, norm)
        for parent in module.modules()
        for name, norm in parent.named_children()
        if isinstance(norm, nn.BatchNorm2d)
    ]
    for parent, name, norm in found:
        setattr(parent, name, SharedBatchNorm2d.like(norm, ranks))
    return len(found)


def _statistics_of_all(maps: Tensor, ranks: Ranks) -> tuple[Tensor, Tensor, Tensor]:
    """Return how many values a channel has on all ranks, their mean and their variance, (C,) each."""
    dims, own_count = (0, 2, 3), maps.numel() // maps.shape[1]
    if own_count:
        own = maps.var(dims, correction=0) * own_count, maps.mean(dims)
    else:
        own = maps.sum(dims), maps.sum(dims)  # zeros, through which gradients still flow
    squares_WC, mean_WC, count_W = _place(own, own_count, ranks)
    count = count_W.sum().clamp(min=1.0)
    mean_C = (mean_WC * count_W[:, None]).sum(0) / count
    between_C = ((mean_WC - mean_C).square() * count_W[:, None]).sum(0)
    return count_W.sum(), mean_C, (squares_WC.sum(0) + between_C) / count


def _place(own: tuple[Tensor, Tensor], own_count: int, ranks: Ranks) -> tuple[Tensor, Tensor, Tensor]:
    """Return each rank's sums of squares and means, (W, C), and counts, (W,), in one exchange."""
    squares_C, mean_C = own
    row = torch.cat([squares_C, mean_C, mean_C.new_tensor([float(own_count)])])
    placed = torch.zeros(ranks.count, len(row), dtype=row.dtype, device=row.device)
    placed = placed.index_copy(0, torch.tensor([ranks.rank], device=row.device), row[None])
    all_W: Tensor = placed if ranks.is_alone else _Sum.apply(placed)
    return all_W[:, : len(mean_C)], all_W[:, len(mean_C) : -1], all_W[:, -1].detach()


class _Sum(torch.autograd.Function):
    """The sum over the ranks, through which gradients flow back to all of them."""

    @staticmethod
    def forward(_ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        dist.all_reduce(total, group=_group_of_norms())
        return total

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        total = gradient.clone()
        dist.all_reduce(total, group=_group_of_norms())
        return total


@cache
def _group_of_norms() -> dist.ProcessGroup:
    """Return a group for norms alone: their exchanges in a backward pass cross those of gradients."""
    group = dist.new_group()
    assert isinstance(group, dist.ProcessGroup)  # noqa: S101 - every rank is a member
    return group
