"""Which boxes belong to which instance, and which of them a step learns from, for all pictures at once.

Nothing here waits for the device.

Shape suffixes: B pictures, G instances and N boxes of the picture that has most, S boxes that are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torchvision.models.detection._utils import Matcher

_PAIRS_AT_ONCE: Final = 2**24
_GOLDEN_STEP: Final = 0x9E3779B97F4A7C15 - 2**64
_MIXING: Final = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))
"""SplitMix64's constants, as int64 holds them."""


def pad_rows(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stack tables of different lengths, padded with zeros to the longest, at least one row.

    Returns:
        The tables, (B, N, …) of their dtype, and bool (B, N): which rows are real; N is the longest's.
    """
    longest = max(1, *map(len, parts))
    missing = [longest - len(part) for part in parts]
    padded = torch.stack(
        [
            F.pad(part, (*[0] * (2 * part.ndim - 2), 0, rows))
            for part, rows in zip(parts, missing, strict=True)
        ]
    )
    is_real = torch.zeros(padded.shape[:2], dtype=torch.bool, device=padded.device)
    for own, part in zip(is_real, parts, strict=True):
        own[: len(part)] = True
    return padded, is_real


def match_boxes(truth_BG4: Tensor, is_real_BG: Tensor, boxes_BN4: Tensor, matcher: Matcher) -> Tensor:
    """Return int64 (B, N): the instance each box overlaps most, or what torchvision's matcher says instead.

    Equal to ``Matcher`` picture by picture; every box of a picture without instances is background.

    Args:
        truth_BG4: Boxes of the instances, x0, y0, x1, y1.
        is_real_BG: bool; the others only fill up.
        boxes_BN4: To be matched; (1, N, 4) if they are the same in all pictures.
        matcher: Its thresholds and rules.
    """
    at_once = max(1, _PAIRS_AT_ONCE // (truth_BG4.shape[1] * boxes_BN4.shape[1]))
    boxes_BN4 = boxes_BN4.expand(len(truth_BG4), -1, -1)
    truth, is_real, boxes = (torch.split(each, at_once) for each in (truth_BG4, is_real_BG, boxes_BN4))
    groups = zip(truth, is_real, boxes, strict=True)
    return torch.cat([_match(*group, matcher) for group in groups])


def _match(truth_BG4: Tensor, is_real_BG: Tensor, boxes_BN4: Tensor, matcher: Matcher) -> Tensor:
    iou_BGN = _iou(truth_BG4, boxes_BN4)
    best_BN, instance_BN = iou_BGN.max(dim=1)
    matched_BN = instance_BN.masked_fill(best_BN < matcher.high_threshold, matcher.BETWEEN_THRESHOLDS)
    matched_BN.masked_fill_(best_BN < matcher.low_threshold, matcher.BELOW_LOW_THRESHOLD)
    if matcher.allow_low_quality_matches:
        is_best_BGN = (iou_BGN == iou_BGN.amax(dim=2, keepdim=True)) & is_real_BG[:, :, None]
        matched_BN = torch.where(is_best_BGN.any(dim=1), instance_BN, matched_BN)
    return matched_BN


def _iou(truth_BG4: Tensor, boxes_BN4: Tensor) -> Tensor:
    """Return (B, G, N), computed in torchvision's order of operations but in place."""
    truth, boxes = truth_BG4[:, :, None].unbind(3), boxes_BN4[:, None].unbind(3)
    width = torch.minimum(truth[2], boxes[2]).sub_(torch.maximum(truth[0], boxes[0])).clamp_(min=0.0)
    height = torch.minimum(truth[3], boxes[3]).sub_(torch.maximum(truth[1], boxes[1])).clamp_(min=0.0)
    overlap = width.mul_(height)
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (truth, boxes)]
    union = torch.add(*areas, out=height).sub_(overlap)
    return overlap.div_(union.clamp_(min=torch.finfo(union.dtype).tiny))


def draw_balanced(
    labels_BN: Tensor,
    count: int,
    positive_share: float,
    generator: torch.Generator | None = None,
    picture_seeds: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw boxes at random: at most a share of objects, the rest background, none of what is neither.

    As torchvision's ``BalancedPositiveNegativeSampler`` does, but for all pictures in one tensor of fixed
    size: each box draws a number, and the largest win.

    Args:
        labels_BN: 1 and above for objects, 0 for background, below for neither.
        count: Boxes for each picture.
        positive_share: Of the objects among them, 0..1.
        generator: On the device of the labels; None draws from torch's own.
        picture_seeds: int64 (B,). What is drawn in a picture follows from its seed alone, whatever the other
            pictures are; see `keys_of`.

    Returns:
        int64 (B, S), objects first, and bool (B, S): which of them were really drawn, where a picture has
        too few. S is ``count``, or N if that is less.
    """
    if picture_seeds is None:
        keys_BN = torch.rand(labels_BN.shape, device=labels_BN.device, generator=generator)
    else:
        keys_BN = keys_of(picture_seeds, labels_BN.shape[1])
    is_object = labels_BN >= 1
    size = labels_BN.shape[1]
    limit = min(int(count * positive_share), size)
    smallest_drawn = keys_BN.masked_fill(~is_object, -1.0).topk(limit).values[:, -1:] if limit else 2.0
    is_drawn = is_object & (keys_BN >= smallest_drawn)
    ranks_BN = torch.where(is_drawn, keys_BN + 2.0, keys_BN.masked_fill(labels_BN != 0, -1.0))
    ranks_BS, drawn_BS = ranks_BN.topk(min(count, size))
    return drawn_BS, ranks_BS >= 0.0


def keys_of(seeds_B: Tensor, count: int) -> Tensor:
    """Return float32 (B, N), random numbers in 0..1 that follow from a row's seed and the place in it alone.

    SplitMix64 (Steele et al., "Fast Splittable Pseudorandom Number Generators", 2014), whose n-th number
    needs none before it: the same on every device, for every number of rows and of places.

    Args:
        seeds_B: int64.
        count: N.
    """
    mixed = seeds_B[:, None] + torch.arange(1, count + 1, device=seeds_B.device) * _GOLDEN_STEP
    for shift, factor in _MIXING:
        mixed = (mixed ^ _shift_right(mixed, shift)) * factor
    mixed = mixed ^ _shift_right(mixed, 31)
    return _shift_right(mixed, 40).to(torch.float32) * 2.0**-24


def _shift_right(bits: Tensor, places: int) -> Tensor:
    """Shift int64 as if it had no sign."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def count_by_group(group_N: Tensor, num_groups: int, is_counted_N: Tensor | None = None) -> Tensor:
    """Return int64 (G,), how many there are of each of G groups.

    Unlike ``bincount`` it does not ask the device for the largest number before it can begin.

    Args:
        group_N: int64 (N,), below ``num_groups``.
        num_groups: G.
        is_counted_N: bool (N,); None counts all.
    """
    counted_N = torch.ones_like(group_N) if is_counted_N is None else is_counted_N.to(group_N.dtype)
    return group_N.new_zeros(num_groups).index_add_(0, group_N, counted_N)
