"""A training picture with its instances, and the operations that change both together.

Masks are cropped to their boxes, so the cost of an operation depends on the size of the instances, not of the
picture. Input arrays are never modified. An instance without pixels left is dropped, with its label. Crowd
regions are moved, cut and covered like instances.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.labelled_pictures import LabelledPicture
from maskloop.masks import crop_mask
from models.operations.crops import MaskCrop

PADDING_RGB: Final = (124, 116, 104)
"""What the network's normalisation makes nearly zero, as its own padding is."""


@dataclass(frozen=True, eq=False)
class TrainingExample:
    """A picture and its instances.

    Attributes:
        pixels: uint8 (H, W, 3).
        labels: int64 (M,), from 1.
        crops: M masks inside their tight boxes, none empty.
        crowds: Crowd regions, none empty; see `models.operations.crowds`.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    crops: tuple[MaskCrop, ...]
    crowds: tuple[MaskCrop, ...] = ()

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width."""
        height_px, width_px, _ = self.pixels.shape
        return height_px, width_px


@dataclass(frozen=True)
class CropArea:
    """A rectangle within a picture, in whole px."""

    left_px: int
    top_px: int
    width_px: int
    height_px: int


def read_example(picture: LabelledPicture, pixels: NDArray[np.uint8]) -> TrainingExample:
    """Put a picture's instances and crowds beside its pixels, uint8 (H, W, 3); empty masks are left out."""
    cropped = [(each, MaskCrop(*crop_mask(each.mask))) for each in picture.instances]
    held = [(each, crop) for each, crop in cropped if crop.pixels.size]
    labels = [each.class_index + 1 for each, _ in held if not each.is_crowd]
    crops = tuple(crop for each, crop in held if not each.is_crowd)
    crowds = tuple(crop for each, crop in held if each.is_crowd)
    return TrainingExample(pixels, np.array(labels, dtype=np.int64), crops, crowds)


def flip_sideways(example: TrainingExample) -> TrainingExample:
    """Exchange left and right."""
    _, width_px = example.size_px

    def flip(crop: MaskCrop) -> MaskCrop:
        return MaskCrop(width_px - crop.left_px - crop.pixels.shape[1], crop.top_px, crop.pixels[:, ::-1])

    return transform(example, example.pixels[:, ::-1], flip)


def flip_upside_down(example: TrainingExample) -> TrainingExample:
    """Exchange top and bottom."""
    height_px, _ = example.size_px

    def flip(crop: MaskCrop) -> MaskCrop:
        return MaskCrop(crop.left_px, height_px - crop.top_px - crop.pixels.shape[0], crop.pixels[::-1])

    return transform(example, example.pixels[::-1], flip)


def cut(example: TrainingExample, window: CropArea, min_visible: float) -> TrainingExample:
    """Cut a window out. Instances of which less than ``min_visible`` (0..1) is left are dropped."""
    right, bottom = window.left_px + window.width_px, window.top_px + window.height_px

    def cut_out(crop: MaskCrop) -> MaskCrop | None:
        return _cut_crop(crop, window.left_px, window.top_px, right, bottom)

    pixels = example.pixels[window.top_px : bottom, window.left_px : right]
    return transform(example, pixels, cut_out, min_visible)


def resize(example: TrainingExample, height_px: int, width_px: int) -> TrainingExample:
    """Scale to a size: pixels bilinearly, with a filter as wide as a shrunken pixel; masks by nearest pixel.

    Pixel ``i`` of ``n`` takes the value at ``(i + 1/2) * N / n`` of ``N``, as the centre of a pixel does in
    Pillow and torchvision.
    """
    old_height_px, old_width_px = example.size_px
    if (old_height_px, old_width_px) == (height_px, width_px):
        return example
    picture = Image.fromarray(np.ascontiguousarray(example.pixels))
    scaled = picture.resize((width_px, height_px), Image.Resampling.BILINEAR)
    rows, columns = nearest(old_height_px, height_px), nearest(old_width_px, width_px)
    return transform(example, np.array(scaled), lambda crop: _sample_crop(crop, rows, columns))


def zoom(
    example: TrainingExample,
    scale: float,
    size_px: tuple[int, int],
    random: np.random.Generator,
    min_visible: float,
) -> TrainingExample:
    """Scale a picture, and cut or pad it to a size.

    Args:
        example: Of any size.
        scale: Above 1 it gets larger.
        size_px: Height and width of the result.
        random: Says where is cut, around one instance, and where on the padding the picture lies.
        min_visible: See `cut`.
    """
    (high_px, new_high_px), (wide_px, new_wide_px) = (
        _fit(old_px, scale, new_px) for old_px, new_px in zip(example.size_px, size_px, strict=True)
    )
    window = choose_window(example, high_px, wide_px, random)
    part = resize(cut(example, window, min_visible), new_high_px, new_wide_px)
    return _pad(part, size_px, random)


