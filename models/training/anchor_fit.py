"""Anchors fitted to the boxes of a data set, and how many boxes anchors reach.

The proposal network learns a box from the anchors that overlap it: those of IoU 0.7 or more, or else the best
one. Boxes that no anchor comes near, mostly small ones, are learned late or never. Where anchors lie is
known: on a grid, one place every stride. So the best IoU of a box follows from the place next to its centre,
and sizes and aspect ratios can be searched for directly. Clustering the sizes of boxes, as Redmon and Farhadi
do ("YOLO9000", 2017, arXiv:1612.08242, section 2), gives sizes without levels; here each level has its own,
all share the aspect ratios, and the grid counts. What is made large is theirs: the mean of the best IoU.

Shape suffix: N boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.labelled_pictures import LabelledPicture
from maskloop.masks import boxes_xyxy

SMALL_AREA_PX: Final = 32**2
"""A smaller box is small, in px as the network sees it; the number is COCO's."""
_DIVISIBLE_PX: Final = 32
_MAX_BOXES_SEARCHED: Final = 5000
_STEPS: Final = (1.5, 1.25, 1.1, 1.05, 1.02)
_MIN_SIZE_PX: Final = 2


@dataclass(frozen=True)
class AnchorShapes:
    """What anchors look like.

    Attributes:
        sizes_px: For each level of the pyramid, finest first, the side of a square anchor.
        aspect_ratios: Height over width, at all levels; the area stays.
    """

    sizes_px: tuple[tuple[int, ...], ...]
    aspect_ratios: tuple[float, ...]


@dataclass(frozen=True)
class SeenBoxes:
    """Boxes as the network sees them, in px of the resized pictures.

    Attributes:
        xyxy: float64 (N, 4).
        picture_sizes: int64 (N, 2), height and width of each box's picture.
    """

    xyxy: NDArray[np.float64]
    picture_sizes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, some: NDArray[np.generic]) -> SeenBoxes:
        return SeenBoxes(self.xyxy[some], self.picture_sizes[some])

    def sides_px(self) -> NDArray[np.float64]:
        """Return width and height of each box, float64 (N, 2)."""
        return self.xyxy[:, 2:] - self.xyxy[:, :2]

    def is_small(self) -> NDArray[np.bool_]:
        """Return which boxes have an area below `SMALL_AREA_PX`, bool (N,)."""
        small: NDArray[np.bool_] = self.sides_px().prod(axis=1) < SMALL_AREA_PX
        return small


@dataclass(frozen=True)
class AnchorRecall:
    """How many boxes have an anchor that overlaps them well; None where there are no boxes.

    Attributes:
        num_boxes: How many there are.
        mean_iou: 0..1, of each box with its best anchor.
        at_50: 0..1, share of the boxes with an anchor of IoU 0.5 or more.
        at_70: 0..1, the same for 0.7, from where on an anchor is an example of an object.
    """

    num_boxes: int
    mean_iou: float | None
    at_50: float | None
    at_70: float | None


def see_boxes(pictures: Sequence[LabelledPicture], *, min_size_px: int, max_size_px: int) -> SeenBoxes:
    """Return the boxes of all instances but crowds, scaled as torchvision scales the pictures."""
    boxes, sizes = [np.zeros((0, 4))], [np.zeros((0, 2), dtype=np.int64)]
    for picture in pictures:
        own = boxes_xyxy([each.mask for each in picture.instances if not each.is_crowd])
        original = np.array([picture.height_px, picture.width_px])
        scale = min(min_size_px / original.min(), max_size_px / original.max())
        resized = np.maximum(np.floor(original * scale), 1).astype(np.int64)
        boxes.append(own * np.tile((resized / original)[::-1], 2))
        sizes.append(np.tile(resized, (len(own), 1)))
    return SeenBoxes(np.concatenate(boxes), np.concatenate(sizes))


def measure_best_iou(
    boxes: SeenBoxes, shapes: AnchorShapes, strides_px: Sequence[int]
) -> NDArray[np.float64]:
    """Return the IoU of each box with the anchor that overlaps it most, float64 (N,).

    Args:
        boxes: What is to be found.
        shapes: Of the anchors.
        strides_px: Of each level: how far apart anchors lie.
    """
    best = np.zeros(len(boxes))
    for sizes_px, stride_px in zip(shapes.sizes_px, strides_px, strict=True):
        centres = _nearest_places(boxes, stride_px)
        for sides_px in _sides_of(sizes_px, shapes.aspect_ratios):
            np.maximum(best, _iou_at(boxes, centres, sides_px), out=best)
    return best


def measure_recall(boxes: SeenBoxes, shapes: AnchorShapes, strides_px: Sequence[int]) -> AnchorRecall:
    """Return how many boxes the anchors reach."""
    if not len(boxes):
        return AnchorRecall(0, None, None, None)
    best = measure_best_iou(boxes, shapes, strides_px)
    at_50, at_70 = (float((best >= iou).mean()) for iou in (0.5, 0.7))
    return AnchorRecall(len(boxes), float(best.mean()), at_50, at_70)


