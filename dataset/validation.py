"""Judging a batch before anything is stored: every problem is data, and no problem raises.

Harmless oddities are put right and reported. Anything that leaves a picture half annotated quarantines the
whole picture, because a half-annotated picture teaches that real objects are background. A problem that
concerns the batch as a whole (its label schema, no pictures at all) blocks the batch.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from dataset.coco import (
    CocoFile,
    Identifier,
    box_is_sound,
    crowd_flag,
    identifier,
    reaches_outside,
)
from dataset.decoding import orient
from dataset.labels import read_batch_classes, read_categories
from dataset.problems import Problem, collapsed
from dataset.samples import Instance
from maskloop.errors import MaskError
from maskloop.masks import Rle, areas_px, decode_masks, encode_masks, rle_from_coco

_SIDEWAYS: Final = (5, 6, 7, 8)


@dataclass(frozen=True)
class FoundPicture:
    """A picture file that decodes, as the gatherer saw it.

    Attributes:
        name: The file name the COCO file gives it.
        digest: sha256 of the bytes that would be stored.
        extension: ``.jpg``, ``.png`` or ``.webp``.
        width_px: Upright width.
        height_px: Upright height.
        orientation: EXIF orientation, 1-8.
        told_location: It carried GPS coordinates, which the stored bytes no longer do.
        difference_hash: 64-bit hash of its look, see `dataset.splitting.difference_hash`.
    """

    name: str
    digest: str
    extension: str
    width_px: int
    height_px: int
    orientation: int
    told_location: bool
    difference_hash: int


@dataclass(frozen=True)
class UsablePicture:
    """A picture with all its instances, checked."""

    found: FoundPicture
    declared_group: str
    instances: tuple[Instance, ...]


@dataclass(frozen=True)
class ValidationReport:
    """All that was found in one batch.

    Attributes:
        problems: Errors first; warnings and remarks of one kind are told once, with their number.
        class_names: The schema the instances index into, followed by the batch's classes outside it.
        usable: Pictures that may be stored.
        quarantined: Names of pictures left out, each with an error among the problems.
    """

    problems: tuple[Problem, ...]
    class_names: tuple[str, ...]
    usable: tuple[UsablePicture, ...]
    quarantined: tuple[str, ...]

    @property
    def instances_per_class(self) -> tuple[int, ...]:
        """Of the usable pictures, in the order of ``class_names``."""
        counts = Counter(instance.class_index for picture in self.usable for instance in picture.instances)
        return tuple(counts[index] for index in range(len(self.class_names)))

    @property
    def blocking(self) -> tuple[Problem, ...]:
        """Errors that concern the batch as a whole."""
        return tuple(p for p in self.problems if p.severity == "error" and not p.picture)

    @property
    def quarantined_percent(self) -> float:
        """Share of the listed pictures that cannot be used, 0..100."""
        listed = len(self.usable) + len(self.quarantined)
        return 100.0 * len(self.quarantined) / listed if listed else 0.0


@dataclass(frozen=True)
class _Listed:
    """One entry of the list of images that names a picture."""

    where: str
    key: Identifier
    name: str
    record: Mapping[str, Any]


def picture_names(coco: CocoFile) -> tuple[str, ...]:
    """Return every file name the COCO file lists, each once, in order."""
    names = (image.get("file_name") for image in coco.images if isinstance(image, dict))
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def validate_batch(
    coco: CocoFile,
    found: Mapping[str, FoundPicture | Problem],
    *,
    class_names: tuple[str, ...] = (),
) -> ValidationReport:
    """Judge a batch from its COCO file and what the gatherer found under each listed file name.

    Args:
        coco: The file as read.
        found: For every name of `picture_names`: the picture, or why there is none.
        class_names: The label schema to index into; empty: the file's own, by category id. Categories
            outside it are still read if an annotation uses them: `dataset.labels.settle_schema` tells.
    """
    problems: list[Problem] = []
    names_by_key = read_categories(coco.categories, problems)
    own = read_batch_classes(coco)
    schema = class_names or own.names
    schema += tuple(name for name in own.names if name not in schema and name not in own.unused)
    class_index = {key: schema.index(name) for key, name in names_by_key.items() if name in schema}
    listed = _listed_pictures(coco, problems)
    annotations = _annotations_by_picture(coco, {entry.key for entry in listed}, problems)
    judged = [_judge(entry, found, annotations[entry.key], class_index, problems) for entry in listed]
    usable = _without_duplicates([picture for picture in judged if picture], problems)
    quarantined = tuple(sorted({problem.picture for problem in problems if problem.picture}))
    report = ValidationReport((), schema, usable, quarantined)
    problems += _judge_whole(coco, report)
    return replace(report, problems=collapsed(problems))


def _judge_whole(coco: CocoFile, report: ValidationReport) -> Iterable[Problem]:
    if not coco.images:
        yield Problem("error", "no-pictures", "/images", "the batch lists no pictures")
    if not coco.annotations:
        yield Problem(
            "error",
            "no-annotations",
            "/annotations",
            "the batch holds no annotations",
            "pictures without objects are fine beside annotated ones; nothing else looks like a slip",
        )
    for name, count in zip(report.class_names, report.instances_per_class, strict=True):
        if not count:
            message = f"class {name!r} has no instances in this batch"
            yield Problem("warning", "class-without-instances", f"/categories/{name}", message)


def _listed_pictures(coco: CocoFile, problems: list[Problem]) -> list[_Listed]:
    listed = []
    for number, record in enumerate(coco.images):
        where = f"/images/{number}"
        key = identifier(record.get("id")) if isinstance(record, dict) else None
        name = record.get("file_name") if isinstance(record, dict) else None
        if key is None or not isinstance(name, str) or not name:
            message = "an entry of images needs an id (a number or text) and a file_name"
            problems.append(
                Problem(
                    "error",
                    "bad-picture-entry",
                    where,
                    message,
                    picture=name if isinstance(name, str) and name else where,
                )
            )
            continue
        if isinstance(record["id"], str):
            problems.append(Problem("info", "text-id", where, "picture ids are text; read all the same"))
        listed.append(_Listed(where, key, name, record))
    return _listed_once(listed, problems)


def _listed_once(listed: list[_Listed], problems: list[Problem]) -> list[_Listed]:
    keys = Counter(entry.key for entry in listed)
    names = Counter(entry.name for entry in listed)
    once = []
    for entry in listed:
        if keys[entry.key] > 1:
            message = f"picture id {entry.key!r} is used {keys[entry.key]} times: whose annotations are they?"
            problems.append(Problem("error", "picture-id-twice", entry.where, message, picture=entry.name))
        elif names[entry.name] > 1:
            message = f"{entry.name} is listed {names[entry.name]} times"
            problems.append(
                Problem("error", "picture-listed-twice", entry.where, message, picture=entry.name)
            )
        else:
            once.append(entry)
    return once


def _annotations_by_picture(
    coco: CocoFile, keys: set[Identifier], problems: list[Problem]
) -> dict[Identifier, list[tuple[str, dict[str, Any]]]]:
    by_picture: dict[Identifier, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    ids: Counter[Identifier | None] = Counter()
    for number, annotation in enumerate(coco.annotations):
        where = f"/annotations/{number}"
        key = identifier(annotation.get("image_id")) if isinstance(annotation, dict) else None
        if key is None or key not in keys:
            message = "an annotation belongs to no usable entry of images"
            problems.append(Problem("warning", "orphan-annotation", where, message))
            continue
        by_picture[key].append((where, annotation))
        own_id = identifier(annotation.get("id"))
        ids[own_id] += 1
        if own_id is None:
            problems.append(Problem("info", "annotation-id-missing", where, "annotations get new ids"))
        elif own_id == 0:
            message = "annotation id 0, which pycocotools never matches; annotations get new ids"
            problems.append(Problem("info", "annotation-id-0", where, message))
        elif ids[own_id] == 2:
            message = f"annotation id {own_id!r} is used more than once; all are kept under new ids"
            problems.append(Problem("warning", "annotation-id-twice", where, message))
    return by_picture


def _judge(
    entry: _Listed,
    found: Mapping[str, FoundPicture | Problem],
    annotations: list[tuple[str, dict[str, Any]]],
    class_index: Mapping[Identifier, int],
    problems: list[Problem],
) -> UsablePicture | None:
    """Return the picture with its instances, or None after saying why it is quarantined."""
    picture = found[entry.name]
    if isinstance(picture, Problem):
        problems.append(replace(picture, severity="error", picture=entry.name))
        return None
    frame = _annotated_frame(entry, picture, problems)
    if frame is None:
        return None
    instances = _instances(entry, annotations, frame[1:], class_index, problems)
    if instances is None:
        return None
    if picture.told_location:
        message = "the picture told where it was taken; that was removed"
        problems.append(Problem("info", "location-removed", entry.name, message))
    if frame[0] == "stored" and picture.orientation != 1:
        instances = _upright(instances, picture.orientation)
    group = entry.record.get("group")
    declared_group = str(group) if isinstance(group, str | int) and not isinstance(group, bool) else ""
    return UsablePicture(picture, declared_group, _each_once(instances, entry, problems))


def _annotated_frame(
    entry: _Listed, picture: FoundPicture, problems: list[Problem]
) -> tuple[Literal["upright", "stored"], int, int] | None:
    """Find out in which frame the masks were drawn; return its kind, height and width in px."""
    width, height = entry.record.get("width"), entry.record.get("height")
    upright, turned = (picture.width_px, picture.height_px), (picture.height_px, picture.width_px)
    sideways = picture.orientation in _SIDEWAYS
    declared = entry.record.get("frame")
    if declared == "upright" and (width, height) == upright:
        return "upright", picture.height_px, picture.width_px
    if declared == "stored" and (width, height) == (stored := turned if sideways else upright):
        return "stored", stored[1], stored[0]
    if width is None and height is None and picture.orientation == 1:
        problems.append(
            Problem("info", "size-missing", entry.where, "the size is missing; the file's is used")
        )
        return "upright", picture.height_px, picture.width_px
    if (width, height) == upright and (picture.orientation == 1 or (sideways and upright != turned)):
        return "upright", picture.height_px, picture.width_px
    if (width, height) == turned and sideways and upright != turned:
        message = "masks were drawn on the picture as stored; they were turned upright with it"
        problems.append(Problem("info", "masks-turned", entry.where, message))
        return "stored", picture.width_px, picture.height_px
    if picture.orientation != 1 and (width, height) in (upright, (None, None)):
        message = "the picture's EXIF turns it, and its size does not tell whether the masks are turned too"
        hint = 'say "frame": "stored" or "upright" in its entry of images, or save it upright without EXIF'
        problems.append(Problem("error", "orientation-unclear", entry.where, message, hint, entry.name))
        return None
    message = f"the file is {upright[0]} x {upright[1]} px, the annotations are for {width} x {height} px"
    problems.append(Problem("error", "size-mismatch", entry.where, message, picture=entry.name))
    return None


class _UnusableAnnotationError(Exception):
    """Why one annotation, and with it its picture, is left out."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _instances(
    entry: _Listed,
    annotations: list[tuple[str, dict[str, Any]]],
    size_px: tuple[int, int],
    class_index: Mapping[Identifier, int],
    problems: list[Problem],
) -> tuple[Instance, ...] | None:
    """Return a picture's instances, or None after saying what is wrong with each bad one."""
    instances, is_sound = [], True
    for where, annotation in annotations:
        try:
            instances.append(_instance(annotation, size_px, class_index))
            problems += _harmless_oddities(where, annotation)
        except _UnusableAnnotationError as error:
            is_sound = False
            problems.append(Problem("error", error.code, where, str(error), picture=entry.name))
    return tuple(instances) if is_sound else None


