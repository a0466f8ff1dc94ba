"""The processes that train one network together, and what they tell each other.

A rank is one of them, counted from 0. torch's default process group connects them; whoever starts the
processes opens it (`models.cluster`, or a test). Numbers travel on the device they are on, everything else
through the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """All processes, seen from one of them. Alone, nothing is sent.

    Every rank calls the same methods in the same order, or those that do wait for those that do not.

    Attributes:
        rank: This process, from 0.
        count: How many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this rank writes files and reports."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there is nobody to agree with."""
        return self.count == 1

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the ranks, of any shape, float32 or float64; whole numbers become float64.

        The result has no gradient.
        """
        own = values.detach()
        if not own.is_floating_point():
            own = own.double()
        if self.is_alone:
            return own
        total = own.clone()
        dist.all_reduce(total)
        return total / self.count

    def largest(self, numbers: Sequence[int], device: torch.device) -> tuple[int, ...]:
        """Return, place by place, the largest number any rank has."""
        if self.is_alone:
            return tuple(numbers)
        most = torch.tensor(numbers, device=device)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        return tuple(most.tolist())

    def gather(self, value: T) -> list[T]:
        """Return what each rank hands in, in the order of the ranks, on every rank."""
        if self.is_alone:
            return [value]
        gathered: list[Any] = [None] * self.count
        dist.all_gather_object(gathered, value)
        return gathered

    def spread(self, value: T) -> T:
        """Return on every rank what the first one hands in."""
        if self.is_alone:
            return value
        box: list[Any] = [value if self.is_first else None]
        dist.broadcast_object_list(box, src=0)
        spread: T = box[0]
        return spread


ALONE = Ranks()
"""One process, as long as nobody asked for more."""


def joined_ranks() -> Ranks:
    """Return the ranks of torch's default process group, which must be open."""
    return Ranks(dist.get_rank(), dist.get_world_size())
