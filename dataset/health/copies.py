"""The same instance in several pictures: tiles of one photograph that overlap, or objects pasted elsewhere.

The masks are compared first, which needs no picture; only instances whose mask occurs elsewhere in the same
size and shape are looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.labelled_pictures import LabelledPicture, Split
from maskloop.digest import digest_bytes
from maskloop.masks import Rle, areas_px, boxes_xyxy, crop_mask

MIN_AREA_PX: Final = 64
"""Smaller objects of one shape and colour occur by chance."""
_MIN_CONTRAST: Final = 10
"""Levels, of 255, between the darkest and brightest value of a mask's pixels; below, it shows nothing."""


@dataclass(frozen=True)
class Place:
    """One instance: a picture, and the position among its instances."""

    picture: LabelledPicture
    label: int


@dataclass(frozen=True)
class CopiedInstance:
    """Instances of different pictures that have the same mask over the same pixels.

    Attributes:
        places: Two or more; sorted by picture.
    """

    places: tuple[Place, ...]

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that it is in, sorted."""
        return tuple(sorted({place.picture.split for place in self.places}))

    @property
    def classes(self) -> tuple[int, ...]:
        """The class indices that it was given, sorted; more than one contradict each other."""
        return tuple(sorted({place.picture.instances[place.label].class_index for place in self.places}))


def candidates_for_copies(pictures: Sequence[LabelledPicture]) -> tuple[tuple[Place, ...], ...]:
    """Return the instances whose mask occurs in another picture as well, those of one picture together."""
    by_extent: dict[tuple[int, ...], list[Place]] = defaultdict(list)
    for picture in pictures:
        masks = [one.mask for one in picture.instances]
        boxes = boxes_xyxy(masks).astype(np.int64)
        sizes = np.column_stack([areas_px(masks), boxes[:, 2:] - boxes[:, :2]])
        for label, size in enumerate(sizes.tolist()):
            if size[0] >= MIN_AREA_PX and not picture.instances[label].is_crowd:
                by_extent[tuple(size)].append(Place(picture, label))
    chosen: dict[str, list[Place]] = defaultdict(list)
    for places in filter(_are_in_several_pictures, by_extent.values()):
        by_shape: dict[bytes, list[Place]] = defaultdict(list)
        for place in places:
            _, _, pixels = crop_mask(place.picture.instances[place.label].mask)
            by_shape[np.packbits(pixels).tobytes()].append(place)
        for same in filter(_are_in_several_pictures, by_shape.values()):
            for place in same:
                chosen[place.picture.digest].append(place)
    return tuple(tuple(places) for _, places in sorted(chosen.items()))


def instance_digest(pixels: NDArray[np.uint8], mask: Rle) -> str:
    """Return a digest of an instance's mask and its pixels, of uint8 (H, W, 3); empty if they are even."""
    left, top, inside = crop_mask(mask)
    height, width = inside.shape
    values = pixels[top : top + height, left : left + width][inside]
    if not values.size or int((values.max(axis=0) - values.min(axis=0)).max()) < _MIN_CONTRAST:
        return ""
    return digest_bytes(f"{width}x{height}:".encode() + np.packbits(inside).tobytes() + values.tobytes())


def find_copies(digests: Sequence[tuple[Place, str]]) -> tuple[CopiedInstance, ...]:
    """Return the instances that occur in several pictures, those in several splits first.

    Args:
        digests: From `instance_digest`; an empty one is left out.
    """
    by_digest: dict[str, list[Place]] = defaultdict(list)
    for place, digest in digests:
        if digest:
            by_digest[digest].append(place)
    found = [
        CopiedInstance(tuple(sorted(places, key=lambda place: (place.picture.digest, place.label))))
        for places in filter(_are_in_several_pictures, by_digest.values())
    ]
    return tuple(
        sorted(found, key=lambda one: (-len(one.splits), -len(one.places), one.places[0].picture.digest))
    )


def _are_in_several_pictures(places: Sequence[Place]) -> bool:
    return len({place.picture.digest for place in places}) > 1
