"""A large network teaches a small one: beside the labels, the small one learns what the large one answers.

Both look at the regions that the small network draws in a step, so they need not have the same backbone,
anchors, picture size or mask size. Where the teacher is sure of what the label says, the pupil learns its
probabilities of the classes (Hinton et al. 2015, https://arxiv.org/abs/1503.02531; in a detector: Chen et al.
2017, "Learning efficient object detection models with knowledge distillation"), its boxes, and its
probabilities of the masks' pixels. Where it is not, the label alone counts (Meng et al. 2019,
https://arxiv.org/abs/1904.12399).

Shape suffixes: K regions, O objects among them, C classes that both know, S cells along a side of a mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.image_list import ImageList

from maskloop.errors import ConfigurationError
from maskloop.settings.model_settings import DistillationSettings
from models.answering.inference import copy_for_inference, padded_sizes
from models.artifacts.model_folder import load_model
from models.network.heads import CropHeads, Drawn, Regions, draw_masks

_BETA: Final = 1 / 9
"""Where torchvision's smooth L1 loss of boxes turns from a parabola to a line."""


def align_classes(pupil: Sequence[str], teacher: Sequence[str]) -> dict[int, int]:
    """Return the teacher's label of each of the pupil's that it knows by name; 0 is the background in both.

    Raises:
        ConfigurationError: if the teacher knows none of the pupil's classes.

    >>> align_classes(["bolt", "nut", "gear"], ["gear", "bolt"])
    {0: 0, 1: 2, 3: 1}
    """
    known = {name: label for label, name in enumerate(teacher, start=1)}
    found = {label: known[name] for label, name in enumerate(pupil, start=1) if name in known}
    if not found:
        raise ConfigurationError(
            "the teacher was trained on none of the classes to be learned",
            where=f"the teacher's: {', '.join(teacher)}; to be learned: {', '.join(pupil)}",
        )
    return {0: 0, **found}


@dataclass(frozen=True)
class HeadOutput:
    """What one of both says about the regions of a step.

    Attributes:
        logits: float32 (K, C + 1), of the classes that both know, the background first.
        deltas: float32 (O, 4), where the objects' boxes are, as the box coder has it.
        mask_logits: float32 (O, S, S), of the objects.
    """

    logits: Tensor
    deltas: Tensor
    mask_logits: Tensor


def trusted(taught_logits: Tensor, own: Tensor, min_score: float) -> Tensor:
    """Tell where the teacher gives what the label says at least ``min_score``, bool (K,).

    Args:
        taught_logits: (K, C + 1), the teacher's.
        own: int64 (K,), the label's column in them; -1 where the teacher does not know the class.
        min_score: 0..1.
    """
    scores = taught_logits.softmax(dim=1).gather(1, own.clamp(min=0)[:, None])[:, 0]
    return (own >= 0) & (scores >= min_score)


def lessons(
    pupil: HeadOutput, teacher: HeadOutput, is_trusted: Tensor, is_object: Tensor
) -> dict[str, Tensor]:
    """Return how far the pupil is from the teacher: the losses of the labels, with its answers as the truth.

    Cross entropy of the classes, smooth L1 of the boxes and cross entropy of the masks, summed where the
    teacher is trusted and divided as torchvision divides the labels' losses. Masks of another size are scaled
    to the pupil's.

    Args:
        pupil: Its answer.
        teacher: Its answer.
        is_trusted: bool (K,); see `trusted`.
        is_object: bool (K,), which of the regions hold an instance.
    """
    count, num_objects = max(1, len(is_object)), max(1, len(pupil.mask_logits))
    of_class = F.cross_entropy(pupil.logits, teacher.logits.softmax(dim=1), reduction="none")
    of_box = F.smooth_l1_loss(pupil.deltas, teacher.deltas, beta=_BETA, reduction="none").sum(dim=1)
    of_mask = _apart(pupil.mask_logits, teacher.mask_logits)
    is_trusted_object = is_trusted[is_object]
    return {
        "loss_taught_class": (of_class * is_trusted).sum() / count,
        "loss_taught_box": (of_box * is_trusted_object).sum() / count,
        "loss_taught_mask": (of_mask * is_trusted_object).sum() / num_objects,
    }


def mix(labels: Mapping[str, Tensor], taught: Mapping[str, Tensor], weight: float) -> dict[str, Tensor]:
    """Give the teacher's losses, each a scalar, float32, ``weight``, 0..1, and those of the labels the rest.

    A sum instead would leave the proposals' losses too little say beside the heads'.
    """
    return {name: (1.0 - weight) * loss for name, loss in labels.items()} | {
        name: weight * loss for name, loss in taught.items()
    }


