"""Deciding what the next data version holds, from what was gathered. Pure: nothing here touches a disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dataset.bends.evidence import Batch
from dataset.bends.mending import Mended, judge_bends
from dataset.coco.document import CocoFile
from dataset.coco.frames import Frame
from dataset.coco.labels import compare_label_distribution, read_batch_classes, read_categories, settle_schema
from dataset.coco.validation import (
    FoundPicture,
    Reading,
    UsablePicture,
    ValidationReport,
    names_left_out,
    validate_batch,
)
from dataset.coco.whole_batch import CrowdRule
from dataset.ingestion.audit import warn_of_names
from dataset.ingestion.balance import Balance, Fates, draw_balance
from dataset.ingestion.partly_read import judge_unused_bits, warn_of_unread_frames
from dataset.ingestion.refusal import BatchRefusedError, refuse_if_unusable
from dataset.ingestion.relabelling import (
    Relabelling,
    compare_labels,
    join_instances,
    judge_relabelling,
    judge_undone_mends,
    with_both_histories,
)
from dataset.ingestion.splitting import Newcomer, Place, Resident, SplitPlan, assign_splits
from dataset.labelled_pictures import LabelledInstance, LabelledPicture, LabelOrigin, Split
from dataset.problems import DataProblem
from dataset.raw.conversion import conversion_of
from dataset.versions.catalog import Catalog, picture_file
from maskloop.settings.workspace_settings import Settings


@dataclass(frozen=True)
class IngestOptions:
    """What a caller says about a batch.

    Attributes:
        source: Where the pictures come from: a camera, a site.
        split: The split of new groups, or None to let the hash decide.
        label_origin: Who made its labels.
        allow_schema_change: A person agreed to new or missing classes.
        frame: Where the masks of pictures that EXIF turns were drawn; None leaves it to the file.
        crowds: What crowd regions are; ``ask`` refuses a class that has nothing else.
        relabelling: What happens to the labels of pictures that are in the data already; ``ask`` replaces
            them unless that takes a class from a picture that had it.
        format: The format of the labels, one of `dataset.readers.table.FORMATS`; empty: told by content.
        mend: A person asked to undo what the labelling tool's export did to the masks.
        annotator: Whose annotation counts where a picture has several; empty: the format's own rule.
    """

    source: str
    split: Split | None = None
    label_origin: LabelOrigin = "human"
    allow_schema_change: bool = False
    frame: Frame | None = None
    crowds: CrowdRule = "ask"
    relabelling: Relabelling = "ask"
    format: str = ""
    mend: bool = False
    annotator: str = ""


@dataclass(frozen=True)
class IngestPlan:
    """What the next version will hold.

    Attributes:
        catalog: All its pictures.
        added: Pictures whose files have to be stored, as they were found.
        updated: Digests of pictures with other instances than before.
        schema_changed: The classes are not the current version's.
        report: Everything that was found.
        balance: What came, what is kept, and what is not and why.
        mended: What was mended in the batch's masks.
    """

    catalog: Catalog
    added: tuple[FoundPicture, ...]
    updated: tuple[str, ...]
    schema_changed: bool
    report: ValidationReport
    balance: Balance
    mended: Mended

    @property
    def changes_something(self) -> bool:
        """False if the next version would be the current one."""
        return bool(self.added or self.updated) or self.schema_changed


def plan_ingest(
    coco: CocoFile,
    found: Mapping[str, FoundPicture | DataProblem],
    options: IngestOptions,
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
        options: What the caller says about it.
        settings: The data section and the classes count.
        previous: The current version's catalog.
        residents: Pictures that have a split, in any version.
        tag: The next version's tag.

    Raises:
        BatchRefusedError: if the batch cannot be used as a whole.
    """
    old_names = previous.class_names if previous else ()
    reading = Reading(options.frame, options.crowds, settings.data.max_quarantined_percent)
    class_names, schema_problems = _settle_schema(coco, options, settings, old_names)
    report, bends, mended = judge_bends(
        Batch(coco, reading),
        lambda batch: validate_batch(batch.coco, found, class_names=class_names, reading=batch.reading),
        is_mending=options.mend,
    )
    splits = _split(report.usable, options, settings, residents)
    old = _reindexed(previous, class_names, report) if previous else {}
    files = [usable.found for usable in report.usable]
    unused = judge_unused_bits(
        files, is_first_batch=previous is None, is_stated=settings.pictures.states_range
    )
    unread = (*unused, *warn_of_unread_frames(files))
    report = _merged(report, (*schema_problems, *bends, *splits.problems, *unread))
    labels = _settle_labels(report.usable, old, options.relabelling, class_names)
    bent = frozenset() if options.mend else frozenset(bend.code for bend in bends)
    undone = judge_undone_mends([old[digest] for digest in labels.changed], bent, options.relabelling)
    report = _merged(report, (*labels.problems, *undone, *_mix_problems(old, report, class_names)))
    new = tuple(usable.found for usable in report.usable if usable.found.digest not in old)
    fates = Fates(len(new), len(labels.changed), labels.num_known, splits.group_sizes)
    balance = draw_balance(report, fates)
    refuse_if_unusable(report, balance, settings.data.max_quarantined_percent, str(coco.path))
    catalog = _next_catalog(
        report.usable, labels.changed, options, mended, splits.places, old, previous, class_names, tag
    )
    catalog = replace(catalog, conversion=conversion_of(settings.pictures))
    schema_changed = previous is None or previous.class_names != class_names
    return IngestPlan(catalog, new, tuple(labels.changed), schema_changed, report, balance, mended)