def fit_anchors(boxes: SeenBoxes, present: AnchorShapes, strides_px: Sequence[int]) -> AnchorShapes:
    """Search for anchors of as many sizes and ratios that overlap the boxes more, on average.

    One number is changed at a time, by ever smaller factors, as long as that helps: from the present anchors,
    and from quantiles of the boxes' sizes and ratios. Coarser levels keep the larger anchors, and none that
    are smaller than their stride: boxes would fall between those. The better end is taken, so it is never
    worse than the present anchors on the boxes searched (all of them, or 5000 drawn from more). The same
    boxes give the same anchors.

    Raises:
        ValueError: if there are no boxes.
    """
    if not len(boxes):
        raise ValueError("anchors cannot be fitted to no boxes")
    if len(boxes) > _MAX_BOXES_SEARCHED:
        drawn = np.random.default_rng(0).choice(len(boxes), _MAX_BOXES_SEARCHED, replace=False)
        boxes = boxes[np.sort(drawn)]
    starts = present, _like_the_boxes(boxes, present, strides_px)
    ends = [_climb(boxes, start, strides_px) for start in starts]
    return max(ends, key=lambda end: end[0])[1]


def _nearest_places(boxes: SeenBoxes, stride_px: int) -> NDArray[np.float64]:
    """Return the grid's place next to each box's centre, x and y in px, float64 (N, 2)."""
    padded = -(-boxes.picture_sizes[:, ::-1] // _DIVISIBLE_PX) * _DIVISIBLE_PX
    last = -(-padded // stride_px) - 1
    centres = (boxes.xyxy[:, :2] + boxes.xyxy[:, 2:]) / 2
    nearest: NDArray[np.float64] = np.minimum(np.round(centres / stride_px), last) * stride_px
    return nearest


def _sides_of(sizes_px: Sequence[int], aspect_ratios: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Yield width and height of each anchor, rounded as torchvision rounds them."""
    for ratio in aspect_ratios:
        by_height = np.sqrt(np.float32(ratio))
        for size_px in sizes_px:
            sides = np.float32(size_px) * np.array([1 / by_height, by_height], dtype=np.float32)
            width, height = 2 * np.round(sides / 2)
            yield float(width), float(height)


def _iou_at(
    boxes: SeenBoxes, centres: NDArray[np.float64], sides_px: tuple[float, float]
) -> NDArray[np.float64]:
    half = np.array(sides_px) / 2
    low = np.maximum(boxes.xyxy[:, :2], centres - half)
    high = np.minimum(boxes.xyxy[:, 2:], centres + half)
    shared = np.clip(high - low, 0.0, None).prod(axis=1)
    either = boxes.sides_px().prod(axis=1) + sides_px[0] * sides_px[1] - shared
    iou: NDArray[np.float64] = shared / np.maximum(either, np.finfo(float).tiny)
    return iou


def _like_the_boxes(boxes: SeenBoxes, present: AnchorShapes, strides_px: Sequence[int]) -> AnchorShapes:
    """Return quantiles of the boxes' sizes and ratios, as many as there are at present."""
    sides = np.maximum(boxes.sides_px(), 1.0)
    counts = [len(sizes) for sizes in present.sizes_px]
    sizes = iter(_middles(np.sqrt(sides.prod(axis=1)), sum(counts)))
    ratios = _middles(sides[:, 1] / sides[:, 0], len(present.aspect_ratios))
    levels = zip(counts, strides_px, strict=True)
    return AnchorShapes(
        tuple(tuple(max(_whole(next(sizes)), stride) for _ in range(count)) for count, stride in levels),
        tuple(_short(ratio) for ratio in ratios),
    )


def _middles(values: NDArray[np.float64], count: int) -> list[float]:
    middles: list[float] = np.quantile(values, (np.arange(count) + 0.5) / count).tolist()
    return middles


def _climb(boxes: SeenBoxes, start: AnchorShapes, strides_px: Sequence[int]) -> tuple[float, AnchorShapes]:
    """Return the mean IoU and the anchors from where no step of any number leads higher."""
    best, height = start, float(measure_best_iou(boxes, start, strides_px).mean())
    for step in _STEPS:
        rose = True
        while rose:
            rose = False
            for number in range(_count_numbers(best)):
                for factor in (step, 1 / step):
                    tried = _change(best, number, factor)
                    if not _is_orderly(tried, strides_px):
                        continue
                    reached = float(measure_best_iou(boxes, tried, strides_px).mean())
                    if reached > height:
                        best, height, rose = tried, reached, True
    return height, best


def _is_orderly(shapes: AnchorShapes, strides_px: Sequence[int]) -> bool:
    levels = shapes.sizes_px
    grows = all(max(finer) <= min(coarser) for finer, coarser in pairwise(levels))
    return grows and all(min(sizes) >= stride for sizes, stride in zip(levels, strides_px, strict=True))


def _count_numbers(shapes: AnchorShapes) -> int:
    return sum(len(sizes) for sizes in shapes.sizes_px) + len(shapes.aspect_ratios)


def _change(shapes: AnchorShapes, number: int, factor: float) -> AnchorShapes:
    """Multiply one of the numbers, counted through all sizes and then the ratios."""
    levels = []
    for sizes in shapes.sizes_px:
        inside = range(len(sizes))
        levels.append(tuple(_scale(sizes[at], factor) if at == number else sizes[at] for at in inside))
        number -= len(sizes)
    ratios = enumerate(shapes.aspect_ratios)
    return AnchorShapes(
        tuple(levels), tuple(_short(ratio * factor) if at == number else ratio for at, ratio in ratios)
    )


def _scale(size_px: int, factor: float) -> int:
    """Return a whole number at least one larger, or smaller, than before."""
    scaled = _whole(size_px * factor)
    return scaled if scaled != size_px else max(size_px + (1 if factor > 1 else -1), _MIN_SIZE_PX)


def _whole(size_px: float) -> int:
    return max(round(size_px), _MIN_SIZE_PX)


def _short(ratio: float) -> float:
    """Round to three significant digits, as a settings file shows them."""
    return float(f"{ratio:.3g}")
