"""The heads that classify regions and draw their masks, learning from masks cut to their boxes.

Shape suffixes: B pictures, G instances and N boxes of the picture that has most, S boxes drawn in each
picture, K regions of all pictures, M instances of all pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.ops import clip_boxes_to_image, remove_small_boxes

from models.network.assignment import count_by_group, draw_balanced, match_boxes, pad_rows
from models.operations.crowds import leave_out_crowds
from models.operations.mask_targets import Crops, cut_mask_targets
from models.operations.suppression import Suppression, suppress_in_groups

_MIN_SIDE_PX: Final = 1e-2
"""Boxes with a shorter side are empty; torchvision's number."""
_LOSSES_OF_OBJECTS: Final = ("loss_mask", "loss_taught_mask")
"""Means over the regions that hold an instance; the other losses are means over all regions."""


@dataclass(frozen=True)
class Regions:
    """What a step learns from, of all pictures in order.

    Attributes:
        boxes: (K, 4), x0, y0, x1, y1 in px of the resized pictures.
        pictures: int64 (K,).
        labels: int64 (K,), 0 for background.
        instances: int64 (K,), each region's among those of its picture; 0 for background.
    """

    boxes: Tensor
    pictures: Tensor
    labels: Tensor
    instances: Tensor

    def __getitem__(self, some: Tensor) -> Regions:
        return Regions(**{name: value[some] for name, value in vars(self).items()})

    def boxes_by_picture(self, num_pictures: int) -> list[Tensor]:
        """Return each picture's boxes, float32 (K, 4)."""
        counts = count_by_group(self.pictures, num_pictures).tolist()
        return [*torch.split(self.boxes, counts)]


@dataclass(frozen=True)
class Drawn:
    """What the heads said in a step about the regions drawn.

    Attributes:
        regions: K of them, as many in each picture as ``boxes_by_picture`` says.
        logits: (K, C + 1), of the classes, the background first.
        deltas: (K, 4 (C + 1)), where each class's box is.
        objects: The regions that hold an instance.
        mask_logits: (O, S, S), of each object's own class.
        sizes: Each picture's height and width when it was resized, px.
    """

    regions: Regions
    logits: Tensor
    deltas: Tensor
    objects: Regions
    mask_logits: Tensor
    sizes: Sequence[tuple[int, int]]