def _instance(
    annotation: dict[str, Any], size_px: tuple[int, int], class_index: Mapping[Identifier, int]
) -> Instance:
    category, crowd = identifier(annotation.get("category_id")), crowd_flag(annotation)
    if category is None or category not in class_index:
        message = f"category id {annotation.get('category_id')!r} is not in the list of categories"
        raise _UnusableAnnotationError("unknown-category", message)
    if crowd is None:
        message = f"iscrowd is {annotation.get('iscrowd')!r}; it must be 0 or 1"
        raise _UnusableAnnotationError("bad-iscrowd", message)
    return Instance(class_index[category], _mask(annotation.get("segmentation"), size_px), crowd)


def _mask(segmentation: Any, size_px: tuple[int, int]) -> Rle:
    if not segmentation:
        raise _UnusableAnnotationError("no-mask", "the annotation has no mask")
    try:
        mask = rle_from_coco(segmentation, *size_px)
    except MaskError as error:
        raise _UnusableAnnotationError("bad-mask", error.headline) from error
    if reaches_outside(segmentation, *size_px):
        raise _UnusableAnnotationError("mask-outside-picture", "the mask leaves its picture")
    if areas_px([mask])[0] == 0:
        raise _UnusableAnnotationError("empty-mask", "the mask covers no pixel")
    return mask


