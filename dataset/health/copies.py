"""The same instance in several pictures: tiles of one photograph that overlap, or objects pasted elsewhere.

Two instances are the same if their masks have one size and shape, and every pixel under them is equal. Among
labelled pictures the masks are compared first, which needs no picture; only instances whose mask occurs
elsewhere are looked at. In a picture without labels the instances are looked for at every place: each is
known by one short run of its pixels, and where a run occurs, the whole instance is compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dataset.labelled_pictures import LabelledPicture, Split
from maskloop.digest import digest_bytes
from maskloop.masks import Rle, areas_px, boxes_xyxy, crop_mask

MIN_AREA_PX: Final = 64
"""Smaller objects of one shape and colour occur by chance."""
_MIN_CONTRAST: Final = 10
"""Levels, of 255, between the darkest and brightest value of a mask's pixels; below, it shows nothing."""
RUN_PX: Final = 8
"""Pixels side by side that an instance is known by; one that is nowhere as wide is not looked for."""
_MOST_TRIED: Final = 16
"""Places of one picture that are compared with one instance: a run that occurs more often tells little."""
_TABLE_BITS: Final = 22
_FACTORS: Final = np.random.default_rng(0).integers(0, 2**63, RUN_PX, dtype=np.uint64) * np.uint64(
    2
) + np.uint64(1)
"""Odd, so that a sum of products modulo 2**64 depends on every bit of each pixel."""


@dataclass(frozen=True)
class Place:
    """One instance: a picture, and the position among its instances."""

    picture: LabelledPicture
    label: int


@dataclass(frozen=True)
class Sighting:
    """A labelled instance that lies in a picture without labels.

    Attributes:
        place: The instance.
        left_px: Of its box in that picture.
        top_px: The same.
    """

    place: Place
    left_px: int
    top_px: int


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
    return _digest(pixels, inside, left, top)


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


class KnownInstances:
    """Labelled instances that are looked for in pictures without labels.

    Left out are crowd regions, instances below `MIN_AREA_PX`, even ones, and those without `RUN_PX` pixels
    side by side. What is equal in several pictures is looked for once.
    """

    def __init__(self) -> None:
        self._places: dict[str, list[Place]] = defaultdict(list)
        self._runs: dict[int, list[tuple[str, int, int]]] = defaultdict(list)
        self._may_begin = np.zeros(1 << _TABLE_BITS, dtype=bool)

    def __len__(self) -> int:
        return len(self._places)

    def add(self, picture: LabelledPicture, pixels: NDArray[np.uint8]) -> None:
        """Remember the instances of a picture, uint8 (H, W, 3)."""
        areas = areas_px([one.mask for one in picture.instances])
        for label, one in enumerate(picture.instances):
            if one.is_crowd or areas[label] < MIN_AREA_PX:
                continue
            left, top, inside = crop_mask(one.mask)
            height, width = inside.shape
            digest = _digest(pixels, inside, left, top)
            run = _choose_run(pixels[top : top + height, left : left + width], inside) if digest else None
            if run is None:
                continue
            if digest not in self._places:
                row, column = run
                start = pixels[top + row, left + column : left + column + RUN_PX]
                value = _hash_runs(start[np.newaxis])[0, 0]
                self._runs[int(value)].append((digest, row, column))
                self._may_begin[value >> np.uint64(64 - _TABLE_BITS)] = True
            self._places[digest].append(Place(picture, label))

    def find_in(self, pixels: NDArray[np.uint8]) -> Iterator[Sighting]:
        """Yield the known instances that lie in a picture, uint8 (H, W, 3), to the pixel, each once."""
        if pixels.shape[1] < RUN_PX:
            return
        hashes = _hash_runs(pixels)
        rows, columns = np.nonzero(self._may_begin[hashes >> np.uint64(64 - _TABLE_BITS)])
        tried: dict[str, int] = defaultdict(int)
        for value, row, column in zip(
            hashes[rows, columns].tolist(), rows.tolist(), columns.tolist(), strict=True
        ):
            for digest, below, right in self._runs.get(value, ()):
                if tried[digest] >= _MOST_TRIED:
                    continue
                tried[digest] += 1
                first, (left, top) = self._places[digest][0], (column - right, row - below)
                _, _, inside = crop_mask(first.picture.instances[first.label].mask)
                if _digest(pixels, inside, left, top) == digest:
                    tried[digest] = _MOST_TRIED
                    for place in self._places[digest]:
                        yield Sighting(place, left, top)


def _digest(pixels: NDArray[np.uint8], inside: NDArray[np.bool_], left: int, top: int) -> str:
    """Return the digest of a mask, bool (h, w), and the pixels under it; empty if even or not within."""
    height, width = inside.shape
    if left < 0 or top < 0 or top + height > pixels.shape[0] or left + width > pixels.shape[1]:
        return ""
    values = pixels[top : top + height, left : left + width][inside]
    if not values.size or int((values.max(axis=0) - values.min(axis=0)).max()) < _MIN_CONTRAST:
        return ""
    return digest_bytes(f"{width}x{height}:".encode() + np.packbits(inside).tobytes() + values.tobytes())


def _choose_run(crop: NDArray[np.uint8], inside: NDArray[np.bool_]) -> tuple[int, int] | None:
    """Return row and column of the run within a mask, bool (h, w), that varies most; None without one."""
    if crop.shape[1] < RUN_PX:
        return None
    steps = np.abs(np.diff(crop.astype(np.int32), axis=1)).sum(axis=2)
    variation = sliding_window_view(steps, RUN_PX - 1, axis=1).sum(axis=2)
    variation[~sliding_window_view(inside, RUN_PX, axis=1).all(axis=2)] = 0
    row, column = np.unravel_index(np.argmax(variation), variation.shape)
    return (int(row), int(column)) if variation[row, column] >= _MIN_CONTRAST else None


def _hash_runs(pixels: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return a hash of the `RUN_PX` pixels that begin at each, uint64 (H, W - RUN_PX + 1)."""
    colours = pixels.astype(np.uint64) @ np.array((1, 1 << 8, 1 << 16), np.uint64)
    num_runs = colours.shape[1] - RUN_PX + 1
    hashes = np.zeros((len(colours), num_runs), np.uint64)
    for place, factor in enumerate(_FACTORS):
        hashes += colours[:, place : place + num_runs] * factor
    return hashes
