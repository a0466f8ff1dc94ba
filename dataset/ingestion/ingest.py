"""A batch becomes part of the next data version: gather what lies there, decide, apply.

Ingesting the same batch again changes nothing. A batch with too many unusable pictures, or one that would
change the label schema unasked, is refused as a whole with the full report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from dataset.bends.mending import NOTHING_MENDED, Mended
from dataset.coco.document import COCO, CocoFile
from dataset.coco.listing import picture_names
from dataset.coco.picture_files import PictureFolder, locate_pictures
from dataset.coco.validation import FoundPicture, ValidationReport
from dataset.health.batch_looks import OtherLook, SeenPicture, compare_batch
from dataset.ingestion.balance import Balance
from dataset.ingestion.plan import IngestOptions, IngestPlan, plan_ingest, refuse_other_schema
from dataset.ingestion.refusal import BatchRefusedError
from dataset.ingestion.splitting import Resident
from dataset.labelled_pictures import DatasetVersion
from dataset.pictures.decoding import DecodedPicture, decode_picture
from dataset.pictures.location import tells_place
from dataset.pictures.looks import difference_hash, grey_cells, near_pairs_between
from dataset.pictures.metadata import without_metadata
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from dataset.problems import DataProblem
from dataset.raw.conversion import PictureConversion, conversion_of
from dataset.version_store import DatasetStore, next_tag
from dataset.versions.catalog import picture_file
from maskloop.digest import digest_bytes
from maskloop.errors import PictureError, RefusedError, StorageError
from maskloop.files import storage_error
from maskloop.memory import collector_paused
from maskloop.settings.check_settings import rule_of
from maskloop.settings.workspace_settings import DataSettings, Settings

Progress = Callable[[int, int], None]
MAX_PICTURE_BYTES: Final = 256 * 2**20
_BROKEN_HINT: Final = "copy or export the picture again, or take it out of the labels"


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
        balance: What came, what was kept, and what was not and why.
        annotations: The file, folder or archive of the labels.
        images_dir: The folder its pictures were taken from.
        images_place: What to call that folder if it goes after the ingest, as an unpacked one does.
        read_as: The format the labels were read in, and the tool that wrote them.
        mended: What was mended in its masks.
        looks: Classes that look otherwise in it than in the data.
        page: The report of the batch, once it is written.
    """

    version: DatasetVersion | None
    previous_tag: str
    report: ValidationReport
    changed: bool
    num_added: int
    num_updated: int
    num_unchanged: int
    num_quarantined: int
    balance: Balance
    annotations: Path
    images_dir: Path
    images_place: Path | None = None
    read_as: str = COCO
    mended: Mended = NOTHING_MENDED
    looks: tuple[OtherLook, ...] = ()
    page: Path | None = None


@collector_paused()
def ingest_batch(
    store: DatasetStore,
    *,
    coco: CocoFile,
    images_dir: Path | None = None,
    options: IngestOptions,
    settings: Settings,
    progress: Progress | None = None,
) -> IngestResult:
    """Take a batch of labelled pictures into the next data version.

    Args:
        store: Where versions live.
        coco: The batch's labels, read from whatever format they were in.
        images_dir: The folder its file names are relative to; None takes the one the labels were read with,
            or looks for it near their file.
        options: What is said about it.
        settings: The data section and the classes count.
        progress: Called with (pictures read, pictures in all).

    Raises:
        BatchRefusedError: if the batch is refused as a whole; its ``report`` says why.
        RefusedError: if `data/` holds anything that no data version put there, or pictures under another
            conversion than the settings state.
        StorageError: if something could not be written; the previous version is still current.
        UnavailableError: if another ingest is running, or the remote does not answer.
    """
    store.refuse_to_lose()
    present, conversion = store.current(), conversion_of(settings.pictures)
    refuse_other_conversion(present, conversion)
    refuse_other_schema(coco, options, settings, present.class_names if present else ())
    images_dir = images_dir or coco.images_dir or locate_pictures(coco.path, picture_names(coco))
    limits = DecodingLimits(max_mpx=settings.data.max_picture_mpx)
    with SandboxedDecoder(limits, conversion) as decoder:
        found = find_pictures(coco, images_dir, decoder, progress)
        return _take_in(store, coco, images_dir, found, options, settings, decoder)


