"""Judging a batch before anything is stored: every problem is data, and no problem raises.

Harmless oddities are put right and reported. Anything that leaves a picture half annotated quarantines the
whole picture, because a half-annotated picture teaches that real objects are background. A problem that
concerns the batch as a whole (its label schema, annotations without a picture, a class of crowds alone)
blocks the batch.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from dataset.coco.document import CocoFile, Identifier, box_is_sound, crowd_flag, identifier
from dataset.coco.frames import DrawnOn, Frame, find_frame, leaves_guessed_frame, turn_upright
from dataset.coco.labels import read_batch_classes, read_categories
from dataset.coco.listing import Listed, ReadAnnotation, group_annotations, list_pictures, name_place
from dataset.coco.outlines import UnusableMaskError, read_mask
from dataset.coco.whole_batch import CrowdRule, judge_classes, judge_lists, judge_orphans
from dataset.label_json import unfolded
from dataset.labelled_pictures import LabelledInstance
from dataset.origin import Origin, most_frequent, read_origin
from dataset.problems import DataProblem, collapsed


@dataclass(frozen=True)
class FoundPicture:
    """A picture file that decodes, as the gatherer saw it.

    Attributes:
        name: The file name the COCO file gives it.
        digest: sha256 of the bytes that would be stored.
        extension: Of the file that would be stored.
        width_px: Upright width.
        height_px: Upright height.
        orientation: EXIF orientation, 1-8.
        told_location: It carried GPS coordinates, which the stored bytes no longer do.
        difference_hash: 64-bit hash of its look, see `dataset.pictures.looks`.
        cells: Its look more closely, see `dataset.pictures.looks.grey_cells`; None where it is not known.
        bits_used: See `dataset.pictures.decoding.DecodedPicture`.
        num_frames: The same.
        is_raw: Its values and its conversion would be stored instead of the file (`dataset.raw.raw_file`).
        file: Its path in the pictures' folder, where that is spelled otherwise than ``name``.
    """

    name: str
    digest: str
    extension: str
    width_px: int
    height_px: int
    orientation: int
    told_location: bool
    difference_hash: int
    cells: bytes | None = None
    bits_used: int = 0
    num_frames: int = 1
    is_raw: bool = False
    file: str = ""

    @property
    def path(self) -> str:
        """Where it lies, relative to the pictures' folder."""
        return self.file or self.name


@dataclass(frozen=True)
class UsablePicture:
    """A picture with all its instances, checked."""

    found: FoundPicture
    declared_group: str
    instances: tuple[LabelledInstance, ...]
    origin: Origin | None = None


@dataclass(frozen=True)
class Reading:
    """What a person said about how a batch is to be read.

    Attributes:
        frame: Where the masks of pictures that EXIF turns were drawn; None leaves it to the file.
        crowds: Whether crowd regions are what their flag says; ``ask`` refuses a class of crowds alone.
        max_lost_percent: Share of annotations, 0..100, that may belong to no picture.
    """

    frame: Frame | None = None
    crowds: CrowdRule = "ask"
    max_lost_percent: float = 5.0


@dataclass(frozen=True)
class ValidationReport:
    """All that was found in one batch.

    Attributes:
        all_problems: Each of them, in the order they were found.
        class_names: The schema the instances index into, followed by the batch's classes outside it.
        usable: Pictures that may be stored.
        quarantined: Names of pictures left out, each with an error among the problems.
        num_annotations: Entries of ``annotations``.
        num_pictures: Entries of ``images``.
        num_orphans: Annotations whose picture no entry of ``images`` is.
        num_repeats: Annotations left out because their picture has the same one twice.
        num_copies: Pictures left out because the batch holds the same bytes and labels under another name.
        num_of_copies: Annotations of those.
        annotations: What was read from each annotation that can be read, whether its picture is kept or not.
    """

    all_problems: tuple[DataProblem, ...]
    class_names: tuple[str, ...]
    usable: tuple[UsablePicture, ...]
    quarantined: tuple[str, ...]
    num_annotations: int = 0
    num_pictures: int = 0
    num_orphans: int = 0
    num_repeats: int = 0
    num_copies: int = 0
    num_of_copies: int = 0
    annotations: tuple[ReadAnnotation, ...] = ()

    @cached_property
    def problems(self) -> tuple[DataProblem, ...]:
        """Errors first; warnings and remarks of one kind are told once, with their number."""
        return collapsed(self.all_problems)

    @property
    def instances_per_class(self) -> tuple[int, ...]:
        """Single objects of the usable pictures, in the order of ``class_names``; crowds are not counted."""
        return self._count_per_class(is_crowd=False)

    @property
    def crowds_per_class(self) -> tuple[int, ...]:
        """Crowd regions of the usable pictures, in the order of ``class_names``."""
        return self._count_per_class(is_crowd=True)

    @property
    def blocking(self) -> tuple[DataProblem, ...]:
        """Errors that concern the batch as a whole."""
        return tuple(p for p in self.problems if p.severity == "error" and not p.picture)

    @property
    def quarantined_percent(self) -> float:
        """Share of the listed pictures that cannot be used, 0..100."""
        listed = len(self.usable) + len(self.quarantined)
        return 100.0 * len(self.quarantined) / listed if listed else 0.0

    def _count_per_class(self, *, is_crowd: bool) -> tuple[int, ...]:
        counts = Counter(
            instance.class_index
            for picture in self.usable
            for instance in picture.instances
            if instance.is_crowd == is_crowd
        )
        return tuple(counts[index] for index in range(len(self.class_names)))


