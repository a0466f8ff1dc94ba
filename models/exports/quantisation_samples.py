"""What a model's networks are given when it looks at pictures: the samples that 8-bit ranges are found in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from models.answering.inference import copy_for_inference, find_regions
from models.answering.predictor import to_batch
from models.exports.manifest import CLASSIFY, OUTLINE, SCAN
from models.network.parts import Parts, Scanned, parts_of

_CPU: Final = torch.device("cpu")
_REGIONS_PER_PICTURE: Final = 64
_OUTLINED_PER_PICTURE: Final = 16

Samples = Sequence[NDArray[np.float32]]


class PreparedPictures(Sequence[NDArray[np.float32]]):
    """Pictures as the first network gets them, float32 (1, H, W, 3); each is prepared when asked for."""

    def __init__(self, model: MaskRCNN, pictures: Sequence[NDArray[np.uint8]]) -> None:
        self._transform, self._pictures = model.transform, pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> NDArray[np.float32]:  # type: ignore[override]
        images, _ = self._transform(list(to_batch([self._pictures[index]], _CPU)))
        array: NDArray[np.float32] = images.tensors.permute(0, 2, 3, 1).contiguous().numpy()
        return array


def gather_samples(
    model: MaskRCNN,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Samples]:
    """Return inputs of each graph by its name (see `models.exports.graphs.graphs_of`).

    Args:
        model: In evaluation mode; stays as it is.
        pictures: uint8 (H, W, 3) RGB each, of any sizes.
        progress: Called with pictures done and pictures in all.
    """
    fast = copy_for_inference(model, _CPU)
    seen: dict[str, list[NDArray[np.float32]]] = {CLASSIFY: [], OUTLINE: []}
    watching = _watch(parts_of(fast), seen)
    for done, picture in enumerate(pictures, start=1):
        with torch.inference_mode():
            find_regions(fast, to_batch([picture], _CPU), 0.0, watching)
        progress(done, len(pictures))
    return {SCAN: PreparedPictures(fast, pictures), **seen}


def _watch(parts: Parts, seen: dict[str, list[NDArray[np.float32]]]) -> Parts:
    """Return parts that do the same and keep some of the regions they are given."""

    def scan(pictures: Tensor) -> Scanned:
        return parts.scan(pictures)

    def classify(regions: Tensor) -> tuple[Tensor, Tensor]:
        seen[CLASSIFY] += _some(regions, _REGIONS_PER_PICTURE)
        return parts.classify(regions)

    def outline(regions: Tensor, labels_N: Tensor) -> Tensor:
        seen[OUTLINE] += _some(regions, _OUTLINED_PER_PICTURE)
        return parts.outline(regions, labels_N)

    return Parts(scan, classify, outline)


def _some(regions: Tensor, most: int) -> Iterator[NDArray[np.float32]]:
    """Give at most so many regions, spread from best to worst, as one array (K, P, P, C); or nothing."""
    if len(regions):
        chosen = torch.linspace(0, len(regions) - 1, min(most, len(regions))).long()
        yield regions[chosen].permute(0, 2, 3, 1).contiguous().numpy()
