"""From pictures of any size to one normalised batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import GeneralizedRCNNTransform

_MEAN: Final = (0.485, 0.456, 0.406)
_SPREAD: Final = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class View:
    """How a picture is looked at.

    Attributes:
        scale: By this factor the sides in the settings are multiplied.
        is_mirrored: Left and right are exchanged.
    """

    scale: float = 1.0
    is_mirrored: bool = False


class Preparation(GeneralizedRCNNTransform):  # type: ignore[misc]
    """torchvision's resizing, normalisation and padding, without resizing to the size a picture already has.

    Training brings pictures as uint8: they are put side by side as they are and normalised at once, where
    the network is. Masks come as crops and are not resized; see `models.operations.mask_targets`.

    Attributes:
        views: Those a prediction is made from; see `answering.views`. Training has the picture as it is.
        largest_size: Makes of the height and width of a batch, px, those of all ranks' batches together.
    """

    views: tuple[View, ...] = (View(),)
    largest_size: Callable[[tuple[int, int], torch.device], tuple[int, ...]] | None = None

    def __init__(self, min_size_px: int, max_size_px: int) -> None:
        super().__init__(min_size_px, max_size_px, [*_MEAN], [*_SPREAD])
        mean, spread = (torch.tensor(each).view(1, 3, 1, 1) for each in (_MEAN, _SPREAD))
        self.register_buffer("_scale", 1.0 / (255.0 * spread), persistent=False)
        self.register_buffer("_shift", -mean / spread, persistent=False)

    def forward(
        self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[ImageList, Any]:
        """Return the batch and the resized targets of pictures (3, H, W): uint8, or float in 0..1."""
        if images[0].dtype != torch.uint8:
            prepared: tuple[ImageList, Any] = super().forward(images, targets)
            return prepared
        given = [None] * len(images) if targets is None else [dict(target) for target in targets]
        pairs = [self.resize(image, target) for image, target in zip(images, given, strict=True)]
        resized = [image for image, _ in pairs]
        sizes = [(image.shape[-2], image.shape[-1]) for image in resized]
        prepared_targets = None if targets is None else [target for _, target in pairs]
        return ImageList(self._normalise_at_once(resized, sizes), sizes), prepared_targets

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, Any]:
        """Resize picture (3, H, W) and target so that the sides fit the settings."""
        short, long = sorted(image.shape[-2:])
        if self.min_size[0] / short <= self.max_size / long and short == self.min_size[0]:
            return image, target
        to_resize = image if image.is_floating_point() else image.to(self._scale.dtype)
        resized: tuple[Tensor, Any] = super().resize(to_resize, target)
        return resized

    def batch_images(self, images: list[Tensor], size_divisible: int = 32) -> Tensor:
        """Pad pictures into one batch (B, 3, H, W), in the memory layout convolutions are fastest in."""
        batch: Tensor = super().batch_images(images, size_divisible)
        return batch if batch.device.type == "mps" else batch.contiguous(memory_format=torch.channels_last)

    def _normalise_at_once(self, images: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> Tensor:
        device, each = images[0].device, self.size_divisible
        height, width = (-(-max(sides) // each) * each for sides in zip(*sizes, strict=True))
        if self.largest_size:
            height, width = self.largest_size((height, width), device)
        layout = torch.contiguous_format if device.type == "mps" else torch.channels_last
        raw = torch.empty(
            (len(images), 3, height, width), dtype=self._scale.dtype, device=device, memory_format=layout
        )
        for own, image, (rows, columns) in zip(raw, images, sizes, strict=True):
            own[:, :rows, :columns].copy_(image)
        batch = torch.addcmul(self._shift, raw, self._scale)
        for own, (rows, columns) in zip(batch, sizes, strict=True):
            own[:, rows:] = 0.0
            own[:, :, columns:] = 0.0
        return batch
