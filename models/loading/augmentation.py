"""Variants of training pictures: flips, scale jitter, crops, mosaics, instances pasted from other pictures.

Pure: what comes out follows from the example, the settings and the generator. The flips draw from the
generator itself, everything else from a child of it, so that switching one of the others on changes neither
which pictures are flipped nor how their colours are jittered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskloop.errors import ConfigurationError
from maskloop.settings.model_settings import AugmentationSettings, TrainingSettings
from models.loading.examples import (
    TrainingExample,
    choose_window,
    cut,
    flip_sideways,
    flip_upside_down,
    moved,
    place_of,
    tighten,
    transform,
    zoom,
)
from models.operations.crops import MaskCrop

Lend = Callable[[np.random.Generator], TrainingExample]
"""Gives another picture of the training, chosen with the generator."""
_PASTED_SHARE: Final = 0.5


def mirrored_labels(class_names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> NDArray[np.int64]:
    """Return what each label is called in a mirror, int64 (C + 1,); label 0 is the background.

    >>> mirrored_labels(["left door", "roof", "right door"], [("left door", "right door")]).tolist()
    [0, 3, 2, 1]

    Raises:
        ConfigurationError: if a pair names a class that the data set does not have.
    """
    label_of = {name: label for label, name in enumerate(class_names, start=1)}
    if unknown := sorted({name for pair in pairs for name in pair} - label_of.keys()):
        raise ConfigurationError(
            f"no class of the data is called {', '.join(unknown)}",
            where="training.augmentation.mirrored_classes",
            hint=f"the classes are {', '.join(class_names)}",
        )
    table = np.arange(len(class_names) + 1, dtype=np.int64)
    for left, right in pairs:
        table[label_of[left]], table[label_of[right]] = label_of[right], label_of[left]
    return table


def augment(
    example: TrainingExample,
    settings: TrainingSettings,
    random: np.random.Generator,
    *,
    mirrored: NDArray[np.int64] | None = None,
    lend: Lend | None = None,
) -> TrainingExample:
    """Return a variant of an example as the settings say.

    Args:
        example: As annotated.
        settings: The flips, and `TrainingSettings.augmentation`.
        random: Two numbers are drawn from it, whatever the settings.
        mirrored: What `mirrored_labels` returns, int64 (C + 1,); None leaves labels as they are.
        lend: Where other pictures come from; None pastes nothing and makes no mosaics.
    """
    example = _flip_at_random(example, settings, random, mirrored)
    extra, own = settings.augmentation, random.spawn(1)[0]

    def borrow(lender: Lend) -> TrainingExample:
        return _flip_at_random(lender(own), settings, own, mirrored)

    if lend and own.random() < extra.mosaic:
        example = make_mosaic([example, *(borrow(lend) for _ in range(3))], own, extra.min_visible)
    example = _jitter_scale(example, example.size_px, extra, own)
    if own.random() < extra.crop:
        example = crop_at_random(example, extra.min_crop_side, own, extra.min_visible)
    if lend and own.random() < extra.copy_paste:
        donor = _jitter_scale(borrow(lend), example.size_px, extra, own)
        example = paste_instances(example, donor, own, extra.min_visible)
    return example


def crop_at_random(
    example: TrainingExample, min_side: float, random: np.random.Generator, min_visible: float
) -> TrainingExample:
    """Cut a window out with sides of ``min_side`` to 1 times the picture's, around one of its instances."""
    shares = random.uniform(min_side, 1.0, 2)
    sides = [max(1, round(share * side)) for share, side in zip(shares, example.size_px, strict=True)]
    return cut(example, choose_window(example, sides[0], sides[1], random), min_visible)