def _apart(logits_OSS: Tensor, taught_OSS: Tensor) -> Tensor:
    """Return the mean cross entropy of each mask, (O,)."""
    goal = taught_OSS.sigmoid()
    if len(goal) and goal.shape != logits_OSS.shape:
        goal = F.interpolate(goal[:, None], logits_OSS.shape[1:], mode="bilinear", antialias=True)[:, 0]
    goal = goal.view_as(logits_OSS)
    return F.binary_cross_entropy_with_logits(logits_OSS, goal, reduction="none").mean(dim=(1, 2))


class Teacher:
    """A verified model that a network in training learns from. It is never changed, and no part of it."""

    def __init__(
        self,
        model: MaskRCNN,
        *,
        class_names: Sequence[str],
        pupil_class_names: Sequence[str],
        settings: DistillationSettings,
        device: torch.device,
    ) -> None:
        """Take a model as it is now.

        Raises:
            ConfigurationError: if it knows none of the pupil's classes.
        """
        self._model, self._settings = copy_for_inference(model, device), settings
        aligned = align_classes(pupil_class_names, class_names)
        self._pupil_columns = torch.tensor([*aligned], device=device)
        self._columns = torch.tensor([*aligned.values()], device=device)
        self._column_of_label = torch.full((len(pupil_class_names) + 1,), -1, device=device)
        self._column_of_label[self._pupil_columns] = torch.arange(len(aligned), device=device)

    @classmethod
    def load(
        cls,
        directory: Path,
        *,
        expected_digest: str | None,
        pupil_class_names: Sequence[str],
        settings: DistillationSettings,
        device: torch.device,
    ) -> Teacher:
        """Load and verify an artifact. Raises as `load_model` does, and as the class."""
        model, manifest = load_model(directory, expected_digest=expected_digest)
        return cls(
            model,
            class_names=manifest.class_names,
            pupil_class_names=pupil_class_names,
            settings=settings,
            device=device,
        )

    @contextmanager
    def teaching(self, heads: CropHeads, images: list[Tensor]) -> Iterator[None]:
        """In the body, let a network's heads learn from this teacher about the pictures of its step.

        Args:
            heads: Of the network that learns.
            images: The step's pictures, (3, H, W) each: uint8, or float32 in 0..1.
        """
        heads.lesson = lambda drawn, losses: self.teach(images, drawn, losses)
        try:
            yield
        finally:
            heads.lesson = None

    def teach(self, images: list[Tensor], drawn: Drawn, labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses of the labels and of what the teacher says about what was drawn, mixed.

        Args:
            images: The step's pictures, (3, H, W) each: uint8, or float32 in 0..1.
            drawn: What the heads said about the regions drawn.
            labels: The losses by name, each a scalar, float32.
        """
        teacher, is_object = self._answer(images, drawn), drawn.regions.labels > 0
        own = self._column_of_label[drawn.regions.labels]
        is_trusted = trusted(teacher.logits, own, self._settings.min_score)
        pupil = HeadOutput(
            drawn.logits[:, self._pupil_columns].float(),
            _of_class(drawn.deltas[is_object], drawn.objects.labels).float(),
            drawn.mask_logits.float(),
        )
        return mix(labels, lessons(pupil, teacher, is_trusted, is_object), self._settings.weight)

    def _answer(self, images: list[Tensor], drawn: Drawn) -> HeadOutput:
        heads, columns = self._model.roi_heads, self._column_of_label[drawn.objects.labels]
        labels = self._columns[columns.clamp(min=0)]
        with torch.no_grad(), torch.autocast("cpu", enabled=False):  # what suits a CPU has no bf16
            prepared, _ = self._model.transform(images)
            features, sizes = self._model.backbone(prepared.tensors), padded_sizes(prepared)
            boxes = _scale(drawn.regions, drawn.sizes, prepared)
            logits, deltas = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, boxes, sizes)))
            objects = _scale(drawn.objects, drawn.sizes, prepared)
            masks = draw_masks(heads, heads.mask_roi_pool(features, objects, sizes), labels)
        of_objects = _of_class(deltas[drawn.regions.labels > 0], labels)
        return HeadOutput(logits[:, self._columns].float(), of_objects.float(), masks.float())


def _of_class(deltas: Tensor, labels_O: Tensor) -> Tensor:
    """Return (O, 4), of the boxes of all classes (O, 4 C) each object's own."""
    at = torch.arange(len(labels_O), device=labels_O.device)
    return deltas.reshape(len(labels_O), deltas.shape[1] // 4, 4)[at, labels_O]


def _scale(regions: Regions, sizes: Sequence[tuple[int, int]], to: ImageList) -> list[Tensor]:
    """Return each picture's boxes in px of the pictures as the teacher resized them."""
    by_picture = regions.boxes_by_picture(len(sizes))
    scaled = []
    for boxes, (height, width), (new_height, new_width) in zip(
        by_picture, sizes, to.image_sizes, strict=True
    ):
        across, down = new_width / width, new_height / height
        scaled.append(boxes * boxes.new_tensor([across, down, across, down]))
    return scaled