def _harmless_oddities(where: str, annotation: dict[str, Any]) -> Iterable[Problem]:
    if type(annotation.get("iscrowd")) is not int:
        yield Problem("info", "odd-iscrowd", where, "iscrowd is missing or not a number; read all the same")
    if "bbox" in annotation and not box_is_sound(annotation["bbox"]):
        message = "the box is not finite, negative or not four numbers; boxes are taken from the masks"
        yield Problem("warning", "bad-box", where, message)


def _upright(instances: tuple[Instance, ...], orientation: int) -> tuple[Instance, ...]:
    if not instances:
        return ()
    masks = encode_masks(orient(decode_masks([instance.mask for instance in instances]), orientation))
    return tuple(replace(instance, mask=mask) for instance, mask in zip(instances, masks, strict=True))


def _each_once(
    instances: tuple[Instance, ...], entry: _Listed, problems: list[Problem]
) -> tuple[Instance, ...]:
    once = tuple(dict.fromkeys(instances))
    if len(once) < len(instances):
        message = "one object is annotated twice with the same mask; kept once"
        problems.append(Problem("warning", "instance-twice", entry.where, message))
    return once


def _without_duplicates(pictures: list[UsablePicture], problems: list[Problem]) -> tuple[UsablePicture, ...]:
    """Keep one of several byte-identical pictures, or none if their annotations differ."""
    by_digest: dict[str, list[UsablePicture]] = defaultdict(list)
    for picture in pictures:
        by_digest[picture.found.digest].append(picture)
    kept = []
    for same in by_digest.values():
        if len({frozenset(picture.instances) for picture in same}) == 1:
            kept.append(same[0])
            for other in same[1:]:
                message = f"the same picture as {same[0].found.name}; kept once"
                problems.append(Problem("warning", "picture-twice", other.found.name, message))
            continue
        for picture in same:
            name = picture.found.name
            message = "the same picture is in the batch again with other annotations"
            problems.append(Problem("error", "picture-contradicts", name, message, picture=name))
    return tuple(kept)
