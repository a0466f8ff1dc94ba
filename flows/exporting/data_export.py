"""A data version for other tools: found, written in their format, and its losses told first."""

from __future__ import annotations

from pathlib import Path

from dataset.exports.table import find_writer
from dataset.exports.version_export import ExportReport, export_version
from dataset.labelled_pictures import Split
from dataset.version_store import DatasetStore
from flows.workspace.telling import Teller
from maskloop.errors import DataError


def export_data(
    store: DatasetStore,
    teller: Teller,
    target: Path,
    *,
    key: str,
    tag: str = "",
    split: Split | None = None,
    accepts_losses: bool = False,
) -> ExportReport:
    """Write a data version in another tool's format, and tell what that format does not hold.

    Args:
        store: Of the data versions.
        teller: Is told the losses before anything is written, and the progress.
        target: A folder that does not exist or is empty, or a file that ends with .zip.
        key: One of `dataset.exports.table.FORMATS`.
        tag: A data version; empty takes the current one.
        split: Its pictures alone; None takes all.
        accepts_losses: Write what the format holds, even if that is not all.

    Raises:
        DataError: if there is no data version yet.
        NotFoundError: if there is none of that tag, or the split has no pictures.
        RefusedError: if something is at the target, or the format does not hold everything.
        StorageError: if the target cannot be written; nothing is left of it.
    """
    version = store.open(tag) if tag else store.current()
    if version is None:
        raise DataError("there is nothing to export yet", hint="run `maskloop ingest` first")
    writer = find_writer(key)
    title = f"what {writer.format} does not hold"
    with teller.progress(f"exporting {version.tag}") as progress:
        return export_version(
            version,
            writer,
            target,
            split=split,
            accepts_losses=accepts_losses,
            progress=progress,
            tell_losses=lambda rows: teller.table("losses", rows, title),
        )
