"""Which of many boxes of the same things are kept: hard suppression, or a soft one.

Shape suffixes: N boxes, K kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor
from torchvision.ops import batched_nms, box_iou, nms


@dataclass(frozen=True)
class Suppression:
    """What happens to a box that overlaps a better one of its class.

    Hard suppression drops it, a soft one lowers its score, so that of two things that hide each other both
    may be told. Bodla et al., "Soft-NMS", 2017, arXiv:1704.04503, equations 1, 2 and 3.

    Attributes:
        method: ``off``: dropped from the IoU threshold on. ``linear``: from there on its score is multiplied
            by 1 - IoU. ``gaussian``: multiplied by exp(-IoU² / sigma), whatever the threshold.
        sigma: Of ``gaussian``; larger forgives more.
    """

    method: Literal["off", "linear", "gaussian"] = "off"
    sigma: float = 0.5

    def choose(
        self,
        boxes_N4: Tensor,
        scores_N: Tensor,
        labels_N: Tensor,
        *,
        iou_threshold: float,
        min_score: float,
        max_kept: int,
    ) -> tuple[Tensor, Tensor]:
        """Return which boxes are kept, int64 (K,), best first, and their scores (K,), above ``min_score``."""
        if self.method == "off":
            kept_K = batched_nms(boxes_N4, scores_N, labels_N, iou_threshold)[:max_kept]
            return kept_K, scores_N[kept_K]
        left_N, kept, scores = scores_N.clone(), [], []
        for _ in range(min(max_kept, len(scores_N))):
            best = left_N.argmax()
            kept.append(best)
            scores.append(left_N[best])
            iou_N = box_iou(boxes_N4[best][None], boxes_N4)[0] * (labels_N == labels_N[best])
            left_N = left_N * self._factor(iou_N, iou_threshold)
            left_N[best] = -1.0
        if not kept:
            return torch.zeros_like(labels_N), scores_N
        kept_K, scores_K = torch.stack(kept), torch.stack(scores)
        is_left_K = scores_K > min_score
        return kept_K[is_left_K], scores_K[is_left_K]

    def _factor(self, iou_N: Tensor, iou_threshold: float) -> Tensor:
        if self.method == "linear":
            return torch.where(iou_N > iou_threshold, 1.0 - iou_N, 1.0)
        return torch.exp(-(iou_N**2) / self.sigma)


def suppress_in_groups(
    boxes_N4: Tensor, scores_N: Tensor, sizes: Sequence[int], iou_threshold: float
) -> Tensor:
    """Return bool (N,): which boxes no better one of their group overlaps.

    Groups lie one after the other, so nobody has to ask the device which box is of which, as torchvision's
    ``batched_nms`` does once for each group; nor are boxes moved apart, which rounds them.

    Args:
        boxes_N4: x0, y0, x1, y1. An empty box suppresses none.
        scores_N: Theirs.
        sizes: Of the groups, in order; they add up to N.
        iou_threshold: Overlap above which the worse box goes.
    """
    is_kept_N = torch.ones_like(scores_N, dtype=torch.bool)
    firsts = [0, *accumulate(sizes)]
    for first, size in zip(firsts, sizes, strict=False):
        if size > 1:
            own = slice(first, first + size)
            is_kept_N[own] = False
            is_kept_N[own].index_fill_(0, nms(boxes_N4[own], scores_N[own], iou_threshold), 1)
    return is_kept_N