def _take_in(
    store: DatasetStore,
    coco: CocoFile,
    images_dir: Path,
    found: Mapping[str, FoundPicture | DataProblem],
    options: IngestOptions,
    settings: Settings,
    decoder: SandboxedDecoder,
) -> IngestResult:
    """Decide what the next version holds, and make it."""
    with store.staging() as folder:
        previous, versions = store.current(), store.versions()
        residents = _residents(store, previous, versions, found.values(), settings.data)
        try:
            plan = plan_ingest(
                coco,
                found,
                options,
                settings,
                previous=previous.catalog if previous else None,
                residents=residents,
                tag=next_tag(versions),
            )
            looks = look_at_classes(plan, previous, images_dir, settings.data, decoder)
            plan = with_other_looks(plan, looks, settings.data, str(coco.path))
        except BatchRefusedError as refused:
            refused.images_dir = images_dir
            raise
        version = previous
        if plan.changes_something:
            stage(folder, plan, images_dir, decoder)
            num_new, num_relabelled = len(plan.added), len(plan.updated)
            message = f"{num_new} pictures added and {num_relabelled} relabelled from {options.source}"
            version = store.commit(folder, plan.catalog, message)
    return _result(plan, version, previous, coco, images_dir, looks)


def _result(
    plan: IngestPlan,
    version: DatasetVersion | None,
    previous: DatasetVersion | None,
    coco: CocoFile,
    images_dir: Path,
    looks: tuple[OtherLook, ...],
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
        balance=plan.balance,
        annotations=coco.path,
        images_dir=images_dir,
        images_place=coco.images_place,
        read_as=coco.read_as,
        mended=plan.mended,
        looks=looks,
    )


def look_at_classes(
    plan: IngestPlan,
    previous: DatasetVersion | None,
    images_dir: Path,
    settings: DataSettings,
    decoder: SandboxedDecoder,
) -> tuple[OtherLook, ...]:
    """Return the classes that look otherwise in a batch than in the version before it."""
    if previous is None or not plan.added or rule_of(settings.check_policy, "look") == "ignore":
        return ()
    added = {found.digest: found for found in plan.added}
    old: list[SeenPicture] = []
    new: list[SeenPicture] = []
    for picture in plan.catalog.pictures:
        found = added.get(picture.digest)
        file = f"{images_dir}/{found.path}" if found else f"{previous.root}/{picture.file}"
        seen = SeenPicture(picture.name, file, picture.group, picture.instances)
        (new if found else old).append(seen)
    return compare_batch(
        old, new, plan.catalog.class_names, lambda file: decoder.open(Path(file).read_bytes()).pixels
    )


def with_other_looks(
    plan: IngestPlan, looks: Sequence[OtherLook], settings: DataSettings, where: str
) -> IngestPlan:
    """Add what was found about the looks of classes to the report of a plan.

    Raises:
        BatchRefusedError: if ``data.check_policy`` says that it blocks.
    """
    rule = rule_of(settings.check_policy, "look")
    problems = tuple(look.tell(rule) for look in looks)
    report = replace(plan.report, all_problems=(*plan.report.all_problems, *problems))
    if report.blocking:
        first = report.blocking[0]
        refused = BatchRefusedError(first.message, report, plan.balance, where=where, hint=first.hint)
        refused.looks = tuple(looks)
        raise refused
    return replace(plan, report=report)


def refuse_other_conversion(present: DatasetVersion | None, stated: PictureConversion) -> None:
    """Refuse a batch whose pictures would be converted otherwise than those that are there.

    Raises:
        RefusedError: a model would learn two meanings of the same grey.
    """
    if present is None or present.conversion == stated:
        return
    raise RefusedError(
        f"the pictures of {present.tag} are converted under {present.conversion.sentence()}, "
        f"and the settings state {stated.sentence()}",
        where="maskloop.toml: pictures",
        hint="Set [pictures] back, or begin a workspace with the new one and ingest the data folder of this "
        "one there, which holds all values",
    )


def find_pictures(
    coco: CocoFile, images_dir: Path, decoder: SandboxedDecoder, progress: Progress | None = None
) -> dict[str, FoundPicture | DataProblem]:
    """Look at every picture the COCO file lists."""
    names, folder = picture_names(coco), PictureFolder(images_dir, place=coco.images_place)
    found: dict[str, FoundPicture | DataProblem] = {}
    for number, name in enumerate(names, start=1):
        found[name] = _find(name, folder, decoder)
        if progress:
            progress(number, len(names))
    return found