def refuse_other_schema(
    coco: CocoFile, options: IngestOptions, settings: Settings, previous_names: tuple[str, ...]
) -> None:
    """Refuse a batch for its classes alone, before any of its pictures is read. Pure.

    Raises:
        BatchRefusedError: if its categories are unusable or do not fit the label schema.
    """
    problems: list[DataProblem] = []
    read_categories(coco.categories, problems)
    class_names, schema_problems = _settle_schema(coco, options, settings, previous_names)
    report = ValidationReport((*problems, *schema_problems), class_names, (), ())
    refuse_if_unusable(report, None, settings.data.max_quarantined_percent, str(coco.path))


def _settle_schema(
    coco: CocoFile, options: IngestOptions, settings: Settings, previous_names: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[DataProblem, ...]]:
    return settle_schema(
        configured=settings.classes,
        previous=previous_names,
        incoming=read_batch_classes(coco),
        allow_change=options.allow_schema_change,
    )


def _split(
    usable: Sequence[UsablePicture], options: IngestOptions, settings: Settings, residents: Sequence[Resident]
) -> SplitPlan:
    known = {resident.digest for resident in residents}
    newcomers = [
        Newcomer(p.found.digest, p.found.name, p.declared_group, p.found.difference_hash, p.found.cells)
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
        declared=options.split,
    )
    returning = {resident.digest: Place(resident.group, resident.split) for resident in residents}
    problems = plan.problems
    if not settings.data.group_pattern:
        placed = [
            Resident(one.digest, one.name, place.group, place.split, one.difference_hash)
            for one in newcomers
            if (place := plan.places.get(one.digest))
        ]
        problems += warn_of_names((*residents, *placed), frozenset(one.name for one in placed))
    return SplitPlan({**plan.places, **returning}, problems, plan.group_sizes)


