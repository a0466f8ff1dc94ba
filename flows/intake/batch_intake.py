"""A batch of labelled pictures comes in and becomes a data version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dataset.coco.document import COCO
from dataset.formats.archives import open_source
from dataset.ingestion.ingest import ingest_batch
from dataset.ingestion.plan import IngestOptions
from dataset.ingestion.refusal import BatchRefusedError
from dataset.raw.conversion import conversion_of
from dataset.readers.table import read_labels
from dataset.version_store import DatasetStore
from dataset.versions.difference import compare_versions
from flows.intake.ingest_report import report_of_refusal, report_of_result, write_batch_report
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.errors import StorageError
from maskloop.ledger.port import Ledger
from maskloop.records.kinds import VersionIngested, write_record
from maskloop.state.loop_state import LoopState
from maskloop.workspace import Workspace
from registry.mlflow_adapter.metric_names import translated

if TYPE_CHECKING:
    from dataset.coco.document import CocoFile
    from dataset.ingestion.ingest import IngestResult
    from dataset.labelled_pictures import DatasetVersion
    from flows.intake.ingest_report import BatchReport


def ingest(
    app: App, annotations: Path, images_dir: Path | None = None, *, options: IngestOptions | None = None
) -> IngestResult:
    """Validate a batch, add it to the data, version it, tell the ledger, and write its report.

    A second run with the same batch changes nothing; an interrupted run is completed by the next one.

    Args:
        app: The workspace.
        annotations: The labels: a file, a folder or a ZIP archive, in any format that a reader knows.
        images_dir: The folder its file names are relative to; None looks for it near the labels.
        options: What is said about it. Without a source it is named after the file.

    Raises:
        DataError: if the batch cannot be used; the data are as before, and the report is written and named.
        StorageError: if something could not be stored and verified; the data are as before.
    """
    # An interrupted ingest of this batch is recorded first: its labels would not count as new.
    record_missing_versions(app.ledger, app.state(), app.data)
    options = options or IngestOptions("")
    options = replace(options, source=options.source or annotations.stem)
    opened = open_source(annotations, images_dir=images_dir, annotator=options.annotator)
    with opened as source:  # until the report has drawn it
        coco = read_labels(source, key=options.format)
        if coco.read_as != COCO:
            app.teller.say(f"read as {coco.read_as}")
        result = _ingest(app.data, coco, options, app.workspace, app.teller)
        if result.version is not None:
            _record(app.ledger, app.teller, result, result.version, source=options.source, actor=app.actor)
        app.teller.say(result.balance.sentence())
        return replace(result, page=_write_report(app.workspace, app.teller, report_of_result(result)))


def _ingest(
    data: DatasetStore,
    coco: CocoFile,
    options: IngestOptions,
    workspace: Workspace,
    teller: Teller,
) -> IngestResult:
    """Add a batch to the data; if it is refused, write its report."""
    try:
        with teller.progress(f"checking and adding {options.source}") as progress:
            return ingest_batch(
                data,
                coco=coco,
                options=options,
                settings=workspace.settings,
                progress=progress,
            )
    except BatchRefusedError as refused:
        refused.annotations, refused.read_as = coco.path, coco.read_as
        refused.images_place = coco.images_place
        refused.page = _write_report(workspace, teller, report_of_refusal(refused))
        if refused.page:
            refused.hint = ". ".join(filter(None, (refused.hint, f"The whole report: {refused.page}")))
        raise


def _record(
    ledger: Ledger, teller: Teller, result: IngestResult, version: DatasetVersion, *, source: str, actor: str
) -> None:
    record = record_version(
        ledger,
        version,
        source=source,
        num_new_pictures=result.num_added,
        num_new_labelled=result.num_added + result.num_updated,
        num_quarantined=result.num_quarantined,
        balance=result.balance.counts(),
        mended=result.mended.num_by_code,
        actor=actor,
    )
    teller.say(record.sentence() if result.changed else f"nothing new: {record.tag} holds all of it")
    for name, given in translated(version.class_names).items():
        teller.say(f"MLflow does not take the name {name!r}: its charts call this class {given!r}")


def _write_report(workspace: Workspace, teller: Teller, report: BatchReport) -> Path | None:
    """Write the report of a batch; that this fails changes nothing about the batch."""
    try:
        settings = workspace.settings
        conversion = conversion_of(settings.pictures)
        return write_batch_report(workspace.reports_dir, report, settings.data.max_picture_mpx, conversion)
    except (StorageError, OSError) as error:
        teller.say(f"the report of the batch could not be written: {error}")
        return None


def record_version(
    ledger: Ledger,
    version: DatasetVersion,
    *,
    source: str,
    num_new_pictures: int = 0,
    num_new_labelled: int = 0,
    num_quarantined: int = 0,
    balance: Mapping[str, int] | None = None,
    mended: Mapping[str, int] | None = None,
    actor: str = "maskloop",
) -> VersionIngested:
    """Tell the ledger about a data version, once."""
    record = VersionIngested(
        tag=version.tag,
        fingerprint=version.fingerprint,
        dvc_md5=version.dvc_md5,
        git_commit=version.git_commit,
        source=source,
        num_pictures=len(version.pictures),
        num_new_pictures=num_new_pictures,
        num_new_labelled=num_new_labelled,
        num_quarantined=num_quarantined,
        balance=dict(balance or {}),
        mended=dict(mended or {}),
    )
    write_record(ledger, record, actor=actor, key=f"data:{version.fingerprint}:{version.tag}")
    return record


def record_missing_versions(ledger: Ledger, state: LoopState, data: DatasetStore) -> int:
    """Tell the ledger about versions whose ingest ended between the tag and the record; return how many."""
    known = state.labels_by_tag
    missing = [tag for tag in data.versions() if tag not in known]
    for tag in missing:
        version = data.open(tag)
        new = [picture for picture in version.pictures if picture.added_in == tag]
        record_version(
            ledger,
            version,
            source=", ".join(sorted({picture.source for picture in new})) or "an earlier batch",
            num_new_pictures=len(new),
            num_new_labelled=_count_new_labels(data, version),
        )
    return len(missing)


def _count_new_labels(store: DatasetStore, version: DatasetVersion) -> int:
    tags = store.versions()
    before = tags.index(version.tag) - 1
    if before < 0:
        return len(version.pictures)
    change = compare_versions(store.open(tags[before]), version)
    return len(change.added) + len(change.relabelled)