class CropHeads(RoIHeads):  # type: ignore[misc]
    """torchvision's heads with the same weights and losses; in evaluation they are torchvision's.

    Targets hold what `models.operations.mask_targets.make_target` makes, not ``masks``.

    Attributes:
        lesson: Makes other losses of what was drawn in a step and its losses; see `training.distillation`.
        generator: Draws the regions that are learned from; None takes torch's own.
        picture_seeds: int64 (B,), draw them instead, in each picture from its own seed.
        mean_counts: Makes of the numbers of regions and of objects, int64 (2,), the mean numbers of several
            ranks.
    """

    suppression = Suppression()
    generator: torch.Generator | None = None
    picture_seeds: Tensor | None = None
    mean_counts: Callable[[Tensor], Tensor] | None = None
    lesson: Callable[[Drawn, dict[str, Tensor]], dict[str, Tensor]] | None = None

    @classmethod
    def like(cls, heads: RoIHeads) -> CropHeads:
        """Take over the parts and numbers of torchvision's."""
        matcher, sampler = heads.proposal_matcher, heads.fg_bg_sampler
        return cls(
            heads.box_roi_pool,
            heads.box_head,
            heads.box_predictor,
            matcher.high_threshold,
            matcher.low_threshold,
            sampler.batch_size_per_image,
            sampler.positive_fraction,
            heads.box_coder.weights,
            heads.score_thresh,
            heads.nms_thresh,
            heads.detections_per_img,
            heads.mask_roi_pool,
            heads.mask_head,
            heads.mask_predictor,
        )

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Return no answers and the losses in training; else answers and no losses."""
        if not self.training or targets is None:
            found: tuple[list[dict[str, Tensor]], dict[str, Tensor]] = super().forward(
                features, proposals, image_shapes, targets
            )
            return found
        truth_BG4, is_real_BG = pad_rows([target["boxes"].to(proposals[0].dtype) for target in targets])
        regions = self._draw(proposals, truth_BG4, is_real_BG, targets, image_shapes)
        by_picture = regions.boxes_by_picture(len(targets))
        logits, deltas = self.box_predictor(
            self.box_head(self.box_roi_pool(features, by_picture, image_shapes))
        )
        wanted = truth_BG4[regions.pictures, regions.instances]
        goal = self.box_coder.encode_single(wanted, regions.boxes)
        of_class, of_box = fastrcnn_loss(logits, deltas, [regions.labels], [goal])
        objects = regions[(regions.labels > 0).nonzero()[:, 0]]
        in_objects = self.mask_roi_pool(features, objects.boxes_by_picture(len(targets)), [*image_shapes])
        mask_logits = draw_masks(self, in_objects, objects.labels)
        of_mask = _mask_loss(mask_logits, objects, image_shapes, targets)
        losses = {"loss_classifier": of_class, "loss_box_reg": of_box, "loss_mask": of_mask}
        if self.lesson:
            drawn = Drawn(regions, logits, deltas, objects, mask_logits, image_shapes)
            losses = self.lesson(drawn, losses)
        return [], self._weigh(losses, len(regions.labels), len(mask_logits))

    def _weigh(self, losses: dict[str, Tensor], num_regions: int, num_objects: int) -> dict[str, Tensor]:
        """Make of means over this rank's regions shares of the mean over all ranks' regions.

        Their mean over the ranks is then what one process, with all pictures, would have computed.
        """
        if self.mean_counts is None:
            return losses
        of_all = self.mean_counts(torch.tensor([num_regions, num_objects])).tolist()
        regions, objects = num_regions / max(of_all[0], 1e-9), num_objects / max(of_all[1], 1e-9)
        return {
            name: loss * (objects if name in _LOSSES_OF_OBJECTS else regions) for name, loss in losses.items()
        }

    def postprocess_detections(
        self,
        class_logits: Tensor,
        box_regression: Tensor,
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Return each picture's boxes (N, 4) in px, scores (N,) and labels (N,), best score first."""
        said = (class_logits, box_regression, proposals, image_shapes)
        if self.suppression.method == "off":
            return self._suppress(*said)
        boxes, scores, labels = zip(*(self.thin_out(*own) for own in self.collect_boxes(*said)), strict=True)
        return [*boxes], [*scores], [*labels]

    def _suppress(
        self,
        logits: Tensor,
        deltas: Tensor,
        proposals: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Suppress the boxes of all pictures at once; the device is asked for their numbers alone.

        Args:
            logits: Of the classes, of all pictures' proposals.
            deltas: Where each class's box is.
            proposals: Of each picture, (M, 4) in px.
            sizes: Each picture's height and width, px.
        """
        counts, labels = [len(own) for own in proposals], logits.shape[1]
        decoded: Tensor = self.box_coder.decode(deltas, [*proposals]).reshape(*logits.shape, 4)
        clipped = [clip_boxes_to_image(*own) for own in zip(torch.split(decoded, counts), sizes, strict=True)]
        boxes_RL4, scores_RL = torch.cat(clipped)[:, 1:], F.softmax(logits, -1)[:, 1:]
        sides_RL2 = boxes_RL4[..., 2:] - boxes_RL4[..., :2]
        is_candidate_RL = (scores_RL > self.score_thresh) & (sides_RL2 >= _MIN_SIDE_PX).all(dim=2)
        row_N, label_N = is_candidate_RL.nonzero(as_tuple=True)
        numbers = [logits.new_full((count,), number, dtype=torch.long) for number, count in enumerate(counts)]
        picture_N = torch.cat(numbers)[row_N]
        group_N = picture_N * (labels - 1) + label_N
        order_N = group_N.argsort(stable=True)
        boxes_N4, scores_N = boxes_RL4[row_N, label_N], scores_RL[row_N, label_N]
        groups = count_by_group(group_N, len(counts) * (labels - 1)).tolist()
        is_kept_N = torch.empty_like(order_N, dtype=torch.bool)
        is_kept_N[order_N] = suppress_in_groups(boxes_N4[order_N], scores_N[order_N], groups, self.nms_thresh)
        best_N = scores_N.masked_fill(~is_kept_N, -1.0).argsort(descending=True, stable=True)
        best_N = best_N[picture_N[best_N].argsort(stable=True)]
        candidates = [sum(groups[first : first + labels - 1]) for first in range(0, len(groups), labels - 1)]
        kept = count_by_group(picture_N, len(counts), is_kept_N).clamp(max=self.detections_per_img).tolist()
        own = [some[:count] for some, count in zip(torch.split(best_N, candidates), kept, strict=True)]
        return [boxes_N4[at] for at in own], [scores_N[at] for at in own], [label_N[at] + 1 for at in own]

    def collect_boxes(
        self,
        logits: Tensor,
        deltas: Tensor,
        proposals: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return each picture's boxes of every class, scores and labels, before any is suppressed."""
        counts = [len(own) for own in proposals]
        decoded: Tensor = self.box_coder.decode(deltas, [*proposals]).reshape(*logits.shape, 4)
        by_picture = (torch.split(each, counts) for each in (decoded, F.softmax(logits, -1)))
        pictures = zip(*by_picture, sizes, strict=True)
        return [self._collect(clip_boxes_to_image(boxes, size), scores) for boxes, scores, size in pictures]

    def _collect(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        place, label = (scores[:, 1:] > self.score_thresh).nonzero(as_tuple=True)
        label = label + 1  # 0 is the background
        boxes, scores = boxes[place, label], scores[place, label]
        kept = remove_small_boxes(boxes, _MIN_SIDE_PX)
        return boxes[kept], scores[kept], label[kept]

    def thin_out(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the boxes of one picture that are left, with their scores and labels, best score first."""
        kept, left = self.suppression.choose(
            boxes,
            scores,
            labels,
            iou_threshold=self.nms_thresh,
            min_score=self.score_thresh,
            max_kept=self.detections_per_img,
        )
        return boxes[kept], left, labels[kept]

    def _draw(
        self,
        proposals: Sequence[Tensor],
        truth_BG4: Tensor,
        is_real_BG: Tensor,
        targets: Sequence[dict[str, Tensor]],
        sizes: Sequence[tuple[int, int]],
    ) -> Regions:
        """Draw regions from the proposals and, as torchvision does, the instances' own boxes."""
        truth = [own[: len(target["boxes"])] for own, target in zip(truth_BG4, targets, strict=True)]
        boxes_BN4, is_box_BN = pad_rows([torch.cat(pair) for pair in zip(proposals, truth, strict=True)])
        matched_BN = match_boxes(truth_BG4, is_real_BG, boxes_BN4, self.proposal_matcher)
        instance_BN = matched_BN.clamp(min=0)
        classes_BG, _ = pad_rows([target["labels"] for target in targets])
        labels_BN = classes_BG.gather(1, instance_BN)
        labels_BN.masked_fill_(matched_BN == self.proposal_matcher.BELOW_LOW_THRESHOLD, 0)
        labels_BN.masked_fill_((matched_BN == self.proposal_matcher.BETWEEN_THRESHOLDS) | ~is_box_BN, -1)
        leave_out_crowds(labels_BN, boxes_BN4, targets, sizes)
        sampler = self.fg_bg_sampler
        drawn_BS, is_drawn_BS = draw_balanced(
            labels_BN,
            sampler.batch_size_per_image,
            sampler.positive_fraction,
            self.generator,
            self.picture_seeds,
        )
        picture_K, place_K = is_drawn_BS.nonzero(as_tuple=True)
        at = picture_K, drawn_BS[picture_K, place_K]
        return Regions(boxes_BN4[at], picture_K, labels_BN[at], instance_BN[at])


def _mask_loss(
    logits: Tensor,
    objects: Regions,
    image_shapes: Sequence[tuple[int, int]],
    targets: Sequence[dict[str, Tensor]],
) -> Tensor:
    if not len(logits):
        return logits.sum() * 0.0
    device = objects.boxes.device
    counts = torch.tensor([len(target["labels"]) for target in targets], device=device)
    goal = cut_mask_targets(
        Crops.of(targets),
        (counts.cumsum(0) - counts)[objects.pictures] + objects.instances,
        objects.boxes,
        original_K2=torch.stack([target["size_px"] for target in targets])[objects.pictures],
        resized_K2=torch.tensor([*image_shapes], device=device)[objects.pictures],
        side=logits.shape[-1],
    )
    return F.binary_cross_entropy_with_logits(logits.to(goal.dtype), goal)


class ClassAgnosticMasks(MaskRCNNPredictor):  # type: ignore[misc]
    """torchvision's predictor with one channel, the mask of every class.

    He et al., "Mask R-CNN", 2017, arXiv:1703.06870, section 4.2, where it is nearly as good. The last layer's
    tensors have their usual names and one row.
    """

    def __init__(self, in_channels: int, width: int, num_labels: int) -> None:
        super().__init__(in_channels, width, 1)
        self._num_labels = num_labels

    def forward(self, x: Tensor) -> Tensor:
        """Map (K, C, P, P) to logits (K, labels, 2 P, 2 P), the same for each label."""
        masks: Tensor = super().forward(x)
        return masks.expand(-1, self._num_labels, -1, -1)


def draw_masks(heads: RoIHeads, regions: Tensor, labels_K: Tensor) -> Tensor:
    """Return float32 or bfloat16 (K, S, S): the logits of one class's mask for each region (K, C, P, P)."""
    predictor = heads.mask_predictor
    if isinstance(predictor, ClassAgnosticMasks):
        labels_K = torch.zeros_like(labels_K)
    maps = predictor.relu(predictor.conv5_mask(heads.mask_head(regions)))
    last = predictor.mask_fcn_logits
    count, channels, side, _ = maps.shape
    cells = maps.permute(0, 2, 3, 1).reshape(count, side * side, channels)
    logits = torch.baddbmm(last.bias[labels_K, None, None], cells, last.weight[labels_K, :, :, 0])
    return logits.view(count, side, side)
