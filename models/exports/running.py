"""Exported graphs in the place of a model's networks.

Shape suffixes: K regions to classify, N regions to outline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.exports.manifest import CLASSIFY, OUTLINE, SCAN
from models.exports.runtimes import Run
from models.network.parts import Parts, Scanned


def parts_running(runs: Mapping[str, Run], levels: Sequence[str]) -> Parts:
    """Return networks that are run by something else.

    Args:
        runs: What runs each graph, by its name.
        levels: Names of the pyramid's maps, finest first.
    """

    def scan(pictures: Tensor) -> Scanned:
        found = [*map(torch.from_numpy, runs[SCAN](_channels_last(pictures)))]
        count = len(levels)
        maps = {name: each.permute(0, 3, 1, 2) for name, each in zip(levels, found, strict=False)}
        return maps, found[count : 2 * count], found[2 * count :]

    def classify(regions: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = _run_on_regions(runs[CLASSIFY], regions)
        return logits, deltas

    def outline(regions: Tensor, labels_N: Tensor) -> Tensor:
        (logits,) = _run_on_regions(runs[OUTLINE], regions)
        return logits[torch.arange(len(labels_N)), labels_N]

    return Parts(scan, classify, outline)


def _run_on_regions(run: Run, regions: Tensor) -> list[Tensor]:
    """Run a graph on any number of regions, also none: graphs want at least one."""
    some = regions if len(regions) else regions.new_zeros(1, *regions.shape[1:])
    return [torch.from_numpy(found)[: len(regions)] for found in run(_channels_last(some))]


def _channels_last(tensor: Tensor) -> NDArray[np.float32]:
    """Return (B, C, H, W) as an array (B, H, W, C), without a copy where memory lies so already."""
    array: NDArray[np.float32] = tensor.permute(0, 2, 3, 1).contiguous().numpy()
    return array
