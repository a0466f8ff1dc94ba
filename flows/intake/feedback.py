"""People's feedback about answers is recorded, and corrections become labelled pictures of the data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dataset.coco.outlines import read_mask
from dataset.ingestion.plan import IngestOptions
from dataset.pictures.decoding import sniff_format
from dataset.version_store import DatasetStore
from flows.intake.batch_intake import ingest
from flows.intake.label_batches import BatchPicture, ingest_pictures
from flows.workspace.wiring import App
from maskloop.digest import digest_bytes
from maskloop.errors import DataError, MaskError, MaskloopError, NotFoundError, PictureError
from maskloop.files import locked
from maskloop.settings.workspace_settings import Settings
from maskloop.wording import count
from monitoring.samples.corrections import Correction, CorrectionLog

if TYPE_CHECKING:
    from dataset.ingestion.ingest import IngestResult
    from maskloop.masks import Rle
    from monitoring.samples.sample_log import SampleLog
    from monitoring.samples.values import Sample
    from serving.observing import Observer
    from serving.schemas import CorrectedInstance, FeedbackRequest

_MAX_INSTANCES: Final = 1000
_MAX_MASK_BYTES: Final = 4_000_000
_MAX_OUTLINE_PX: Final = 5_000_000.0
"""Of all outlines together: drawing this much takes a second."""
_MAX_AT_ONCE: Final = 1000


def take_feedback(
    samples: SampleLog,
    corrections: CorrectionLog,
    feedback: FeedbackRequest,
    *,
    by: str,
    now: datetime,
    observer: Observer | None = None,
) -> bool:
    """Record a person's feedback about an answer; returns whether it becomes a label.

    It does if the correction lists all instances and the picture is kept. The latest correction of an answer
    counts.

    Args:
        samples: Holds the answer.
        corrections: Takes the feedback.
        feedback: The person's.
        by: The person's name.
        now: The time that is recorded with it.
        observer: Counts feedback.

    Raises:
        NotFoundError: if no answer to this request was sampled.
        DataError: if a mask is not one, or does not fit the picture.
        UnavailableError: if the log stays locked.
    """
    sample = samples.get(feedback.request_id)
    if sample is None:
        raise NotFoundError(
            "no answer to such a request was kept",
            hint="only sampled answers can be judged, until their retention ends",
        )
    instances = None
    if feedback.instances is not None:
        instances = check_instances(feedback.instances, sample)
    correction = Correction(
        request_id=sample.sample_id,
        at=now,
        by=by,
        verdict=feedback.verdict,
        instances=instances,
        note=feedback.note,
        model_version=sample.model_version,
        source=sample.source,
        size_px=(sample.height_px, sample.width_px),
    )
    picture = samples.picture_bytes(sample) if instances is not None else None
    if corrections.add(correction, picture) and observer:
        observer.feedback_given(feedback.verdict, version=sample.model_version)
    return corrections.labels([sample.sample_id])[sample.sample_id].fate in ("waiting", "ingested")


def check_instances(instances: Sequence[CorrectedInstance], sample: Sample) -> tuple[tuple[str, Rle], ...]:
    """Return class name and mask of each instance, all of the stored picture's size.

    Raises:
        DataError: if the picture's size is not known, or there are too many instances or pixels.
        MaskError: if one is no mask, empty, of another size, or lies mostly outside the picture.
    """
    if not sample.height_px:
        raise DataError("masks cannot be checked: the size of this picture was not written down")
    if len(instances) > _MAX_INSTANCES:
        raise DataError(f"{len(instances)} instances are more than the {_MAX_INSTANCES} accepted")
    segmentations = [_as_coco(one) for one in instances]
    if sum(map(_outline_px, segmentations)) > _MAX_OUTLINE_PX:
        raise DataError("the outlines are too long", hint="send masks as RLE")
    checked = []
    for number, (one, segmentation) in enumerate(zip(instances, segmentations, strict=True), start=1):
        try:
            checked.append((one.class_name, _check_mask(segmentation, sample)))
        except MaskError as error:
            raise MaskError(f"instance {number}: {error.headline}") from error
    if sum(len(mask.counts) for _, mask in checked) > _MAX_MASK_BYTES:
        raise DataError("the masks are too detailed to be kept")
    return tuple(checked)


def _as_coco(instance: CorrectedInstance) -> Any:
    mask = instance.mask
    return mask if isinstance(mask, list) else {"size": list(mask.size), "counts": mask.counts}


def _outline_px(segmentation: Any) -> float:
    """Return about how far it is around polygons; a mask in another form is 0."""
    polygons: list[list[float]] = segmentation if isinstance(segmentation, list) else []
    axes = [axis for polygon in polygons for axis in (polygon[0::2], polygon[1::2])]
    return sum(abs(now - before) for axis in axes for before, now in pairwise([*axis, *axis[:1]]))


def _check_mask(segmentation: Any, sample: Sample) -> Rle:
    mask, _ = read_mask(segmentation, sample.height_px, sample.width_px)
    return mask


def ingest_corrections(app: App) -> list[str]:
    """Make the corrections that wait a labelled batch of the data, one for each source; say what came of it.

    Refused corrections keep their reason and stop waiting; the others are ingested. It is idempotent, also
    after a crash at any point: a batch enters the data once, and a correction that was replaced meanwhile
    keeps waiting.

    Raises:
        StorageError: if the data cannot be written; what was not ingested waits on.
        UnavailableError: if somebody else is at it, or the remote does not answer.
    """
    app.corrections.prune(app.clock.now())
    if not app.corrections.num_waiting():
        return []
    done: list[str] = []
    folder = app.workspace.state_dir / "corrections"
    lock = app.workspace.locks_dir / "corrections.lock"
    with locked(lock, what="the ingest of corrections", timeout_s=5.0):
        schema = find_schema(app.data, app.settings)
        usable, sentences = _set_aside(app.corrections, schema, app.corrections.waiting(_MAX_AT_ONCE))
        done += sentences
        for source, pictures in sorted(usable.items()):
            schema = find_schema(app.data, app.settings)
            take = partial(ingest, app)
            done += _ingest_source(source, pictures, app.corrections, folder, schema, take=take)
    return done


def ingest_enough_corrections(app: App) -> list[str]:
    """Ingest corrections once enough for a retraining wait; errors are reported and stop nothing."""
    enough = max(app.settings.retraining.min_new_labelled_samples, 1)
    if app.corrections.num_waiting() < enough:
        return []
    try:
        return ingest_corrections(app)
    except MaskloopError as error:
        app.teller.say(f"corrections could not be ingested: {error}")
        return []


_Pictures = Mapping[str, Sequence["Correction"]]
"""Corrections by the file name their picture gets; of several for one picture the last one counts."""


def _set_aside(
    log: CorrectionLog, schema: Sequence[str], waiting: Sequence[Correction]
) -> tuple[Mapping[str, _Pictures], list[str]]:
    """Sort corrections by source and picture; refuse those whose class or picture cannot be used."""
    refused: dict[str, list[Correction]] = defaultdict(list)
    by_name: dict[str, list[Correction]] = defaultdict(list)
    for correction in waiting:
        unknown = sorted({name for name, _ in correction.instances or ()} - set(schema))
        if unknown:
            refused[f"no class of the data is called {', '.join(unknown)}"].append(correction)
            continue
        try:
            by_name[_name_picture(log, correction)].append(correction)
        except PictureError as error:
            refused[error.headline].append(correction)
    usable: dict[str, dict[str, Sequence[Correction]]] = defaultdict(dict)
    for name, corrections in by_name.items():
        usable[corrections[-1].source][name] = corrections
    return usable, [_refuse(log, corrections, reason) for reason, corrections in refused.items()]


def find_schema(store: DatasetStore, settings: Settings) -> tuple[str, ...]:
    """Return the classes of the data: those of the settings, else those of the current version."""
    current = store.current()
    return settings.classes or (current.class_names if current else ())


def _name_picture(log: CorrectionLog, correction: Correction) -> str:
    picture = log.picture_bytes(correction.request_id)
    if picture is None:
        raise PictureError("its picture is not kept any more")
    return digest_bytes(picture) + sniff_format(picture)[1]


def _ingest_source(
    source: str,
    pictures: _Pictures,
    log: CorrectionLog,
    folder: Path,
    schema: Sequence[str],
    *,
    take: Callable[..., IngestResult],
) -> list[str]:
    """Ingest one source's pictures; each that is refused is told with its own reason.

    Args:
        source: Theirs.
        pictures: With their corrections.
        log: Holds the corrections.
        folder: Where the batch is written, and removed again.
        schema: The classes of the data.
        take: Ingests the batch.
    """
    batch = [_as_picture(name, corrections[-1], log) for name, corrections in pictures.items()]
    options = IngestOptions(source, label_origin="corrected", relabelling="replace")
    taken = ingest_pictures(take, folder, batch, schema, options)
    by_reason: dict[str, list[Correction]] = defaultdict(list)
    for name, reason in taken.refused.items():
        by_reason[reason] += pictures[name]
    done = [_refuse(log, corrections, reason) for reason, corrections in by_reason.items()]
    left = [each for name, each in pictures.items() if name not in {*taken.refused, *taken.waiting}]
    if not left:  # without any instance they wait for company
        return done
    log.mark_ingested([one for each in left for one in each], taken.tag)
    return [*done, f"{taken.tag} holds {count(len(left), 'corrected picture')} from {source}"]


def _as_picture(name: str, correction: Correction, log: CorrectionLog) -> BatchPicture:
    """Return a picture as it was received, with masks as they were drawn on that file."""
    instances = [(class_name, mask, False) for class_name, mask in correction.instances or ()]
    return BatchPicture(
        name,
        lambda: log.picture_bytes(correction.request_id) or b"",
        correction.size_px,
        "stored",
        instances,
    )


def _refuse(log: CorrectionLog, corrections: Iterable[Correction], reason: str) -> str:
    refused = list(corrections)
    log.mark_refused(refused, reason)
    return f"{len(refused)} corrections are no labels: {reason}"
