"""Dataset pictures as torchvision wants them: decoded, augmented, with boxes, labels and masks.

What a picture looks like at a step follows from (seed, step, place in the batch) alone, so that a resumed
run sees exactly what the uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataset.samples import DatasetVersion, Picture
from maskloop.errors import DataError
from maskloop.settings import TrainingSettings
from models.augmentation import Lend, augment, mirrored_labels
from models.examples import Example, place_of, read_example

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
    """Decoded pictures of one data version, kept in memory up to a limit. May be shared between threads."""

    def __init__(
        self, dataset: DatasetVersion, load_picture: LoadPicture, *, limit_bytes: int = _CACHE_BYTES
    ) -> None:
        self.dataset, self._load, self._lock = dataset, load_picture, Lock()
        self._room_bytes = limit_bytes
        self._kept: dict[str, NDArray[np.uint8]] = {}

    def pixels(self, picture: Picture) -> NDArray[np.uint8]:
        """Return uint8 (H, W, 3).

        Raises:
            DataError: if the file does not have the size the data version recorded.
        """
        if (kept := self._kept.get(picture.digest)) is not None:
            return kept
        pixels = self._load(self.dataset.path(picture))
        if pixels.shape != (picture.height_px, picture.width_px, 3):
            raise DataError(f"the picture is {pixels.shape}, not as recorded", where=picture.name)
        with self._lock:
            if picture.digest not in self._kept and pixels.nbytes <= self._room_bytes:
                self._room_bytes -= pixels.nbytes
                self._kept[picture.digest] = pixels
        return pixels


class BatchStream:
    """Makes the batches of a plan, ahead of time in threads if the settings ask for workers.

    Threads are enough: Pillow and NumPy let others run while they decode and copy. They share the data
    version, the plan and the decoded pictures as they are, so memory does not grow with their number, except
    for the one batch that each makes ahead.

    Raises:
        ConfigurationError: if the settings name mirrored classes that the data set does not have.
    """

    def __init__(
        self, cache: PictureCache, plan: Sequence[Sequence[Picture]], settings: TrainingSettings
    ) -> None:
        self._cache, self._plan, self._settings = cache, plan, settings
        pairs = settings.augmentation.mirrored_classes
        self._mirrored = mirrored_labels(cache.dataset.class_names, pairs) if pairs else None

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
                mirrored=self._mirrored,
                lend=self._lend,
            )
            for place, picture in enumerate(pictures)
        ]
        return Batch(
            [image for image, _ in examples],
            [target for _, target in examples],
            tuple(picture.name for picture in pictures),
        )

    def _lend(self, random: np.random.Generator) -> Example:
        """Draw any picture of the plan, so one that is seen more often is also lent more often."""
        pictures = self._plan[int(random.integers(len(self._plan)))]
        picture = pictures[int(random.integers(len(pictures)))]
        return read_example(picture, self._cache.pixels(picture))


def make_example(
    picture: Picture,
    pixels: NDArray[np.uint8],
    settings: TrainingSettings,
    random: np.random.Generator,
    *,
    mirrored: NDArray[np.int64] | None = None,
    lend: Lend | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return one augmented picture and its target; see `augment`."""
    example = augment(read_example(picture, pixels), settings, random, mirrored=mirrored, lend=lend)
    image = torch.from_numpy(np.ascontiguousarray(example.pixels.transpose(2, 0, 1))).float().div_(255.0)
    return jitter_colours(image, settings.colour_jitter, random), _target_of(example)


def _target_of(example: Example) -> dict[str, Tensor]:
    boxes = np.array([crop.box_xyxy for crop in example.crops], dtype=np.float32).reshape(-1, 4)
    masks = np.zeros((len(example.crops), *example.size_px), dtype=np.uint8)
    for mask, crop in zip(masks, example.crops, strict=True):
        mask[place_of(crop)] = crop.pixels
    return {
        "boxes": torch.from_numpy(boxes),
        "labels": torch.from_numpy(example.labels),
        "masks": torch.from_numpy(masks),
    }


def jitter_colours(image: Tensor, strength: float, random: np.random.Generator) -> Tensor:
    """Scale contrast, brightness and each channel by factors in ``1 ± strength``; (3, H, W) in 0..1."""
    if strength == 0.0:
        return image
    contrast, brightness, *channels = random.uniform(1.0 - strength, 1.0 + strength, 5).tolist()
    gains = torch.tensor(channels, dtype=torch.float32).view(3, 1, 1) * brightness
    mean = image.mean()
    jittered: Tensor = ((image - mean) * contrast + mean).mul_(gains).clamp_(0.0, 1.0)
    return jittered