def _find(name: str, folder: PictureFolder, decoder: SandboxedDecoder) -> FoundPicture | DataProblem:
    file = folder.find(name)
    if isinstance(file, DataProblem):
        return file
    try:
        if (folder.root / file).stat().st_size > MAX_PICTURE_BYTES:
            return DataProblem("error", "picture-too-large", name, "the picture's file is too large")
        data = (folder.root / file).read_bytes()
        decoded = decoder.open(data)
    except (OSError, ValueError) as error:
        return DataProblem("error", "picture-unreadable", name, f"the picture cannot be read: {error}")
    except PictureError as error:
        return DataProblem("error", "picture-broken", name, error.headline, error.hint or _BROKEN_HINT)
    if decoded.stored:
        data = decoded.stored
    told_location = not decoded.stored and tells_place(data)
    if told_location:
        data = without_metadata(data, orientation=decoded.orientation)
        if tells_place(data) or not _shows_the_same(data, decoded, decoder):
            message = "the picture contains a location, which cannot be removed without changing the picture"
            return DataProblem(
                "error", "location-not-removed", name, message, "save it again without metadata"
            )
    height, width, _ = decoded.pixels.shape
    return FoundPicture(
        name,
        digest_bytes(data),
        decoded.extension,
        width,
        height,
        decoded.orientation,
        told_location,
        difference_hash(decoded.pixels),
        cells=grey_cells(decoded.pixels),
        bits_used=decoded.bits_used,
        num_frames=decoded.num_frames,
        is_raw=decoded.stored is not None,
        file=file if file != name else "",
    )


def _shows_the_same(data: bytes, before: DecodedPicture, decoder: SandboxedDecoder) -> bool:
    try:
        after = decoder.open(data)
    except PictureError:
        return False
    return after.orientation == before.orientation and np.array_equal(after.pixels, before.pixels)


def _residents(
    store: DatasetStore,
    previous: DatasetVersion | None,
    versions: Sequence[str],
    found: Iterable[FoundPicture | DataProblem],
    settings: DataSettings,
) -> tuple[Resident, ...]:
    """Return every picture with a place: of the current version and, after a restore, of the newest.

    Those whose hash is near a new picture's are looked at more closely.
    """
    tags = dict.fromkeys(([previous.tag] if previous else []) + list(versions[-1:]))
    opened = [store.open(tag) for tag in tags]
    holders = {one.digest: (version, one) for version in reversed(opened) for one in version.pictures}
    known = [version.difference_hashes[one.digest] for version, one in holders.values()]
    hashes = np.array(known, np.uint64)
    looks = {p.difference_hash for p in found if isinstance(p, FoundPicture) and p.digest not in holders}
    pairs = near_pairs_between(
        hashes, np.array(sorted(looks), np.uint64), settings.near_duplicate_distance_bits
    )
    near = set(pairs[:, 0].tolist())
    return tuple(
        Resident(
            one.digest,
            one.name,
            one.group,
            one.split,
            look,
            read_cells(version.path(one), settings.max_picture_mpx) if number in near else None,
        )
        for number, ((version, one), look) in enumerate(zip(holders.values(), known, strict=True))
    )


def read_cells(file: Path, max_mpx: float) -> bytes | None:
    """Return the grey cells of a stored picture, or None if it cannot be read any more."""
    try:
        return grey_cells(decode_picture(file.read_bytes(), max_mpx=max_mpx))
    except (OSError, PictureError):
        return None


def stage(folder: Path, plan: IngestPlan, images_dir: Path, decoder: SandboxedDecoder) -> None:
    """Write the files of the pictures that the next version adds into a folder.

    Raises:
        StorageError: if a picture changed since it was looked at, or the disk is full.
    """
    for found in plan.added:
        target = folder / picture_file(found.digest, found.extension)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_stored_bytes(found, images_dir, decoder))
        except OSError as error:
            raise storage_error(error, target) from error


def _stored_bytes(found: FoundPicture, images_dir: Path, decoder: SandboxedDecoder) -> bytes:
    data = (images_dir / found.path).read_bytes()
    if found.is_raw:
        data = _raw_bytes(data, decoder)
    if found.told_location:
        data = without_metadata(data, orientation=found.orientation)
    if digest_bytes(data) != found.digest:
        raise StorageError("a picture changed while it was taken in", where=found.name)
    return data


def _raw_bytes(data: bytes, decoder: SandboxedDecoder) -> bytes:
    """Return what is stored of a file; nothing, which has another digest, if it does not decode any more."""
    try:
        return decoder.open(data).stored or b""
    except PictureError:
        return b""