def _reindexed(
    previous: Catalog, class_names: tuple[str, ...], report: ValidationReport
) -> dict[str, LabelledPicture]:
    """Return the current pictures by digest, their class indices pointing into the new schema."""
    if previous.class_names == class_names:
        return {picture.digest: picture for picture in previous.pictures}
    used = {instance.class_index for picture in previous.pictures for instance in picture.instances}
    gone = [previous.class_names[index] for index in used if previous.class_names[index] not in class_names]
    if gone:
        raise BatchRefusedError(
            f"the current version has instances of {', '.join(sorted(gone))}, which the schema would drop",
            report,
            draw_balance(report, Fates()),
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


@dataclass(frozen=True)
class _Labels:
    """What the pictures of a batch that are in the data already carry from now on.

    Attributes:
        changed: Instances by digest, of those that get other ones.
        problems: What people should know about it.
        num_known: Annotations left out because the data hold the same object.
    """

    changed: Mapping[str, tuple[LabelledInstance, ...]]
    problems: tuple[DataProblem, ...]
    num_known: int


def _settle_labels(
    usable: Sequence[UsablePicture],
    old: Mapping[str, LabelledPicture],
    rule: Relabelling,
    class_names: Sequence[str],
) -> _Labels:
    """Replace the labels of known pictures, or join them with the new ones, as the batch says."""
    changed: dict[str, tuple[LabelledInstance, ...]] = {}
    problems: list[DataProblem] = []
    num_known = 0
    for picture in usable:
        known = old.get(picture.found.digest)
        if known is None or set(known.instances) == set(picture.instances):
            continue
        instances = picture.instances
        if rule == "add":
            instances, num_same, contradicts = join_instances(known.instances, picture.instances)
            num_known += num_same
            if contradicts:
                message = "an object lies on one of another class that the data hold; both are kept"
                told = DataProblem("warning", "two-classes", picture.found.name, message, example=known.name)
                problems.append(told)
        if set(known.instances) != set(instances):
            changed[known.digest] = instances
    changes = compare_labels([old[digest] for digest in changed], changed, class_names)
    return _Labels(changed, (*problems, *judge_relabelling(changes, rule)), num_known)


def _mix_problems(
    old: Mapping[str, LabelledPicture], report: ValidationReport, class_names: Sequence[str]
) -> tuple[DataProblem, ...]:
    counts = [0] * len(class_names)
    for picture in old.values():
        for instance in picture.instances:
            counts[instance.class_index] += not instance.is_crowd
    return compare_label_distribution(counts, report.instances_per_class[: len(class_names)], class_names)


def _merged(report: ValidationReport, problems: Sequence[DataProblem]) -> ValidationReport:
    left_out = set(names_left_out(problems))
    return replace(
        report,
        all_problems=(*report.all_problems, *problems),
        usable=tuple(picture for picture in report.usable if picture.found.name not in left_out),
        quarantined=tuple(sorted({*report.quarantined, *left_out})),
    )


def _next_catalog(
    usable: Sequence[UsablePicture],
    changed: Mapping[str, tuple[LabelledInstance, ...]],
    options: IngestOptions,
    mended: Mended,
    places: Mapping[str, Place],
    old: Mapping[str, LabelledPicture],
    previous: Catalog | None,
    class_names: tuple[str, ...],
    tag: str,
) -> Catalog:
    pictures = dict(old)
    hashes = dict(previous.difference_hashes) if previous else {}
    for picture in usable:
        digest, codes = picture.found.digest, mended.codes_by_picture.get(picture.found.name, ())
        if digest not in old:
            pictures[digest] = replace(_new_picture(picture, options, places[digest], tag), mended=codes)
            hashes[digest] = picture.found.difference_hash
        elif digest in changed:
            new = replace(old[digest], instances=changed[digest], label_origin=options.label_origin)
            new = replace(new, mended=codes, origin=picture.origin)
            pictures[digest] = with_both_histories(old[digest], new) if options.relabelling == "add" else new
    return Catalog(class_names, tuple(pictures[digest] for digest in sorted(pictures)), hashes)


def _new_picture(usable: UsablePicture, options: IngestOptions, place: Place, tag: str) -> LabelledPicture:
    found = usable.found
    return LabelledPicture(
        digest=found.digest,
        file=picture_file(found.digest, found.extension),
        name=found.name,
        width_px=found.width_px,
        height_px=found.height_px,
        source=options.source,
        group=place.group,
        split=place.split,
        added_in=tag,
        label_origin=options.label_origin,
        instances=usable.instances,
        origin=usable.origin,
    )