@dataclass
class _Findings:
    """What is found while a batch is read.

    Attributes:
        problems: All of them.
        num_repeats: See `ValidationReport`.
        num_copies: See `ValidationReport`.
        num_of_copies: See `ValidationReport`.
        read_as_objects: Pictures in which crowd regions were read as single objects.
        annotations: See `ValidationReport`.
    """

    problems: list[DataProblem] = field(default_factory=list)
    num_repeats: int = 0
    num_copies: int = 0
    num_of_copies: int = 0
    read_as_objects: list[str] = field(default_factory=list)
    annotations: list[ReadAnnotation] = field(default_factory=list)


def validate_batch(
    coco: CocoFile,
    found: Mapping[str, FoundPicture | DataProblem],
    *,
    class_names: tuple[str, ...] = (),
    reading: Reading | None = None,
) -> ValidationReport:
    """Judge a batch from its COCO file and what the gatherer found under each listed file name.

    Args:
        coco: The file as read.
        found: For every name of `picture_names`: the picture, or why there is none.
        class_names: The label schema to index into; empty: the file's own, by category id. Categories
            outside it are still read if an annotation uses them: `dataset.coco.labels.settle_schema` tells.
        reading: What a person said about how it is to be read.
    """
    reading = reading or Reading()
    findings = _Findings(list(coco.problems))
    names_by_key = read_categories(coco.categories, findings.problems)
    own = read_batch_classes(coco)
    schema = class_names or own.names
    schema += tuple(name for name in own.names if name not in schema and name not in own.unused)
    class_index = {key: schema.index(name) for key, name in names_by_key.items() if name in schema}
    listed = list_pictures(coco, findings.problems)
    annotations = group_annotations(coco, findings.problems)
    unread = set(names_left_out(coco.problems))
    reader = _Reader(coco, class_index, reading, findings)
    judged = [
        reader.judge(entry, found[entry.name], annotations.get(entry.key, []))
        for entry in listed
        if entry.name not in unread
    ]
    usable = _without_duplicates([picture for picture in judged if picture], findings)
    num_orphans = len(coco.annotations) - sum(map(len, annotations.values()))
    findings.problems += judge_lists(coco)
    findings.problems += judge_orphans(coco, annotations, reading.max_lost_percent)
    report = ValidationReport(
        (),
        schema,
        usable,
        names_left_out(findings.problems),
        num_annotations=len(coco.annotations),
        num_pictures=len(coco.images),
        num_orphans=num_orphans,
        num_repeats=findings.num_repeats,
        num_copies=findings.num_copies,
        num_of_copies=findings.num_of_copies,
        annotations=tuple(findings.annotations),
    )
    findings.problems += judge_classes(
        report.class_names,
        report.instances_per_class,
        report.crowds_per_class,
        rule=reading.crowds,
        crowded=[p.found.name for p in usable if any(one.is_crowd for one in p.instances)],
        read_as_objects=findings.read_as_objects,
    )
    return replace(report, all_problems=tuple(findings.problems))


def names_left_out(problems: Sequence[DataProblem]) -> tuple[str, ...]:
    """Return the names of the pictures that errors cost, sorted."""
    return tuple(sorted({problem.picture for problem in problems if problem.picture}))


