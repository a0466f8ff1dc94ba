"""Dataset pictures as the network learns from them: decoded, augmented, with boxes, labels and cropped masks.

What a picture looks like at a step follows from (seed, step, place in the batch) alone, so that a resumed
run sees exactly what the uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from maskloop.errors import DataError
from maskloop.settings.model_settings import TrainingSettings
from models.loading.augmentation import Lend, augment, mirrored_labels
from models.loading.examples import TrainingExample, read_example
from models.operations.mask_targets import make_target

LoadPicture = Callable[[Path], NDArray[np.uint8]]
_CACHE_BYTES: Final = 2**30


@dataclass(frozen=True)
class TrainingBatch:
    """The input of one training step.

    Attributes:
        images: B uint8 tensors (3, H, W).
        targets: B dictionaries; see `models.operations.mask_targets.make_target`.
        names: The pictures' file names, for messages.
    """

    images: list[Tensor]
    targets: list[dict[str, Tensor]]
    names: tuple[str, ...]

    def cut(self, sizes: Sequence[int]) -> list[TrainingBatch]:
        """Return so many pictures at a time, as they follow one another."""
        ends = [*accumulate(sizes, initial=0)]
        return [
            TrainingBatch(self.images[start:end], self.targets[start:end], self.names[start:end])
            for start, end in pairwise(ends)
        ]

    def to(self, device: torch.device) -> TrainingBatch:
        """Return the batch on a device, without waiting for it."""
        images = [_send(image, device) for image in self.images]
        targets = [
            {name: _send(tensor, device) for name, tensor in target.items()} for target in self.targets
        ]
        return TrainingBatch(images, targets, self.names)


def _send(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy to a device. Only from pinned memory does a GPU fetch by itself."""
    source = tensor.pin_memory() if device.type == "cuda" else tensor
    return source.to(device, non_blocking=True)


class PictureCache:
    """Decoded pictures of one data version, kept in memory up to a limit. May be shared between threads."""

    def __init__(
        self, dataset: DatasetVersion, load_picture: LoadPicture, *, limit_bytes: int = _CACHE_BYTES
    ) -> None:
        self.dataset, self._load, self._lock = dataset, load_picture, Lock()
        self._room_bytes = limit_bytes
        self._kept: dict[str, NDArray[np.uint8]] = {}

    def pixels(self, picture: LabelledPicture) -> NDArray[np.uint8]:
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
        self,
        cache: PictureCache,
        plan: Sequence[Sequence[LabelledPicture]],
        settings: TrainingSettings,
        *,
        places: Sequence[int] | None = None,
    ) -> None:
        """Make batches.

        Args:
            cache: Where pixels come from.
            plan: The pictures of each batch.
            settings: How pictures are varied, and by how many threads.
            places: The places in a batch that are made, which look as they do in the whole batch; None makes
                all.
        """
        self._cache, self._plan, self._settings, self._places = cache, plan, settings, places
        pairs = settings.augmentation.mirrored_classes
        self._mirrored = mirrored_labels(cache.dataset.class_names, pairs) if pairs else None

    def from_step(self, first_step: int) -> Generator[TrainingBatch, None, None]:
        """Yield the batches of steps ``first_step``, ``first_step + 1``, … (from 0) to the plan's end."""
        steps = range(first_step, len(self._plan))
        workers = self._settings.num_workers
        if workers == 0:
            yield from map(self.make, steps)
            return
        with ThreadPoolExecutor(workers) as pool:
            waiting: list[Future[TrainingBatch]] = [pool.submit(self.make, step) for step in steps[:workers]]
            for step in steps:
                if step + workers < len(self._plan):
                    waiting.append(pool.submit(self.make, step + workers))
                yield waiting.pop(0).result()

    def make(self, step: int) -> TrainingBatch:
        """Make the batch of one step."""
        pictures = self._plan[step]
        places = range(len(pictures)) if self._places is None else self._places
        own = [(place, pictures[place]) for place in places]
        examples = [
            make_example(
                picture,
                self._cache.pixels(picture),
                self._settings,
                np.random.default_rng([self._settings.seed, step, place]),
                mirrored=self._mirrored,
                lend=self._lend,
            )
            for place, picture in own
        ]
        return TrainingBatch(
            [image for image, _ in examples],
            [target for _, target in examples],
            tuple(picture.name for _, picture in own),
        )

    def _lend(self, random: np.random.Generator) -> TrainingExample:
        """Draw any picture of the plan, so one that is seen more often is also lent more often."""
        pictures = self._plan[int(random.integers(len(self._plan)))]
        picture = pictures[int(random.integers(len(pictures)))]
        return read_example(picture, self._cache.pixels(picture))


def make_example(
    picture: LabelledPicture,
    pixels: NDArray[np.uint8],
    settings: TrainingSettings,
    random: np.random.Generator,
    *,
    mirrored: NDArray[np.int64] | None = None,
    lend: Lend | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return one augmented picture, uint8 (3, H, W), and its target; see `augment` and `make_target`."""
    example = augment(read_example(picture, pixels), settings, random, mirrored=mirrored, lend=lend)
    jittered = jitter_colours(example.pixels, settings.colour_jitter, random)
    image = torch.from_numpy(np.array(jittered, order="C")).permute(2, 0, 1)  # a copy: pixels may be cached
    height_px, width_px = example.size_px
    target = make_target(
        example.crops, example.labels, height_px=height_px, width_px=width_px, crowds=example.crowds
    )
    return image, target


def jitter_colours(
    pixels: NDArray[np.uint8], strength: float, random: np.random.Generator
) -> NDArray[np.uint8]:
    """Scale contrast, brightness and each channel of uint8 (H, W, 3) by factors in ``1 ± strength``."""
    if strength == 0.0:
        return pixels
    contrast, brightness, *channels = random.uniform(1.0 - strength, 1.0 + strength, 5).tolist()
    levels, mean = np.arange(256.0), pixels.mean()
    contrasted = (levels - mean) * contrast + mean
    jittered = np.empty_like(pixels)
    for channel, gain in enumerate(channels):
        table = np.rint(contrasted * (gain * brightness)).clip(0, 255).astype(np.uint8)
        np.take(table, pixels[:, :, channel], out=jittered[:, :, channel], mode="clip")
    return jittered
