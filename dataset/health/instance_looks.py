"""What instances look like, in a few numbers that need no model, and what lies around them.

Shape comes from the mask alone; colour is taken inside the mask and, for comparison, in a frame around it.
Means over the instances of a class in pictures that belong together are what is compared between batches:
instances of one picture share its light and are not independent.

Shape suffixes: N groups of pictures, F features.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.labelled_pictures import LabelledInstance
from maskloop.masks import Rle, areas_px, boxes_xyxy, crop_mask

MAX_INSTANCES: Final = 12
"""Instances of one class that are measured in one picture, evenly spread over its list."""
_MIN_SIDE_PX: Final = 3
_FRAME_SHARE: Final = 0.25
_MIN_FRAME_PX: Final = 3
_LUMA: Final = np.array((0.299, 0.587, 0.114))
_DARK: Final = 0.01
"""Added before logarithms are taken, of 1: levels of black say nothing."""


@dataclass(frozen=True)
class LookFeature:
    """One number about an instance.

    Attributes:
        name: What it is, as a sentence says it.
        follows_camera: It changes with the camera even for the same objects, so it says nothing about a class
            unless there is something else in the pictures that shows how much the camera changed it.
    """

    name: str
    follows_camera: bool


LOOK_FEATURES: Final = (
    LookFeature("size in the picture", follows_camera=True),
    LookFeature("width by height", follows_camera=False),
    LookFeature("share of its box", follows_camera=False),
    LookFeature("length of its border", follows_camera=False),
    LookFeature("brightness", follows_camera=True),
    LookFeature("red against green", follows_camera=True),
    LookFeature("blue against green", follows_camera=True),
    LookFeature("texture", follows_camera=True),
    LookFeature("brightness against its surroundings", follows_camera=False),
    LookFeature("red against green, against its surroundings", follows_camera=False),
    LookFeature("blue against green, against its surroundings", follows_camera=False),
)
"""Sizes and colours are logarithms of quantities and ratios: where a camera is twice as sensitive to red, the
same is added to every object."""
FIRST_COLOUR: Final = 4
"""This feature and all after it are taken from pixels, those before it from masks alone."""
TEXTURE: Final = 7
BACKGROUND_FEATURES: Final = (4, 5, 6, 7)
"""Features that the pixels outside all masks have too."""


@dataclass(frozen=True)
class PictureLooks:
    """The looks of one picture.

    Attributes:
        group: Of the picture: pictures of one group count as one.
        by_class: Of each class in it, the mean over its instances, float64 (F,).
        background: Of the pixels outside all masks, float64 (F,); NaN where background has no such number.
        shown: Of each class, the position of its largest measured instance.
    """

    group: str
    by_class: dict[int, NDArray[np.float64]]
    background: NDArray[np.float64]
    shown: dict[int, int]


def measure_picture(
    pixels: NDArray[np.uint8], instances: Sequence[LabelledInstance], group: str
) -> PictureLooks:
    """Measure the instances of a picture, uint8 (H, W, 3), without crowd regions and specks."""
    boxes = boxes_xyxy([one.mask for one in instances]).astype(int)
    areas = areas_px([one.mask for one in instances])
    large = ((boxes[:, 2:] - boxes[:, :2]) >= _MIN_SIDE_PX).all(axis=1)
    labels: dict[int, list[int]] = defaultdict(list)
    for label in np.flatnonzero(large).tolist():
        if not instances[label].is_crowd:
            labels[instances[label].class_index].append(label)
    covered = np.zeros(pixels.shape[:2], dtype=bool)
    for one, (left, top, right, bottom) in zip(instances, boxes.tolist(), strict=True):
        covered[top:bottom, left:right] |= _pixels_of(one.mask)
    planes = np.moveaxis(pixels.astype(np.float32) / np.float32(255), 2, 0)
    background = np.full(len(LOOK_FEATURES), np.nan)
    if not covered.all():
        background[list(BACKGROUND_FEATURES)] = _colours(planes[:, ~covered])
    by_class, shown = {}, {}
    for class_index, found in labels.items():
        chosen = [found[place] for place in np.linspace(0, len(found) - 1, MAX_INSTANCES).astype(int)]
        chosen = list(dict.fromkeys(chosen))
        by_class[class_index] = np.mean(
            [_measure(planes, instances[label].mask, covered) for label in chosen], axis=0
        )
        shown[class_index] = max(chosen, key=lambda label: (int(areas[label]), -label))
    return PictureLooks(group, by_class, background, shown)


def _measure(planes: NDArray[np.float32], mask: Rle, covered: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the features of one instance, float64 (F,)."""
    left, top, inside = crop_mask(mask)
    height, width = inside.shape
    area = int(inside.sum())
    padded = np.pad(inside, 1)
    border_px = int((padded[1:] != padded[:-1]).sum() + (padded[:, 1:] != padded[:, :-1]).sum())
    shape = (
        np.log(area / covered.size),
        np.log(width / height),
        area / (width * height),
        np.log(border_px / (2.0 * (width + height))),
    )
    own = _colours(planes[:, top : top + height, left : left + width][:, inside])
    margin = max(_MIN_FRAME_PX, round(_FRAME_SHARE * max(height, width)))
    rows, columns = (
        slice(max(0, top - margin), top + height + margin),
        slice(max(0, left - margin), left + width + margin),
    )
    free = ~covered[rows, columns]
    around = _colours(planes[:, rows, columns][:, free])[:3] if free.any() else own[:3]
    return np.array((*shape, *own, *(own[:3] - around)))


def _colours(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return brightness, red and blue against green, and texture, float64 (4,), of pixels (3, P), 0..1."""
    red, green, blue = np.log(values.mean(axis=1, dtype=np.float64) + _DARK)
    luma = _LUMA @ values
    brightness = np.log(luma.mean() + _DARK)
    return np.array((brightness, red - green, blue - green, np.log(luma.std() + _DARK) - brightness))


def _pixels_of(mask: Rle) -> NDArray[np.bool_]:
    return crop_mask(mask)[2]