@dataclass(frozen=True)
class _Reader:
    """Reads the pictures of one batch, one by one.

    Attributes:
        coco: The file.
        class_index: By category id.
        reading: What a person said about it.
        findings: Grows.
    """

    coco: CocoFile
    class_index: Mapping[Identifier, int]
    reading: Reading
    findings: _Findings

    def judge(
        self, entry: Listed, picture: FoundPicture | DataProblem, annotations: Sequence[int]
    ) -> UsablePicture | None:
        """Return the picture with its instances, or None after saying why it is quarantined."""
        problems = self.findings.problems
        if isinstance(picture, DataProblem):
            problems.append(replace(picture, severity="error", picture=entry.name))
            return None
        drawn_on = find_frame(
            entry.record,
            picture,
            where=entry.where,
            said=self.reading.frame,
            is_label_studio=self.coco.is_label_studio,
        )
        if isinstance(drawn_on, DataProblem):
            problems.append(drawn_on)
            return None
        instances = self._instances(entry, annotations, drawn_on)
        if instances is None:
            return None
        if annotations:
            problems += drawn_on.remarks
        if picture.told_location:
            message = "the picture told where it was taken; that was removed"
            problems.append(DataProblem("info", "location-removed", entry.name, message))
        if drawn_on.frame == "stored" and picture.orientation != 1:
            instances = turn_upright(instances, picture.orientation)
        group = entry.record.get("group")
        declared_group = str(group) if isinstance(group, str | int) and not isinstance(group, bool) else ""
        origin = read_origin(entry.record.get("origin")) or most_frequent(one.origin for one in instances)
        return UsablePicture(picture, declared_group, self._each_once(instances, entry), origin)

    def _instances(
        self, entry: Listed, annotations: Sequence[int], drawn_on: DrawnOn
    ) -> tuple[LabelledInstance, ...] | None:
        """Return a picture's instances, or None after saying what is wrong with each bad one."""
        read, is_sound = [], True
        for index in annotations:
            annotation = self.coco.annotations[index]
            try:
                instance, remarks = self._instance(annotation, drawn_on, entry)
            except UnusableMaskError as error:
                is_sound = False
                where = name_place(index)
                bad = DataProblem("error", error.code, where, error.headline, error.hint, entry.name)
                if drawn_on.is_guess and error.code == "mask-outside-picture":
                    bad = leaves_guessed_frame(entry.name, where)
                self.findings.problems.append(bad)
                continue
            if drawn_on.is_guess and any(remark.code == "mask-clipped" for remark in remarks):
                is_sound = False
                self.findings.problems.append(leaves_guessed_frame(entry.name, name_place(index)))
                continue
            is_stretched = drawn_on.stretch_xy != (1.0, 1.0)
            read.append(ReadAnnotation(index, entry.name, annotation, instance, is_stretched))
            told = (*remarks, *_harmless_oddities(annotation))
            self.findings.problems += [
                replace(one, where=name_place(index), example=entry.name) for one in told
            ]
            if instance.is_crowd != crowd_flag(annotation):
                self.findings.read_as_objects.append(entry.name)
        self.findings.annotations += read
        return tuple(one.instance for one in read) if is_sound else None

    def _instance(
        self, annotation: dict[str, Any], drawn_on: DrawnOn, entry: Listed
    ) -> tuple[LabelledInstance, tuple[DataProblem, ...]]:
        category, crowd = identifier(annotation.get("category_id")), crowd_flag(annotation)
        if category is None or category not in self.class_index:
            message = f"category id {annotation.get('category_id')!r} is not in the list of categories"
            known = ", ".join(map(str, self.class_index))
            hint = f"the list has the ids {known}" if known else "the list is empty: export the classes too"
            raise UnusableMaskError("unknown-category", message, hint)
        if crowd is None:
            message = f"iscrowd is {annotation.get('iscrowd')!r}; it must be 0 or 1"
            raise UnusableMaskError("bad-iscrowd", message, "write 0 for an object, 1 for a crowd region")
        mask, remarks = read_mask(
            annotation.get("segmentation"),
            drawn_on.height_px,
            drawn_on.width_px,
            stretch_xy=drawn_on.stretch_xy,
        )
        is_crowd = crowd and self.reading.crowds != "instances"
        origin = read_origin((annotation if "origin" in annotation else entry.record).get("origin"))
        return LabelledInstance(self.class_index[category], mask, is_crowd, origin), remarks

    def _each_once(
        self, instances: tuple[LabelledInstance, ...], entry: Listed
    ) -> tuple[LabelledInstance, ...]:
        once = tuple(dict.fromkeys(instances))
        if len(once) < len(instances):
            self.findings.num_repeats += len(instances) - len(once)
            message = "one object is annotated twice with the same mask; kept once"
            told = DataProblem("warning", "instance-twice", entry.where, message, example=entry.name)
            self.findings.problems.append(told)
        return once


def _harmless_oddities(annotation: dict[str, Any]) -> list[DataProblem]:
    odd = []
    if type(annotation.get("iscrowd")) is not int:
        odd.append(
            DataProblem("info", "odd-iscrowd", "", "iscrowd is missing or not a number; read all the same")
        )
    if "bbox" in annotation and not box_is_sound(unfolded(annotation["bbox"])):
        message = "the box is not finite, negative or not four numbers; boxes are taken from the masks"
        odd.append(DataProblem("warning", "bad-box", "", message))
    return odd


def _without_duplicates(pictures: list[UsablePicture], findings: _Findings) -> tuple[UsablePicture, ...]:
    """Keep one of several byte-identical pictures, or none if their annotations differ."""
    by_digest: dict[str, list[UsablePicture]] = defaultdict(list)
    for picture in pictures:
        by_digest[picture.found.digest].append(picture)
    kept = []
    for same in by_digest.values():
        if len({frozenset(picture.instances) for picture in same}) == 1:
            kept.append(same[0])
            findings.num_copies += len(same) - 1
            findings.num_of_copies += sum(len(other.instances) for other in same[1:])
            for other in same[1:]:
                message = f"the same picture as {same[0].found.name}; kept once"
                findings.problems.append(DataProblem("warning", "picture-twice", other.found.name, message))
            continue
        for picture in same:
            name = picture.found.name
            message = "the same picture is in the batch again with other annotations"
            hint = f"keep one of {', '.join(other.found.name for other in same[:4])}"
            findings.problems.append(DataProblem("error", "picture-contradicts", name, message, hint, name))
    return tuple(kept)
