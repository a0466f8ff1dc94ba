"""How unsure a model is about a picture: class, mask and box, and occurrence.

The three parts are those of MaskAL (P. Blok et al., Active learning with MaskAL reduces annotation effort for
training Mask R-CNN on a broccoli dataset with visually similar classes, Computers and Electronics in
Agriculture 197, 2022), with views of a picture in place of its Monte-Carlo dropout. Instances of all V views
are grouped by mask IoU; for a group S of them:

- class: ``1 - H(p) / log(C + 1)``, where ``p`` is the mean over S of each instance's score at its class, and
  what is missing to 1 is one further outcome. The entropy H is largest if all C + 1 outcomes are equal.
- mask and box: mean IoU of the masks with the pixels that at least half of S covers, times mean IoU of the
  boxes with their mean box.
- occurrence: ``|S| / V``.

A group's certainty is the product of the three, and a picture's uncertainty is 1 minus the mean certainty of
its groups.

Shape suffixes: G groups, K instances of a group, H and W px.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections
from maskloop.masks import mask_iou

SAME_INSTANCE_IOU: Final = 0.5
_DOUBTFUL_BITS: Final = 0.8
"""Entropy from which on a score is doubtful: from 0.24 to 0.76."""


@dataclass(frozen=True)
class Group:
    """One thing as the views of a picture show it.

    Attributes:
        class_index: The class with the largest mean score.
        class_certainty: 0..1.
        spatial_certainty: 0..1, of mask and box together.
        occurrence: 0..1, the share of views in which it was found.
    """

    class_index: int
    class_certainty: float
    spatial_certainty: float
    occurrence: float

    @property
    def certainty(self) -> float:
        """The product of the three, 0..1."""
        return self.class_certainty * self.spatial_certainty * self.occurrence


@dataclass(frozen=True)
class Uncertainty:
    """How unsure a model is about one picture. Each figure is 1 minus the mean over its groups, 0..1.

    Attributes:
        total: Of the product of the three parts.
        class_part: Of the class.
        spatial_part: Of mask and box.
        occurrence_part: Of the share of views.
        groups: What was found; empty if nothing was, or if only scores are known.
        num_views: How many views were compared; 0 if only scores are known.
        num_doubtful_scores: Without views: how many of the known scores are between 0.24 and 0.76.
        num_scores: Without views: how many are known.
    """

    total: float
    class_part: float = 0.0
    spatial_part: float = 0.0
    occurrence_part: float = 0.0
    groups: tuple[Group, ...] = ()
    num_views: int = 0
    num_doubtful_scores: int = 0
    num_scores: int = 0


def measure_uncertainty(views: Sequence[Detections], *, num_classes: int, empty_share: float) -> Uncertainty:
    """Return how unsure a model is about a picture, from its answers to several views.

    Args:
        views: One answer for each view, all in the picture's coordinates; doubtful detections included.
        num_classes: Class indices are below it.
        empty_share: 0..1, how often the model finds nothing in pictures of its own. A picture in which it
            finds nothing in any view is as uncertain as that is unusual.
    """
    groups = tuple(_measure_group(views, members, num_classes) for members in group_instances(views))
    if not groups:
        return Uncertainty(1.0 - empty_share, occurrence_part=1.0 - empty_share, num_views=len(views))
    return Uncertainty(
        total=1.0 - float(np.mean([group.certainty for group in groups])),
        class_part=1.0 - float(np.mean([group.class_certainty for group in groups])),
        spatial_part=1.0 - float(np.mean([group.spatial_certainty for group in groups])),
        occurrence_part=1.0 - float(np.mean([group.occurrence for group in groups])),
        groups=groups,
        num_views=len(views),
    )


def estimate_uncertainty(scores: Sequence[float], *, min_score: float, empty_share: float) -> Uncertainty:
    """Return how unsure a model is about a picture from the scores of its best detections alone.

    It is the mean binary entropy in bits of the scores from ``min_score`` on, 0..1.

    Args:
        scores: 0..1.
        min_score: Lower ones are left out.
        empty_share: As in `measure_uncertainty`, for a picture without such scores.
    """
    kept = [score for score in scores if score >= min_score]
    if not kept:
        return Uncertainty(1.0 - empty_share, occurrence_part=1.0 - empty_share)
    entropies = [_entropy((score, 1.0 - score)) / math.log(2.0) for score in kept]
    mean = float(np.mean(entropies))
    num_doubtful = sum(entropy >= _DOUBTFUL_BITS for entropy in entropies)
    return Uncertainty(mean, class_part=mean, num_doubtful_scores=num_doubtful, num_scores=len(kept))


def group_instances(views: Sequence[Detections]) -> list[list[tuple[int, int]]]:
    """Return groups of (view, detection): the same thing, in each view at most once, whatever its class.

    The surest detection that belongs to no group begins one; of each other view it takes the detection with
    the largest mask IoU, if that is at least 0.5.
    """
    waiting = sorted(
        ((number, index) for number, found in enumerate(views) for index in range(len(found))),
        key=lambda one: (-float(views[one[0]].scores[one[1]]), one),
    )
    free = set(waiting)
    groups = []
    for first in waiting:
        if first not in free:
            continue
        free.discard(first)
        members = [first]
        for number in range(len(views)):
            rivals = [one for one in free if one[0] == number] if number != first[0] else []
            if best := _closest(views, first, sorted(rivals)):
                free.discard(best)
                members.append(best)
        groups.append(sorted(members))
    return groups


def _closest(
    views: Sequence[Detections], one: tuple[int, int], others: Sequence[tuple[int, int]]
) -> tuple[int, int] | None:
    if not others:
        return None
    masks = [views[number].masks[index] for number, index in others]
    iou = mask_iou([views[one[0]].masks[one[1]]], masks)[0]
    best = int(iou.argmax())
    return others[best] if iou[best] >= SAME_INSTANCE_IOU else None


def _measure_group(
    views: Sequence[Detections], members: Sequence[tuple[int, int]], num_classes: int
) -> Group:
    scores = np.zeros(num_classes + 1)
    for number, index in members:
        scores[views[number].class_indices[index]] += float(views[number].scores[index]) / len(members)
    scores[num_classes] = max(0.0, 1.0 - scores.sum())
    masks_KHW = np.concatenate([_mask(views[number], index) for number, index in members])
    boxes_K4 = np.array([views[number].boxes_xyxy[index] for number, index in members], np.float64)
    return Group(
        class_index=int(scores[:num_classes].argmax()),
        class_certainty=1.0 - min(1.0, _entropy(scores.tolist()) / math.log(num_classes + 1)),
        spatial_certainty=_mask_agreement(masks_KHW) * _box_agreement(boxes_K4),
        occurrence=len(members) / len(views),
    )


def _mask(found: Detections, index: int) -> NDArray[np.bool_]:
    keep = np.zeros(len(found), bool)
    keep[index] = True
    return found.select(keep).masks_NHW()


def _mask_agreement(masks_KHW: NDArray[np.bool_]) -> float:
    common_HW = 2 * masks_KHW.sum(axis=0) >= len(masks_KHW)
    both = (masks_KHW & common_HW).sum(axis=(1, 2))
    either = (masks_KHW | common_HW).sum(axis=(1, 2))
    return float(np.mean(np.where(either > 0, both / np.maximum(either, 1), 1.0)))


def _box_agreement(boxes_K4: NDArray[np.float64]) -> float:
    mean_4 = boxes_K4.mean(axis=0)
    both = np.minimum(boxes_K4[:, 2:], mean_4[2:]) - np.maximum(boxes_K4[:, :2], mean_4[:2])
    both = np.maximum(both, 0.0).prod(axis=1)
    areas = (boxes_K4[:, 2:] - boxes_K4[:, :2]).prod(axis=1)
    either = areas + (mean_4[2:] - mean_4[:2]).prod() - both
    return float(np.mean(np.where(either > 0, both / np.maximum(either, 1e-12), 1.0)))


def _entropy(shares: Sequence[float]) -> float:
    return -sum(share * math.log(share) for share in shares if share > 0.0)
