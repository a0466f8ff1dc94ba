"""A batch of labelled pictures comes in and becomes a data version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flows.wiring import App
from maskloop.records import VersionIngested, write_record
from registry.metric_names import translated

if TYPE_CHECKING:
    from dataset.ingestion import IngestResult
    from dataset.samples import DatasetVersion, Split


def ingest(
    app: App,
    annotations: Path,
    images_dir: Path,
    *,
    source: str = "",
    split: Split | None = None,
    label_origin: str = "human",
    allow_schema_change: bool = False,
) -> IngestResult:
    """Validate a COCO batch, add it to the data, version it and tell the ledger.

    Running it twice with the same batch changes nothing; interrupted, it continues when started again.

    Raises:
        DataError: with the whole report if the batch cannot be used; the data are as before.
        StorageError: if something could not be stored and verified; the data are as before.
    """
    from dataset.ingestion import ingest_batch

    record_missing_versions(app)  # an interrupted ingest of this batch: its labels would not count as new
    source = source or annotations.stem
    with app.teller.progress(f"checking and adding {source}") as progress:
        result = ingest_batch(
            app.data,
            annotations=annotations,
            images_dir=images_dir,
            source=source,
            split=split,
            settings=app.settings,
            label_origin=label_origin,
            allow_schema_change=allow_schema_change,
            progress=progress,
        )
    if result.version is None:
        return result
    record = VersionIngested(
        tag=result.version.tag,
        fingerprint=result.version.fingerprint,
        dvc_md5=result.version.dvc_md5,
        git_commit=result.version.git_commit,
        source=source,
        num_pictures=len(result.version.pictures),
        num_new_pictures=result.num_added,
        num_new_labelled=result.num_added + result.num_updated,
        num_quarantined=result.num_quarantined,
    )
    write_record(app.ledger, record, actor=app.actor, key=f"data:{result.version.fingerprint}:{record.tag}")
    app.teller.say(record.sentence() if result.changed else f"nothing new: {record.tag} holds all of it")
    for name, given in translated(result.version.class_names).items():
        app.teller.say(f"MLflow does not take the name {name!r}: its charts call this class {given!r}")
    return result


def record_missing_versions(app: App) -> int:
    """Tell the ledger about versions whose ingest ended between the tag and the record; return how many."""
    known = {version.tag for version in app.state().versions}
    missing = [tag for tag in app.data.versions() if tag not in known]
    for tag in missing:
        version = app.data.open(tag)
        new = [picture for picture in version.pictures if picture.added_in == tag]
        num_labelled = _count_new_labels(app, version)
        record = VersionIngested(
            tag=tag,
            fingerprint=version.fingerprint,
            dvc_md5=version.dvc_md5,
            git_commit=version.git_commit,
            source=", ".join(sorted({picture.source for picture in new})) or "an earlier batch",
            num_pictures=len(version.pictures),
            num_new_pictures=len(new),
            num_new_labelled=num_labelled,
            num_quarantined=0,
        )
        write_record(app.ledger, record, key=f"data:{version.fingerprint}:{tag}")
    return len(missing)


def _count_new_labels(app: App, version: DatasetVersion) -> int:
    from dataset.difference import compare_versions

    tags = app.data.versions()
    before = tags.index(version.tag) - 1
    if before < 0:
        return len(version.pictures)
    change = compare_versions(app.data.open(tags[before]), version)
    return len(change.added) + len(change.relabelled)
