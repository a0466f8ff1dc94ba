"""One answer from several views of a picture: scaled, and mirrored.

Each view is searched by itself. All views' boxes, brought back to the picture, are suppressed together, so
that every view may propose and the surest box of a thing wins. Of each box that is kept every view then draws
the mask, and the probabilities are averaged: a mask is never taken from one box and laid into another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.transform import resize_boxes

from models.answering.inference import (
    DrawnRegions,
    FoundRegions,
    Seen,
    draw_regions,
    look_at,
    mean_of_finest_map,
)
from models.network.parts import Parts, parts_of
from models.network.preparation import Preparation, View

Found = tuple[Tensor, Tensor, Tensor]
"""Boxes (N, 4) in px of the picture as it came, scores (N,) and labels (N,)."""


@dataclass(frozen=True)
class _Look:
    """A view of a batch, and what the network saw in it.

    Attributes:
        view: Which one.
        seen: What came of it.
        whole: Height and width of the pictures as they came.
    """

    view: View
    seen: Seen
    whole: tuple[int, int]

    def to_picture(self, boxes_N4: Tensor) -> Tensor:
        """Bring boxes from px of the view to px of the picture."""
        boxes_N4 = resize_boxes(boxes_N4, self.seen.size, self.whole)
        return mirror_boxes(boxes_N4, self.whole[1]) if self.view.is_mirrored else boxes_N4

    def from_picture(self, boxes_N4: Tensor) -> Tensor:
        """The way back of `to_picture`."""
        boxes_N4 = mirror_boxes(boxes_N4, self.whole[1]) if self.view.is_mirrored else boxes_N4
        resized: Tensor = resize_boxes(boxes_N4, self.whole, self.seen.size)
        return resized


def mirror_boxes(boxes_N4: Tensor, width_px: float) -> Tensor:
    """Return boxes, float32 (N, 4), of the picture's mirror image: left and right are exchanged.

    >>> mirror_boxes(torch.tensor([[1.0, 2.0, 4.0, 6.0]]), 10.0)
    tensor([[6., 2., 9., 6.]])
    """
    x0, y0, x1, y1 = boxes_N4.unbind(dim=1)
    return torch.stack([width_px - x1, y0, width_px - x0, y1], dim=1)


def find_regions_in_views(
    model: MaskRCNN, batch: Tensor, min_score: float, parts: Parts | None = None
) -> tuple[list[FoundRegions], Tensor, Tensor]:
    """Find regions in all of `Preparation.views`, as `models.answering.inference.find_regions` does in one.

    Args:
        model: torchvision's, or a copy for inference.
        batch: float32 (B, 3, H, W) in 0..1.
        min_score: Regions with a lower score are left out before masks are made for them.
        parts: Networks to run instead of the model's own.

    Returns:
        The regions of each picture, their insides as the first view shows them; the mean of the finest map of
        the first view, float32 (B, C); and
        whether all the networks in every view computed finite numbers, bool ().
    """
    whole = (batch.shape[-2], batch.shape[-1])
    parts = parts or parts_of(model)
    looks = [_look(model, parts, batch, view, whole) for view in model.transform.views]
    candidates = [_collect(model, look) for look in looks]
    found = [_merge(model, [own[at] for own in candidates], min_score) for at in range(len(batch))]
    drawn = _draw(model, parts, looks, found)
    masks, insides = torch.stack([each.masks for each in drawn]).mean(dim=0), drawn[0].insides
    counts = [len(own[0]) for own in found]
    by_picture = zip(torch.split(masks, counts), torch.split(insides, counts), strict=True)
    regions = [FoundRegions(*own, *part) for own, part in zip(found, by_picture, strict=True)]
    watched = [*(each for look in looks for each in look.seen.watched()), *(one.logits for one in drawn)]
    is_finite = torch.stack([each.sum() for each in watched]).isfinite().all()
    return regions, mean_of_finest_map(looks[0].seen), is_finite


def _look(model: MaskRCNN, parts: Parts, batch: Tensor, view: View, whole: tuple[int, int]) -> _Look:
    transform = model.transform
    prepare = Preparation(round(transform.min_size[0] * view.scale), round(transform.max_size * view.scale))
    turned = batch.flip(-1) if view.is_mirrored else batch
    return _Look(view, look_at(model, parts, turned, prepare), whole)


def _collect(model: MaskRCNN, look: _Look) -> list[Found]:
    """Return each picture's boxes before suppression, in px of the picture as it came."""
    seen = look.seen
    found = model.roi_heads.collect_boxes(seen.logits, seen.deltas, seen.proposals, seen.images.image_sizes)
    return [(look.to_picture(boxes), scores, labels) for boxes, scores, labels in found]


def _merge(model: MaskRCNN, by_view: Sequence[Found], min_score: float) -> Found:
    boxes, scores, labels = (torch.cat(parts) for parts in zip(*by_view, strict=True))
    kept = model.roi_heads.thin_out(boxes, scores, labels)
    wanted = kept[1] >= min_score
    return kept[0][wanted], kept[1][wanted], kept[2][wanted]


def _draw(
    model: MaskRCNN, parts: Parts, looks: Sequence[_Look], found: Sequence[Found]
) -> list[DrawnRegions]:
    """Return what each view drew in the boxes of all pictures, turned back."""
    labels_N = torch.cat([labels for _, _, labels in found])
    every = []
    for look in looks:
        boxes = [look.from_picture(own) for own, _, _ in found]
        drawn = draw_regions(model, parts, look.seen, boxes, labels_N)
        every.append(replace(drawn, masks=drawn.masks.flip(-1)) if look.view.is_mirrored else drawn)
    return every
