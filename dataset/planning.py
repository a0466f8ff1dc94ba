"""Deciding what the next data version holds, from what was gathered. Pure: nothing here touches a disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dataset.catalog import Catalog, picture_file
from dataset.coco import CocoFile
from dataset.labels import compare_label_distribution, read_batch_classes, read_categories, settle_schema
from dataset.problems import Problem, collapsed
from dataset.samples import Picture, Split
from dataset.splitting import Newcomer, Place, Resident, SplitPlan, assign_splits
from dataset.validation import FoundPicture, UsablePicture, ValidationReport, validate_batch
from maskloop.errors import DataError
from maskloop.settings import Settings


class BatchRefusedError(DataError):
    """The batch as a whole cannot be used; nothing has changed.

    Attributes:
        report: Everything that was found.
    """

    def __init__(self, headline: str, report: ValidationReport, *, where: str, hint: str = "") -> None:
        super().__init__(headline, where=where, hint=hint)
        self.report = report


@dataclass(frozen=True)
class Batch:
    """What a caller says about a batch.

    Attributes:
        source: Where the pictures come from: a camera, a site.
        split: The split of new groups, or None to let the hash decide.
        label_origin: ``human`` or ``model-reviewed``.
        allow_schema_change: A person agreed to new or missing classes.
    """

    source: str
    split: Split | None = None
    label_origin: str = "human"
    allow_schema_change: bool = False


@dataclass(frozen=True)
class IngestPlan:
    """What the next version will hold.

    Attributes:
        catalog: All its pictures.
        added: Pictures whose files have to be stored, as they were found.
        updated: Digests of pictures with other instances than before.
        schema_changed: The classes are not the current version's.
        report: Everything that was found.
    """

    catalog: Catalog
    added: tuple[FoundPicture, ...]
    updated: tuple[str, ...]
    schema_changed: bool
    report: ValidationReport

    @property
    def changes_something(self) -> bool:
        """False if the next version would be the current one."""
        return bool(self.added or self.updated) or self.schema_changed


def plan_ingest(
    coco: CocoFile,
    found: Mapping[str, FoundPicture | Problem],
    batch: Batch,
    settings: Settings,
    *,
    previous: Catalog | None,
    residents: Sequence[Resident],
    tag: str,
) -> IngestPlan:
    """Decide what the next version holds. Pure.

    Args:
        coco: The batch as read.
        found: Its pictures as found.
        batch: What the caller says about it.
        settings: The data section and the classes count.
        previous: The current version's catalog.
        residents: Pictures that have a split, in any version.
        tag: The next version's tag.

    Raises:
        BatchRefusedError: if the batch cannot be used as a whole.
    """
    old_names = previous.class_names if previous else ()
    class_names, schema_problems = _settle_schema(coco, batch, settings, old_names)
    report = validate_batch(coco, found, class_names=class_names)
    splits = _split(report.usable, batch, settings, residents)
    old = _reindexed(previous, class_names, report) if previous else {}
    mix_problems = _mix_problems(old, report, class_names)
    report = _merged(report, (*schema_problems, *splits.problems, *mix_problems))
    _refuse_if_unusable(report, settings.data.max_quarantined_percent, str(coco.path))
    return _planned(report, batch, splits.places, old, previous, class_names, tag)


def refuse_other_schema(
    coco: CocoFile, batch: Batch, settings: Settings, previous_names: tuple[str, ...]
) -> None:
    """Refuse a batch for its classes alone, before any of its pictures is read. Pure.

    Raises:
        BatchRefusedError: if its categories are unusable or do not fit the label schema.
    """
    problems: list[Problem] = []
    read_categories(coco.categories, problems)
    class_names, schema_problems = _settle_schema(coco, batch, settings, previous_names)
    report = ValidationReport(collapsed((*problems, *schema_problems)), class_names, (), ())
    _refuse_if_unusable(report, settings.data.max_quarantined_percent, str(coco.path))


def _settle_schema(
    coco: CocoFile, batch: Batch, settings: Settings, previous_names: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    return settle_schema(
        configured=settings.classes,
        previous=previous_names,
        incoming=read_batch_classes(coco),
        allow_change=batch.allow_schema_change,
    )


def _split(
    usable: Sequence[UsablePicture], batch: Batch, settings: Settings, residents: Sequence[Resident]
) -> SplitPlan:
    known = {resident.digest for resident in residents}
    newcomers = [
        Newcomer(p.found.digest, p.found.name, p.declared_group, p.found.difference_hash)
        for p in usable
        if p.found.digest not in known
    ]
    plan = assign_splits(
        newcomers,
        residents,
        val_percent=settings.data.val_percent,
        test_percent=settings.data.test_percent,
        near_duplicate_distance_bits=settings.data.near_duplicate_distance_bits,
        group_pattern=settings.data.group_pattern,
        declared=batch.split,
    )
    returning = {resident.digest: Place(resident.group, resident.split) for resident in residents}
    return SplitPlan({**plan.places, **returning}, plan.problems)


def _reindexed(
    previous: Catalog, class_names: tuple[str, ...], report: ValidationReport
) -> dict[str, Picture]:
    """Return the current pictures by digest, their class indices pointing into the new schema."""
    if previous.class_names == class_names:
        return {picture.digest: picture for picture in previous.pictures}
    used = {instance.class_index for picture in previous.pictures for instance in picture.instances}
    gone = [previous.class_names[index] for index in used if previous.class_names[index] not in class_names]
    if gone:
        raise BatchRefusedError(
            f"the current version has instances of {', '.join(sorted(gone))}, which the schema would drop",
            report,
            where="maskloop.toml: classes",
            hint="`maskloop data classes` drops, renames or merges classes that have instances",
        )
    index = {old: class_names.index(name) for old, name in enumerate(previous.class_names) if old in used}
    return {
        picture.digest: replace(
            picture,
            instances=tuple(replace(one, class_index=index[one.class_index]) for one in picture.instances),
        )
        for picture in previous.pictures
    }


def _mix_problems(
    old: Mapping[str, Picture], report: ValidationReport, class_names: Sequence[str]
) -> tuple[Problem, ...]:
    counts = [0] * len(class_names)
    for picture in old.values():
        for instance in picture.instances:
            counts[instance.class_index] += 1
    return compare_label_distribution(counts, report.instances_per_class[: len(class_names)], class_names)


def _merged(report: ValidationReport, problems: Sequence[Problem]) -> ValidationReport:
    left_out = {problem.picture for problem in problems if problem.picture}
    return replace(
        report,
        problems=collapsed((*report.problems, *problems)),
        usable=tuple(picture for picture in report.usable if picture.found.name not in left_out),
        quarantined=tuple(sorted({*report.quarantined, *left_out})),
    )


def _refuse_if_unusable(report: ValidationReport, max_percent: float, where: str) -> None:
    if report.blocking:
        first = report.blocking[0]
        more = f", and {len(report.blocking) - 1} more problems" if len(report.blocking) > 1 else ""
        raise BatchRefusedError(f"{first.message}{more}", report, where=where, hint=first.hint)
    if report.quarantined_percent > max_percent:
        errors = [problem for problem in report.problems if problem.severity == "error"]
        raise BatchRefusedError(
            f"{len(report.quarantined)} of {len(report.usable) + len(report.quarantined)} pictures cannot be "
            f"used ({report.quarantined_percent:.1f} %, accepted are {max_percent:g} %)",
            report,
            where=where,
            hint=f"the first: {errors[0].where}: {errors[0].message}",
        )


def _planned(
    report: ValidationReport,
    batch: Batch,
    places: Mapping[str, Place],
    old: Mapping[str, Picture],
    previous: Catalog | None,
    class_names: tuple[str, ...],
    tag: str,
) -> IngestPlan:
    pictures = dict(old)
    hashes = dict(previous.difference_hashes) if previous else {}
    added, updated = [], []
    for usable in report.usable:
        digest = usable.found.digest
        known = pictures.get(digest)
        if known is None:
            pictures[digest] = _new_picture(usable, batch, places[digest], tag)
            hashes[digest] = usable.found.difference_hash
            added.append(usable.found)
        elif set(known.instances) != set(usable.instances):
            pictures[digest] = replace(known, instances=usable.instances, label_origin=batch.label_origin)
            updated.append(digest)
    ordered = tuple(pictures[digest] for digest in sorted(pictures))
    return IngestPlan(
        Catalog(class_names, ordered, hashes),
        tuple(added),
        tuple(updated),
        schema_changed=previous is None or previous.class_names != class_names,
        report=report,
    )


def _new_picture(usable: UsablePicture, batch: Batch, place: Place, tag: str) -> Picture:
    found = usable.found
    return Picture(
        digest=found.digest,
        file=picture_file(found.digest, found.extension),
        name=found.name,
        width_px=found.width_px,
        height_px=found.height_px,
        source=batch.source,
        group=place.group,
        split=place.split,
        added_in=tag,
        label_origin=batch.label_origin,
        instances=usable.instances,
    )
