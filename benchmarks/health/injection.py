"""Errors of every kind put into right labels, each at a known place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.labelled_pictures import LabelledInstance, LabelledPicture
from evaluation.label_errors import LABEL_ERROR_KINDS, LabelErrorKind
from maskloop.masks import Rle, areas_px, boxes_xyxy, decode_masks, encode_masks, mask_iou, unite_masks

SHIFT: Final = 0.3
"""Of a border error: the mask is moved by this share of its width and height."""
_PLACING_ATTEMPTS: Final = 50


@dataclass(frozen=True)
class Corrupted:
    """Pictures with errors, and where these are.

    Attributes:
        pictures: With the instances as they are now.
        kinds: For each picture, the kind of error of each instance, or an empty string.
        removed: For each picture, the masks that are labels no more.
    """

    pictures: tuple[LabelledPicture, ...]
    kinds: tuple[tuple[LabelErrorKind | str, ...], ...]
    removed: tuple[tuple[Rle, ...], ...]

    def count(self) -> dict[LabelErrorKind, int]:
        """Return how many errors of each kind there are; one object in two labels is one."""
        flat = [kind for kinds in self.kinds for kind in kinds]
        return {
            "missing": sum(map(len, self.removed)),
            "spurious": flat.count("spurious"),
            "merged": flat.count("merged"),
            "split": flat.count("split") // 2,
            "class": flat.count("class"),
            "border": flat.count("border"),
        }


def corrupt(pictures: Sequence[LabelledPicture], num_classes: int, *, share: float, seed: int) -> Corrupted:
    """Give a share of the instances an error of each kind; none gets two. There are no crowd regions.

    Of one class alone, no label gets another.
    """
    rng = np.random.default_rng(seed)
    places = [(row, label) for row, picture in enumerate(pictures) for label in range(len(picture.instances))]
    wanted = dict.fromkeys(LABEL_ERROR_KINDS, round(share * len(places)))
    table = [_Labels(picture) for picture in pictures]
    order = rng.permutation(len(places))
    for kind in ("merged", "missing", "split", "class", "border", "spurious"):  # merging needs two free ones
        if kind == "class" and num_classes < 2:
            continue
        for number in order:
            row, label = places[number]
            if not wanted[kind]:
                break
            wanted[kind] -= table[row].add_error(kind, label, num_classes, rng)
    return Corrupted(
        tuple(labels.picture_now() for labels in table),
        tuple(tuple(kind for kind in labels.kinds if kind != "gone") for labels in table),
        tuple(tuple(labels.removed) for labels in table),
    )


class _Labels:
    """The labels of one picture while errors are put in; positions stay until the end."""

    def __init__(self, picture: LabelledPicture) -> None:
        self.picture = picture
        self.instances = list(picture.instances)
        self.kinds: list[str] = [""] * len(self.instances)
        self.removed: list[Rle] = []

    def picture_now(self) -> LabelledPicture:
        kept = [one for one, kind in zip(self.instances, self.kinds, strict=True) if kind != "gone"]
        return replace(self.picture, instances=tuple(kept))

    def add_error(self, kind: str, label: int, num_classes: int, rng: np.random.Generator) -> bool:
        """Put in an error if that can be done at this label; say whether it was."""
        if kind == "spurious":
            return self._add_spurious(label, rng)
        if self.kinds[label]:
            return False
        one = self.instances[label]
        if kind == "missing":
            self.removed.append(one.mask)
            self.kinds[label] = "gone"
            return True
        if kind == "merged":
            return self._merge(label)
        if kind == "split":
            return self._split(label)
        if kind == "class":
            other = (one.class_index + int(rng.integers(1, num_classes))) % num_classes
            self.instances[label] = replace(one, class_index=other)
        else:
            self.instances[label] = replace(one, mask=_shifted(one.mask, rng))
        self.kinds[label] = kind
        return True

    def _merge(self, label: int) -> bool:
        one = self.instances[label]
        partners = [
            number
            for number, other in enumerate(self.instances)
            if number != label and not self.kinds[number] and other.class_index == one.class_index
        ]
        if not partners:
            return False
        centres = _centres([self.instances[number].mask for number in partners])
        nearest = partners[int(np.linalg.norm(centres - _centres([one.mask]), axis=1).argmin())]
        self.instances[label] = replace(one, mask=unite_masks([one.mask, self.instances[nearest].mask]))
        self.kinds[label], self.kinds[nearest] = "merged", "gone"
        return True

    def _split(self, label: int) -> bool:
        one = self.instances[label]
        mask = decode_masks([one.mask])[0]
        left, top, right, bottom = boxes_xyxy([one.mask])[0].astype(int).tolist()
        first = np.zeros_like(mask)
        if right - left >= bottom - top:
            first[:, : (left + right) // 2] = True
        else:
            first[: (top + bottom) // 2] = True
        halves = [mask & first, mask & ~first]
        if not all(half.any() for half in halves):
            return False
        masks = encode_masks(np.stack(halves))
        self.instances[label] = replace(one, mask=masks[0])
        self.instances.append(replace(one, mask=masks[1]))
        self.kinds[label] = "split"
        self.kinds.append("split")
        return True

    def _add_spurious(self, label: int, rng: np.random.Generator) -> bool:
        """Put a copy of a mask where neither a label is nor was."""
        one = self.picture.instances[label]
        taken = [*(each.mask for each in self.picture.instances), *(each.mask for each in self.instances)]
        mask = decode_masks([one.mask])[0]
        left, top, right, bottom = boxes_xyxy([one.mask])[0].astype(int).tolist()
        height, width = mask.shape
        for _ in range(_PLACING_ATTEMPTS):
            down, aside = (
                int(rng.integers(-top, height - bottom + 1)),
                int(rng.integers(-left, width - right + 1)),
            )
            placed = encode_masks(np.roll(mask, (down, aside), axis=(0, 1))[None])
            if mask_iou(placed, taken, [True] * len(taken)).max(initial=0.0) < 0.05:
                self.instances.append(LabelledInstance(one.class_index, placed[0]))
                self.kinds.append("spurious")
                return True
        return False


def _shifted(mask: Rle, rng: np.random.Generator) -> Rle:
    """Move a mask by `SHIFT` of its size, in one of four directions; what leaves the picture is cut off."""
    pixels = decode_masks([mask])[0]
    left, top, right, bottom = boxes_xyxy([mask])[0].astype(int).tolist()
    down = round(SHIFT * (bottom - top)) * int(rng.choice([-1, 1]))
    aside = round(SHIFT * (right - left)) * int(rng.choice([-1, 1]))
    height, width = pixels.shape
    moved = np.zeros_like(pixels)
    moved[max(0, down) : height + min(0, down), max(0, aside) : width + min(0, aside)] = pixels[
        max(0, -down) : height + min(0, -down), max(0, -aside) : width + min(0, -aside)
    ]
    encoded = encode_masks(moved[None])
    return encoded[0] if areas_px(encoded)[0] else mask


def _centres(masks: Sequence[Rle]) -> NDArray[np.float64]:
    boxes = boxes_xyxy(masks)
    return (boxes[:, :2] + boxes[:, 2:]) / 2