def choose_window(
    example: TrainingExample, height_px: int, width_px: int, random: np.random.Generator
) -> CropArea:
    """Choose where to cut a window of this size: so that one instance, drawn at random, is in it.

    An instance larger than the window fills it instead. Without instances all places are as likely.
    """
    own_height_px, own_width_px = example.size_px
    rows, columns = slice(0, own_height_px), slice(0, own_width_px)
    if example.crops:
        rows, columns = place_of(example.crops[random.integers(len(example.crops))])
    left = _choose_start(own_width_px, width_px, columns, random)
    return CropArea(left, _choose_start(own_height_px, height_px, rows, random), width_px, height_px)


def nearest(old_px: int, new_px: int) -> NDArray[np.int64]:
    """Return the old pixel in which each new one's centre lies, in whole numbers, int64 (new_px,).

    >>> nearest(6, 3).tolist(), nearest(2, 4).tolist()
    ([1, 3, 5], [0, 0, 1, 1])
    """
    return (2 * np.arange(new_px, dtype=np.int64) + 1) * old_px // (2 * new_px)


def tighten(left_px: int, top_px: int, pixels: NDArray[np.bool_]) -> MaskCrop | None:
    """Return a mask, bool (h, w), in its tight box; None if it is empty."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not rows.size:
        return None
    tight = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return MaskCrop(left_px + int(columns[0]), top_px + int(rows[0]), tight)


def enough_of(before: MaskCrop, after: MaskCrop | None, min_visible: float) -> MaskCrop | None:
    """Return what is left of a mask; None if that is less than ``min_visible`` (0..1) of its area."""
    if after is None or min_visible == 0.0:
        return after
    return None if after.pixels.sum() < min_visible * before.pixels.sum() else after


def moved(crop: MaskCrop, right_px: int, down_px: int) -> MaskCrop:
    """Return a crop elsewhere."""
    return MaskCrop(crop.left_px + right_px, crop.top_px + down_px, crop.pixels)


def place_of(crop: MaskCrop) -> tuple[slice, slice]:
    """Return the picture's rows and columns that a crop lies in."""
    height_px, width_px = crop.pixels.shape
    return slice(crop.top_px, crop.top_px + height_px), slice(crop.left_px, crop.left_px + width_px)


def transform(
    example: TrainingExample,
    pixels: NDArray[np.uint8],
    change: Callable[[MaskCrop], MaskCrop | None],
    min_visible: float = 0.0,
) -> TrainingExample:
    """Change every mask and crowd region, and put what is left of them beside the new pixels.

    Args:
        example: With the masks as they were.
        pixels: As they are now, uint8 (H, W, 3).
        change: Returns None where nothing is left of a mask.
        min_visible: Instances of whose area less than this share is left are dropped, 0..1.
    """
    changed = [enough_of(crop, change(crop), min_visible) for crop in example.crops]
    left = [(n, crop) for n, crop in zip(example.labels.tolist(), changed, strict=True) if crop is not None]
    labels = np.array([label for label, _ in left], dtype=np.int64)
    crowds = tuple(crop for crop in map(change, example.crowds) if crop is not None)
    return TrainingExample(pixels, labels, tuple(crop for _, crop in left), crowds)


def _fit(old_px: int, scale: float, new_px: int) -> tuple[int, int]:
    """Return how much of a side is used, and how long that becomes: at most ``new_px``."""
    if old_px * scale <= new_px:
        return old_px, max(1, round(old_px * scale))
    return min(old_px, max(1, round(new_px / scale))), new_px


def _choose_start(side_px: int, window_px: int, held: slice, random: np.random.Generator) -> int:
    """Choose where a window starts on a side, so that it holds a part of it, or lies inside that."""
    first, last = sorted((held.start, held.stop - window_px))
    return int(random.integers(max(0, first), min(side_px - window_px, last) + 1))


def _pad(example: TrainingExample, size_px: tuple[int, int], random: np.random.Generator) -> TrainingExample:
    """Lay a picture anywhere onto a ground of one colour."""
    if example.size_px == size_px:
        return example
    height_px, width_px = example.size_px
    top = int(random.integers(size_px[0] - height_px + 1))
    left = int(random.integers(size_px[1] - width_px + 1))
    pixels = np.full((*size_px, 3), PADDING_RGB, dtype=np.uint8)
    pixels[top : top + height_px, left : left + width_px] = example.pixels
    return transform(example, pixels, lambda crop: moved(crop, left, top))


def _sample_crop(crop: MaskCrop, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> MaskCrop | None:
    height_px, width_px = crop.pixels.shape
    top, bottom = np.searchsorted(rows, [crop.top_px, crop.top_px + height_px])
    left, right = np.searchsorted(columns, [crop.left_px, crop.left_px + width_px])
    sampled = crop.pixels[np.ix_(rows[top:bottom] - crop.top_px, columns[left:right] - crop.left_px)]
    return tighten(int(left), int(top), sampled)


def _cut_crop(crop: MaskCrop, left: int, top: int, right: int, bottom: int) -> MaskCrop | None:
    """Return what of a crop lies inside, as seen from the window's corner."""
    up, start = max(0, top - crop.top_px), max(0, left - crop.left_px)
    inside = crop.pixels[up : max(0, bottom - crop.top_px), start : max(0, right - crop.left_px)]
    return tighten(crop.left_px + start - left, crop.top_px + up - top, inside)
