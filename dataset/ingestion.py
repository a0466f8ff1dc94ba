"""A batch becomes part of the next data version: gather what lies there, decide, apply.

Ingesting the same batch again changes nothing. A batch with too many unusable pictures, or one that would
change the label schema unasked, is refused as a whole with the full report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from dataset.catalog import Catalog, picture_file, read_catalog, write_catalog
from dataset.coco import CocoFile, is_safe_name, read_coco
from dataset.decoding import SandboxedDecoder
from dataset.labels import compare_label_distribution, settle_schema
from dataset.metadata import without_metadata
from dataset.problems import Problem, collapsed
from dataset.revision import DatasetStore, link_or_copy, next_tag
from dataset.samples import DatasetVersion, Instance, Picture, Split
from dataset.splitting import Newcomer, Place, Resident, SplitPlan, assign_splits, difference_hash
from dataset.validation import FoundPicture, UsablePicture, ValidationReport, picture_names, validate_batch
from maskloop.digest import digest_bytes
from maskloop.errors import DataError, PictureError, StorageError
from maskloop.files import storage_error
from maskloop.settings import Settings

Progress = Callable[[int, int], None]
MAX_PICTURE_BYTES: Final = 256 * 2**20


class BatchRefusedError(DataError):
    """The batch as a whole cannot be used; nothing has changed.

    Attributes:
        report: Everything that was found.
    """

    def __init__(self, headline: str, report: ValidationReport, *, where: str, hint: str = "") -> None:
        super().__init__(headline, where=where, hint=hint)
        self.report = report


@dataclass(frozen=True)
class IngestResult:
    """What an ingest did.

    Attributes:
        version: The version that is current now.
        previous_tag: The version before, or an empty string.
        report: Everything that was found in the batch.
        changed: False if the batch brought nothing new.
        num_added: Pictures no version on the way held.
        num_updated: Pictures that were there and have other instances now.
        num_unchanged: Pictures that were there with the same instances.
        num_quarantined: Pictures left out.
    """

    version: DatasetVersion | None
    previous_tag: str
    report: ValidationReport
    changed: bool
    num_added: int
    num_updated: int
    num_unchanged: int
    num_quarantined: int


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


def ingest_batch(
    store: DatasetStore,
    *,
    annotations: Path,
    images_dir: Path,
    source: str,
    split: Split | None,
    settings: Settings,
    label_origin: str = "human",
    allow_schema_change: bool = False,
    progress: Progress | None = None,
) -> IngestResult:
    """Take a COCO batch into the next data version.

    Args:
        store: Where versions live.
        annotations: The batch's COCO file.
        images_dir: The folder its file names are relative to.
        source: Where the pictures come from.
        split: The split of new groups, or None to let the hash of the group decide.
        settings: The data section and the classes count.
        label_origin: ``human``, or ``model-reviewed`` for a model's labels a person has corrected.
        allow_schema_change: Accept new or missing classes; recorded as warnings in the report.
        progress: Called with (pictures read, pictures in all).

    Raises:
        DataError: if the annotation file cannot be read.
        BatchRefusedError: if the batch is refused as a whole; its ``report`` says why.
        StorageError: if something could not be written; the previous version is still current.
        UnavailableError: if another ingest is running, or the remote does not answer.
    """
    batch = Batch(source, split, label_origin, allow_schema_change)
    coco = read_coco(annotations)
    found = find_pictures(coco, images_dir, max_mpx=settings.data.max_picture_mpx, progress=progress)
    with store.staging() as folder:
        previous, versions = store.current(), store.versions()
        catalog = read_catalog(previous.root) if previous else None
        residents = _residents(store, previous, versions)
        plan = plan_ingest(
            coco, found, batch, settings, previous=catalog, residents=residents, tag=next_tag(versions)
        )
        version = previous
        if plan.changes_something:
            stage(folder, plan, images_dir, previous_root=previous.root if previous else None)
            message = f"{len(plan.added)} pictures added and {len(plan.updated)} relabelled from {source}"
            version = store.commit(folder, message)
    return _result(plan, version, previous)


def _result(
    plan: IngestPlan, version: DatasetVersion | None, previous: DatasetVersion | None
) -> IngestResult:
    return IngestResult(
        version=version,
        previous_tag=previous.tag if previous else "",
        report=plan.report,
        changed=plan.changes_something,
        num_added=len(plan.added),
        num_updated=len(plan.updated),
        num_unchanged=len(plan.report.usable) - len(plan.added) - len(plan.updated),
        num_quarantined=len(plan.report.quarantined),
    )


def find_pictures(
    coco: CocoFile, images_dir: Path, *, max_mpx: float, progress: Progress | None = None
) -> dict[str, FoundPicture | Problem]:
    """Look at every picture the COCO file lists; decode it in a child process."""
    names = picture_names(coco)
    found: dict[str, FoundPicture | Problem] = {}
    with SandboxedDecoder(max_mpx=max_mpx) as decoder:
        for number, name in enumerate(names, start=1):
            found[name] = _find(name, images_dir, decoder)
            if progress:
                progress(number, len(names))
    return found


def _find(name: str, images_dir: Path, decoder: SandboxedDecoder) -> FoundPicture | Problem:
    if not is_safe_name(name):
        return Problem("error", "unsafe-name", name, "the file name leads out of the pictures' folder")
    try:
        if (images_dir / name).stat().st_size > MAX_PICTURE_BYTES:
            return Problem("error", "picture-too-large", name, "the picture's file is too large")
        data = (images_dir / name).read_bytes()
        decoded = decoder.open(data)
    except FileNotFoundError:
        return Problem("error", "picture-missing", name, "the picture is listed but not there")
    except (OSError, ValueError) as error:
        return Problem("error", "picture-unreadable", name, f"the picture cannot be read: {error}")
    except PictureError as error:
        return Problem("error", "picture-broken", name, error.headline, error.hint)
    height, width, _ = decoded.pixels.shape
    if decoded.has_location:
        data = without_metadata(data, orientation=decoded.orientation)
    return FoundPicture(
        name,
        digest_bytes(data),
        decoded.extension,
        width,
        height,
        decoded.orientation,
        decoded.has_location,
        difference_hash(decoded.pixels),
    )


def _residents(
    store: DatasetStore, previous: DatasetVersion | None, versions: Sequence[str]
) -> tuple[Resident, ...]:
    """Return every picture with a place: of the current version and, after a restore, of the newest."""
    tags = dict.fromkeys(([previous.tag] if previous else []) + list(versions[-1:]))
    residents: dict[str, Resident] = {}
    for tag in tags:
        catalog = read_catalog(store.open(tag).root)
        for picture in catalog.pictures:
            look = catalog.difference_hashes[picture.digest]
            resident = Resident(picture.digest, picture.name, picture.group, picture.split, look)
            residents.setdefault(picture.digest, resident)
    return tuple(residents.values())


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
    report = validate_batch(coco, found, class_names=settings.classes or old_names)
    class_names, schema_problems = settle_schema(
        configured=settings.classes,
        previous=old_names,
        incoming=report.batch_classes,
        allow_change=batch.allow_schema_change,
    )
    splits = _split(report.usable, batch, settings, residents)
    old = _reindexed(previous, class_names, report) if previous else {}
    mix_problems = _mix_problems(old, report, class_names)
    report = _merged(report, (*schema_problems, *splits.problems, *mix_problems))
    _refuse_if_unusable(report, settings.data.max_quarantined_percent, str(coco.path))
    return _planned(report, batch, splits.places, old, previous, class_names, tag)


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
            hint="keep the class, or start a new workspace without it",
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
        elif _as_set(known.instances) != _as_set(usable.instances):
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


def _as_set(instances: Sequence[Instance]) -> frozenset[Instance]:
    return frozenset(instances)


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


def stage(folder: Path, plan: IngestPlan, images_dir: Path, *, previous_root: Path | None) -> None:
    """Fill a folder with the next version: old pictures linked, new ones copied, the catalog written.

    Raises:
        StorageError: if a picture changed since it was looked at, or the disk is full.
    """
    added = {found.digest: found for found in plan.added}
    for picture in plan.catalog.pictures:
        target = folder / picture.file
        target.parent.mkdir(parents=True, exist_ok=True)
        found = added.get(picture.digest)
        try:
            if found:
                target.write_bytes(_stored_bytes(found, images_dir))
            elif previous_root:
                link_or_copy(previous_root / picture.file, target)
        except OSError as error:
            raise storage_error(error, target) from error
    write_catalog(folder, plan.catalog)


def _stored_bytes(found: FoundPicture, images_dir: Path) -> bytes:
    data = (images_dir / found.name).read_bytes()
    if found.told_location:
        data = without_metadata(data, orientation=found.orientation)
    if digest_bytes(data) != found.digest:
        raise StorageError("a picture changed while it was taken in", where=found.name)
    return data
