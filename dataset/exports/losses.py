"""What a format did not hold: every instance is compared with what maskloop's reader makes of the export."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scipy import ndimage

from dataset.coco.document import CocoFile
from dataset.coco.outlines import read_mask
from dataset.exports.port import ExportedPicture, ExportedVersion, LabelWriter
from dataset.formats.archives import open_source
from dataset.formats.port import own_name
from dataset.labelled_pictures import LabelledInstance
from dataset.readers.table import read_labels
from maskloop.errors import MaskError
from maskloop.masks import Rle, areas_px, crop_mask, mask_iou
from maskloop.wording import count

KINDS: Final = {
    "crowd": ("crowd region", "crowd regions"),
    "hole": ("object with holes", "objects with holes"),
    "parts": ("object of several parts", "objects of several parts"),
    "pixel": ("object of one pixel", "objects of one pixel"),
    "plain": ("other object", "other objects"),
    "picture": ("picture without objects", "pictures without objects"),
}
"""What may be lost, in one and in many."""
_EIGHT: Final = ndimage.generate_binary_structure(2, 2)


@dataclass(frozen=True)
class Loss:
    """An instance, or a picture without any, that did not come back as it was.

    Attributes:
        kind: A key of `KINDS`.
        picture: The file's name in the export.
        iou: Mask IoU of what came back of its class and crowd flag, 0 to 1; 0 if nothing did.
    """

    kind: str
    picture: str
    iou: float


@dataclass(frozen=True)
class _Read:
    class_name: str
    is_crowd: bool
    mask: Rle


def find_losses(
    writer: LabelWriter, version: ExportedVersion, folder: Path, sources: Sequence[str]
) -> list[Loss]:
    """Read an export and return what is not in it any more.

    Args:
        writer: That wrote it.
        version: What was to be written.
        folder: Where it lies, with its pictures.
        sources: What `LabelWriter.write` returned.
    """
    found: dict[str, list[_Read]] = {}
    sizes = {each.name: (each.labelled.height_px, each.labelled.width_px) for each in version.pictures}
    for source_name in sources:
        with open_source(folder / source_name) as source:
            for name, objects in _read(read_labels(source, key=writer.reader), sizes):
                found.setdefault(name, []).extend(objects)
    return [
        loss
        for picture in version.pictures
        for loss in _compare(picture, version.class_names, found.get(picture.name))
    ]


def summarise(losses: Iterable[Loss], version: ExportedVersion) -> list[dict[str, Any]]:
    """Return one row for each kind of object that lost anything: numbers, and the IoU of what is left."""
    by_kind: dict[str, list[Loss]] = defaultdict(list)
    for loss in losses:
        by_kind[loss.kind].append(loss)
    return [
        {
            "objects": KINDS[kind][1],
            "number": _count(kind, version),
            "left out": sum(loss.iou == 0 for loss in by_kind[kind]),
            "changed": sum(loss.iou > 0 for loss in by_kind[kind]),
            "lowest IoU": min(loss.iou for loss in by_kind[kind]),
            "example": by_kind[kind][0].picture,
        }
        for kind in KINDS
        if kind in by_kind
    ]


def _count(kind: str, version: ExportedVersion) -> int:
    if kind == "picture":
        return sum(not picture.labelled.instances for picture in version.pictures)
    instances = (one for picture in version.pictures for one in picture.labelled.instances)
    if kind == "crowd":  # most often asked, and quick to tell
        return sum(one.is_crowd for one in instances)
    return sum(kind_of(one) == kind for one in instances)


def describe(losses: Iterable[Loss]) -> str:
    """Say in words what is lost.

    >>> describe([Loss("crowd", "a.png", 0.0), Loss("hole", "a.png", 0.9)])
    '1 crowd region left out, 1 object with holes changed'
    """
    numbers = Counter((loss.kind, loss.iou > 0) for loss in losses)
    return ", ".join(
        f"{count(numbers[kind, is_changed], *words)} {'changed' if is_changed else 'left out'}"
        for kind, words in KINDS.items()
        for is_changed in (False, True)
        if numbers[kind, is_changed]
    )


def kind_of(instance: LabelledInstance) -> str:
    """Return the key in `KINDS` of an instance, the hardest to hold first."""
    if instance.is_crowd:
        return "crowd"
    if areas_px([instance.mask])[0] == 1:
        return "pixel"
    _, _, pixels_hw = crop_mask(instance.mask)
    if (ndimage.binary_fill_holes(pixels_hw) != pixels_hw).any():
        return "hole"
    return "parts" if ndimage.label(pixels_hw, _EIGHT)[1] > 1 else "plain"


def _read(coco: CocoFile, sizes_hw: Mapping[str, tuple[int, int]]) -> Iterator[tuple[str, list[_Read]]]:
    """Yield each picture that was read with its objects; one whose mask cannot be read is missing."""
    classes = {category["id"]: category["name"] for category in coco.categories}
    by_picture: dict[Any, list[Any]] = defaultdict(list)
    for record in coco.annotations:
        by_picture[record["image_id"]].append(record)
    for image in coco.images:
        name, objects = own_name(image["file_name"]), []
        for record in by_picture[image["id"]]:
            try:
                mask, _ = read_mask(record["segmentation"], *sizes_hw[name])
            except MaskError:
                continue
            objects.append(_Read(classes[record["category_id"]], bool(record.get("iscrowd")), mask))
        yield name, objects


def _compare(
    picture: ExportedPicture, class_names: Sequence[str], found: Sequence[_Read] | None
) -> Iterator[Loss]:
    """Pair what is the same to the pixel, then look what is nearest to the rest."""
    if found is None and not picture.labelled.instances:
        yield Loss("picture", picture.name, 0.0)
    spare = Counter(found or ())
    changed = []
    for one in picture.labelled.instances:
        wanted = _Read(class_names[one.class_index], one.is_crowd, one.mask)
        if spare[wanted] > 0:
            spare[wanted] -= 1
        else:
            changed.append((one, wanted))
    left = [*spare.elements()]
    for one, wanted in changed:
        alike = [
            each.mask
            for each in left
            if (each.class_name, each.is_crowd) == (wanted.class_name, wanted.is_crowd)
        ]
        iou = float(mask_iou([wanted.mask], alike).max()) if alike else 0.0
        yield Loss(kind_of(one), picture.name, iou)
