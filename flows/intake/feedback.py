"""People's corrections of answers become labelled pictures of the data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dataset.ingestion.plan import IngestOptions
from dataset.pictures.decoding import sniff_format
from dataset.version_store import DatasetStore
from flows.intake.batch_intake import ingest
from flows.intake.label_batches import BatchPicture, ingest_pictures
from flows.workspace.wiring import App
from maskloop.digest import digest_bytes
from maskloop.errors import MaskloopError, PictureError
from maskloop.files import locked
from maskloop.settings.workspace_settings import Settings
from maskloop.wording import count
from monitoring.samples.corrections import Correction, CorrectionLog

if TYPE_CHECKING:
    from dataset.ingestion.ingest import IngestResult

_MAX_AT_ONCE: Final = 1000


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
