"""The region proposal network, learning from no more anchors than it draws.

Of 268,000 anchors of a picture of 800 x 1344 px the loss sees 256. torchvision runs the gradient of all of
them, zeros but for those, back through the head: two thirds of its work. Here the head answers everywhere
without a gradient, for the proposals, and once more with one at the anchors drawn. The sums are the same.

Shape suffixes: B pictures, N anchors, S anchors drawn in each picture, D anchors drawn in all, R x R cells
around one, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import clip_boxes_to_image

from models.network.assignment import count_by_group, draw_balanced, match_boxes, pad_rows
from models.operations.crowds import leave_out_crowds
from models.operations.suppression import suppress_in_groups

_BETA: Final = 1 / 9
"""Where torchvision's smooth L1 loss turns from a parabola to a line."""


class SparseProposals(RegionProposalNetwork):  # type: ignore[misc]
    """torchvision's network, with the same weights, losses and proposals; it predicts as that does.

    Attributes:
        generator: Draws the anchors that are learned from; None takes torch's own.
        picture_seeds: int64 (B,), draw them instead, in each picture from its own seed.
        mean_count: Makes of a number of anchors, int64, the mean number of several ranks.
    """

    generator: torch.Generator | None = None
    picture_seeds: Tensor | None = None
    mean_count: Callable[[Tensor], Tensor] | None = None

    @classmethod
    def like(cls, rpn: RegionProposalNetwork) -> SparseProposals:
        """Take over the parts and numbers of torchvision's."""
        matcher, sampler = rpn.proposal_matcher, rpn.fg_bg_sampler
        return cls(
            rpn.anchor_generator,
            rpn.head,
            matcher.high_threshold,
            matcher.low_threshold,
            sampler.batch_size_per_image,
            sampler.positive_fraction,
            rpn._pre_nms_top_n,
            rpn._post_nms_top_n,
            rpn.nms_thresh,
            rpn.score_thresh,
        )

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Return each picture's proposals (M, 4) in px and, in training, the losses."""
        if not self.training or targets is None:
            answer: tuple[list[Tensor], dict[str, Tensor]] = super().forward(images, features, targets)
            return answer
        maps = [*features.values()]
        anchors_N4 = self.anchor_generator(images, maps)[0]
        with torch.no_grad():
            proposals = self._propose(maps, anchors_N4, images.image_sizes)
        return proposals, self._learn(maps, anchors_N4, targets, images.image_sizes)

    def _propose(
        self, maps: Sequence[Tensor], anchors_N4: Tensor, sizes: Sequence[tuple[int, int]]
    ) -> list[Tensor]:
        """Choose the best anchors of each level, and only then say where their boxes are."""
        scores, deltas, anchors = [], [], []
        first = 0
        for objectness, offsets in zip(*self.head([*maps]), strict=True):
            flat = objectness.permute(0, 2, 3, 1).flatten(start_dim=1)
            own_anchors, first = anchors_N4[first : first + flat.shape[1]], first + flat.shape[1]
            best = flat.topk(min(self.pre_nms_top_n(), flat.shape[1]), dim=1)
            rows = offsets.permute(0, 2, 3, 1).reshape(len(flat), -1, 4)
            deltas.append(rows.gather(1, best.indices[:, :, None].expand(-1, -1, 4)))
            anchors.append(own_anchors[best.indices])
            scores.append(best.values)
        chosen = torch.cat(anchors, dim=1)
        flat_deltas = torch.cat(deltas, dim=1).to(chosen.dtype).flatten(end_dim=1)
        boxes = self.box_coder.decode_single(flat_deltas, chosen.flatten(end_dim=1)).view_as(chosen)
        probabilities = torch.cat(scores, dim=1).to(chosen.dtype).sigmoid()
        return self._thin_out(boxes, probabilities, [own.shape[1] for own in scores], sizes)[0]

    def filter_proposals(
        self,
        proposals: Tensor,
        objectness: Tensor,
        image_shapes: Sequence[tuple[int, int]],
        num_anchors_per_level: Sequence[int],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return each picture's proposals (M, 4) in px and their probabilities (M,), best first.

        Args:
            proposals: (B, N, 4), the boxes of all anchors, px.
            objectness: (B x N, 1), their logits.
            image_shapes: Height and width of each picture, px.
            num_anchors_per_level: They add up to N.
        """
        flat_BN = objectness.detach().reshape(len(proposals), -1)
        by_level = torch.split(flat_BN, [*num_anchors_per_level], dim=1)
        best = [own.topk(min(self.pre_nms_top_n(), own.shape[1]), dim=1) for own in by_level]
        firsts = [0, *accumulate(num_anchors_per_level)]
        at_BN = torch.cat([own.indices + first for own, first in zip(best, firsts, strict=False)], dim=1)
        scores_BN = torch.cat([own.values for own in best], dim=1).sigmoid()
        boxes_BN4 = proposals.gather(1, at_BN[:, :, None].expand(-1, -1, 4))
        return self._thin_out(boxes_BN4, scores_BN, [own.values.shape[1] for own in best], image_shapes)

    def _thin_out(
        self,
        boxes_BN4: Tensor,
        scores_BN: Tensor,
        level_sizes: Sequence[int],
        sizes: Sequence[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Keep the best of all pictures at once; the device is asked once, how many there are of each."""
        boxes_BN4 = torch.stack(
            [clip_boxes_to_image(own, size) for own, size in zip(boxes_BN4, sizes, strict=True)]
        )
        sides_BN2 = boxes_BN4[:, :, 2:] - boxes_BN4[:, :, :2]
        is_kept_BN = (sides_BN2 >= self.min_size).all(dim=2) & (scores_BN >= self.score_thresh)
        candidates_N4 = (boxes_BN4 * is_kept_BN[:, :, None]).flatten(end_dim=1)
        groups = [*level_sizes] * len(boxes_BN4)
        is_apart_N = suppress_in_groups(candidates_N4, scores_BN.flatten(), groups, self.nms_thresh)
        is_kept_BN &= is_apart_N.view_as(is_kept_BN)
        best_BN = scores_BN.masked_fill(~is_kept_BN, -1.0).sort(dim=1, descending=True, stable=True)
        counts = is_kept_BN.sum(dim=1).clamp(max=self.post_nms_top_n()).tolist()
        ranked_BN4 = boxes_BN4.gather(1, best_BN.indices[:, :, None].expand(-1, -1, 4))
        kept = [own[:count] for own, count in zip(ranked_BN4, counts, strict=True)]
        return kept, [own[:count] for own, count in zip(best_BN.values, counts, strict=True)]

    def _learn(
        self,
        maps: Sequence[Tensor],
        anchors_N4: Tensor,
        targets: Sequence[dict[str, Tensor]],
        sizes: Sequence[tuple[int, int]],
    ) -> dict[str, Tensor]:
        truth_BG4, is_real_BG = pad_rows([target["boxes"].to(anchors_N4.dtype) for target in targets])
        matched_BN = match_boxes(truth_BG4, is_real_BG, anchors_N4[None], self.proposal_matcher)
        labels_BN = (matched_BN >= 0).long()
        labels_BN.masked_fill_(matched_BN == self.proposal_matcher.BETWEEN_THRESHOLDS, -1)
        leave_out_crowds(labels_BN, anchors_N4[None], targets, sizes)
        sampler = self.fg_bg_sampler
        drawn_BS, is_drawn_BS = draw_balanced(
            labels_BN,
            sampler.batch_size_per_image,
            sampler.positive_fraction,
            self.generator,
            self.picture_seeds,
        )
        objectness, deltas = answer_at(self.head, maps, drawn_BS)
        is_object_BS = (labels_BN.gather(1, drawn_BS) == 1) & is_drawn_BS
        instance_BS = matched_BN.gather(1, drawn_BS).clamp(min=0)
        own = anchors_N4[drawn_BS]
        wanted = truth_BG4.gather(1, instance_BS[:, :, None].expand(-1, -1, 4))
        wanted = torch.where(is_object_BS[:, :, None], wanted, own)
        goal = self.box_coder.encode_single(wanted.flatten(end_dim=1), own.flatten(end_dim=1))
        count = is_drawn_BS.sum()
        if self.mean_count:
            count = self.mean_count(count)
        sums = _summed_losses(objectness, deltas, is_drawn_BS, is_object_BS, goal.view_as(own))
        return {name: total / count for name, total in sums.items()}


def _summed_losses(
    objectness_BS: Tensor, deltas_BS4: Tensor, is_drawn_BS: Tensor, is_object_BS: Tensor, goal_BS4: Tensor
) -> dict[str, Tensor]:
    unsure = F.binary_cross_entropy_with_logits(
        objectness_BS, is_object_BS.to(objectness_BS.dtype), reduction="none"
    )
    off = F.smooth_l1_loss(deltas_BS4, goal_BS4, beta=_BETA, reduction="none")
    return {
        "loss_objectness": (unsure * is_drawn_BS).sum(),
        "loss_rpn_box_reg": (off * is_object_BS[:, :, None]).sum(),
    }


def answer_at(head: RPNHead, maps: Sequence[Tensor], drawn_BS: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the head's outputs for single anchors, with gradients to its weights and the maps.

    Args:
        head: torchvision's; its convolutions are followed cell by cell.
        maps: (B, C, H, W) each, finest first.
        drawn_BS: int64 (B, S), which of the anchors of all maps, counted as torchvision does: map by map,
            row by row, cell by cell.

    Returns:
        Objectness (B, S) and offsets (B, S, 4), float32 or float64.
    """
    patches_DRRC, is_inside_DRR, kind_D, back_D = _cut_patches(head, maps, drawn_BS)
    cells = patches_DRRC * is_inside_DRR[..., None]
    for layer in head.conv:
        conv = layer[0]
        windows = cells.unfold(1, 3, 1).unfold(2, 3, 1).flatten(start_dim=3)
        cells = F.linear(windows, conv.weight.flatten(start_dim=1), conv.bias).relu()
        is_inside_DRR = is_inside_DRR[:, 1:-1, 1:-1]
        cells = cells * is_inside_DRR[..., None]
    answers = cells[:, 0, 0]
    objectness, deltas = (
        F.linear(answers, each.weight.flatten(start_dim=1), each.bias)
        for each in (head.cls_logits, head.bbox_pred)
    )
    own = deltas.view(len(kind_D), -1, 4)[torch.arange(len(kind_D), device=kind_D.device), kind_D]
    objectness = objectness.gather(1, kind_D[:, None])[:, 0]
    dtype = torch.promote_types(objectness.dtype, torch.float32)
    return objectness[back_D].to(dtype).view(drawn_BS.shape), own[back_D].to(dtype).view(*drawn_BS.shape, 4)


def _cut_patches(
    head: RPNHead, maps: Sequence[Tensor], drawn_BS: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cut from the maps what the head sees of each anchor drawn.

    Returns:
        (D, R, R, C), map by map; bool (D, R, R), which of the cells lie on the map; int64 (D,), which of its
        cell's anchors it is; and int64 (D,), which brings them back into the order they were drawn in.
    """
    kinds, reach = head.cls_logits.out_channels, len(head.conv)
    ends = [*accumulate(each.shape[-2] * each.shape[-1] * kinds for each in maps)]
    drawn_D = drawn_BS.flatten()
    picture_D = torch.arange(len(drawn_BS), device=drawn_D.device).repeat_interleave(drawn_BS.shape[1])
    level_D = torch.bucketize(drawn_D, torch.tensor(ends, device=drawn_D.device), right=True)
    order_D = level_D.argsort(stable=True)
    counts = count_by_group(level_D, len(maps)).tolist()
    patches, is_inside = [], []
    for each, first, some in zip(maps, [0, *ends[:-1]], torch.split(order_D, counts), strict=True):
        cell = (drawn_D[some] - first) // kinds
        patch, inside = _cut(each, picture_D[some], cell, reach)
        patches.append(patch)
        is_inside.append(inside)
    firsts_D = torch.tensor([0, *ends[:-1]], device=drawn_D.device)[level_D]
    kind_D = (drawn_D - firsts_D) % kinds
    return torch.cat(patches), torch.cat(is_inside), kind_D[order_D], order_D.argsort()


def _cut(features: Tensor, picture: Tensor, cell: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Return (D, R, R, C) around each cell of a map (B, C, H, W), and which of it lies on the map."""
    height, width = features.shape[-2:]
    around = torch.arange(-reach, reach + 1, device=cell.device)
    rows = (cell // width)[:, None, None] + around[:, None]
    columns = (cell % width)[:, None, None] + around
    is_inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    at = picture[:, None, None], rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    return features.permute(0, 2, 3, 1)[at], is_inside