def paste_instances(
    example: TrainingExample, donor: TrainingExample, random: np.random.Generator, min_visible: float
) -> TrainingExample:
    """Paste each instance of a donor of the same size with a chance of one half.

    What they cover is taken from the instances and crowd regions below. Instances of which less than
    ``min_visible`` is left are dropped. Edges are not blended, which was found to make no difference: Ghiasi
    et al., "Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation", 2021,
    arXiv:2012.07177.
    """
    chosen = np.flatnonzero(random.random(len(donor.crops)) < _PASTED_SHARE)
    if not chosen.size:
        return example
    pixels, covered = example.pixels.copy(), np.zeros(example.size_px, dtype=bool)
    pasted = tuple(donor.crops[index] for index in chosen)
    for crop in pasted:
        place = place_of(crop)
        pixels[place][crop.pixels] = donor.pixels[place][crop.pixels]
        covered[place] |= crop.pixels
    below = transform(example, pixels, lambda crop: _uncovered(crop, covered), min_visible)
    labels = np.concatenate([below.labels, donor.labels[chosen]])
    return TrainingExample(pixels, labels, (*below.crops, *pasted), below.crowds)


def make_mosaic(
    four: Sequence[TrainingExample], random: np.random.Generator, min_visible: float
) -> TrainingExample:
    """Combine four pictures around a point near the centre of the first, each filling one corner.

    From Bochkovskiy et al., "YOLOv4", 2020, arXiv:2004.10934. A picture 1 px high or wide stays as it is.
    """
    height_px, width_px = four[0].size_px
    if min(height_px, width_px) < 2:
        return four[0]
    down, across = (_near_the_middle(side_px, random) for side_px in (height_px, width_px))
    corners = [(0, 0, down, across), (0, across, down, width_px - across)]
    corners += [(down, left, height_px - down, wide) for _, left, _, wide in corners]
    pixels = np.empty((height_px, width_px, 3), dtype=np.uint8)
    labels: list[NDArray[np.int64]] = []
    crops: list[MaskCrop] = []
    crowds: list[MaskCrop] = []
    for part, (top, left, high, wide) in zip(four, corners, strict=True):
        scale = max(high / part.size_px[0], wide / part.size_px[1])
        filled = zoom(part, scale, (high, wide), random, min_visible)
        pixels[top : top + high, left : left + wide] = filled.pixels
        labels.append(filled.labels)
        crops += [moved(crop, left, top) for crop in filled.crops]
        crowds += [moved(crop, left, top) for crop in filled.crowds]
    return TrainingExample(pixels, np.concatenate(labels), tuple(crops), tuple(crowds))


def _flip_at_random(
    example: TrainingExample,
    settings: TrainingSettings,
    random: np.random.Generator,
    mirrored: NDArray[np.int64] | None,
) -> TrainingExample:
    """Flip as the settings say. What is flipped both ways is turned, not mirrored, and keeps its names."""
    sideways = random.random() < settings.horizontal_flip
    upside_down = random.random() < settings.vertical_flip
    if sideways:
        example = flip_sideways(example)
    if upside_down:
        example = flip_upside_down(example)
    if mirrored is not None and sideways != upside_down:
        example = replace(example, labels=mirrored[example.labels])
    return example


def _jitter_scale(
    example: TrainingExample,
    size_px: tuple[int, int],
    extra: AugmentationSettings,
    random: np.random.Generator,
) -> TrainingExample:
    """Fit an example into a size, times a scale drawn evenly from the range in the settings.

    ``(0.8, 1.25)`` is the standard, ``(0.1, 2.0)`` the large-scale jitter of Ghiasi et al., see above.
    """
    if extra.scale_range == (1.0, 1.0) and example.size_px == size_px:
        return example
    fitting = min(new / old for new, old in zip(size_px, example.size_px, strict=True))
    return zoom(example, fitting * random.uniform(*extra.scale_range), size_px, random, extra.min_visible)


def _uncovered(crop: MaskCrop, covered: NDArray[np.bool_]) -> MaskCrop | None:
    return tighten(crop.left_px, crop.top_px, crop.pixels & ~covered[place_of(crop)])


def _near_the_middle(side_px: int, random: np.random.Generator) -> int:
    return int(random.integers(max(1, side_px // 4), side_px - side_px // 4))
