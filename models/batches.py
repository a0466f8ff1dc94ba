"""Dataset pictures as torchvision wants them: decoded, augmented, with boxes, labels and masks.

What a picture looks like at a step follows from (seed, step, place in the batch) alone, so that a resumed
run sees exactly what the uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataset.samples import DatasetVersion, Picture
from maskloop.errors import DataError
from maskloop.masks import areas_px, boxes_xyxy, decode_masks
from maskloop.settings import TrainingSettings

LoadPicture = Callable[[Path], NDArray[np.uint8]]
_CACHE_BYTES: Final = 2**30


@dataclass(frozen=True)
class Batch:
    """One training step's input.

    Attributes:
        images: B float32 tensors (3, H, W) in 0..1.
        targets: B dictionaries: ``boxes`` float32 (M, 4) x0, y0, x1, y1 in px, ``labels`` int64 (M,) from 1,
            ``masks`` uint8 (M, H, W).
        names: The pictures' file names, for messages.
    """

    images: list[Tensor]
    targets: list[dict[str, Tensor]]
    names: tuple[str, ...]

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        images = [image.to(device, non_blocking=True) for image in self.images]
        targets = [
            {name: tensor.to(device, non_blocking=True) for name, tensor in target.items()}
            for target in self.targets
        ]
        return Batch(images, targets, self.names)


class PictureCache:
    """Decoded pictures of one data version, kept in memory up to a limit."""

    def __init__(
        self, dataset: DatasetVersion, load_picture: LoadPicture, *, limit_bytes: int = _CACHE_BYTES
    ) -> None:
        self._dataset, self._load = dataset, load_picture
        self._room_bytes = limit_bytes
        self._kept: dict[str, NDArray[np.uint8]] = {}

    def pixels(self, picture: Picture) -> NDArray[np.uint8]:
        """Return uint8 (H, W, 3).

        Raises:
            DataError: if the file does not have the size the data version recorded.
        """
        if (kept := self._kept.get(picture.digest)) is not None:
            return kept
        pixels = self._load(self._dataset.path(picture))
        if pixels.shape != (picture.height_px, picture.width_px, 3):
            raise DataError(f"the picture is {pixels.shape}, not as recorded", where=picture.name)
        if pixels.nbytes <= self._room_bytes:
            self._room_bytes -= pixels.nbytes
            self._kept[picture.digest] = pixels
        return pixels


class BatchStream:
    """Makes the batches of a plan, ahead of time in threads if the settings ask for workers."""

    def __init__(
        self, cache: PictureCache, plan: Sequence[Sequence[Picture]], settings: TrainingSettings
    ) -> None:
        self._cache, self._plan, self._settings = cache, plan, settings

    def from_step(self, first_step: int) -> Iterator[Batch]:
        """Yield the batches of steps ``first_step``, ``first_step + 1``, … (from 0) to the plan's end."""
        steps = range(first_step, len(self._plan))
        workers = self._settings.num_workers
        if workers == 0:
            yield from map(self.make, steps)
            return
        with ThreadPoolExecutor(workers) as pool:
            waiting: list[Future[Batch]] = [pool.submit(self.make, step) for step in steps[:workers]]
            for step in steps:
                if step + workers < len(self._plan):
                    waiting.append(pool.submit(self.make, step + workers))
                yield waiting.pop(0).result()

    def make(self, step: int) -> Batch:
        """Make the batch of one step."""
        pictures = self._plan[step]
        examples = [
            make_example(
                picture,
                self._cache.pixels(picture),
                self._settings,
                np.random.default_rng([self._settings.seed, step, place]),
            )
            for place, picture in enumerate(pictures)
        ]
        return Batch(
            [image for image, _ in examples],
            [target for _, target in examples],
            tuple(picture.name for picture in pictures),
        )


def make_example(
    picture: Picture, pixels: NDArray[np.uint8], settings: TrainingSettings, random: np.random.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return one augmented picture and its target. Crowds and empty masks are left out of the target."""
    instances = [each for each in picture.instances if not each.is_crowd]
    rles = [each.mask for each in instances]
    masks = decode_masks(rles, height_px=picture.height_px, width_px=picture.width_px)
    boxes, labels = boxes_xyxy(rles), np.array([each.class_index + 1 for each in instances], dtype=np.int64)
    visible = areas_px(rles) > 0
    masks, boxes, labels = masks[visible], boxes[visible], labels[visible]
    if random.random() < settings.horizontal_flip:
        pixels, masks = pixels[:, ::-1], masks[:, :, ::-1]
        boxes[:, [0, 2]] = picture.width_px - boxes[:, [2, 0]]
    if random.random() < settings.vertical_flip:
        pixels, masks = pixels[::-1], masks[:, ::-1]
        boxes[:, [1, 3]] = picture.height_px - boxes[:, [3, 1]]
    image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float().div_(255.0)
    target = {
        "boxes": torch.from_numpy(boxes.astype(np.float32)),
        "labels": torch.from_numpy(labels),
        "masks": torch.from_numpy(np.ascontiguousarray(masks).view(np.uint8)),
    }
    return jitter_colours(image, settings.colour_jitter, random), target


def jitter_colours(image: Tensor, strength: float, random: np.random.Generator) -> Tensor:
    """Scale contrast, brightness and each channel by factors in ``1 ± strength``; (3, H, W) in 0..1."""
    if strength == 0.0:
        return image
    contrast, brightness, *channels = random.uniform(1.0 - strength, 1.0 + strength, 5).tolist()
    gains = torch.tensor(channels, dtype=torch.float32).view(3, 1, 1) * brightness
    mean = image.mean()
    jittered: Tensor = ((image - mean) * contrast + mean).mul_(gains).clamp_(0.0, 1.0)
    return jittered
