"""What an ingest returns, for stories in which the data are not of interest."""

from __future__ import annotations

from pathlib import Path

from dataset.coco.validation import ValidationReport
from dataset.ingestion.balance import Fates, draw_balance
from dataset.ingestion.ingest import IngestResult
from dataset.labelled_pictures import DatasetVersion

NOTHING_FOUND = ValidationReport((), (), (), ())


def ingest_result(version: DatasetVersion | None, *, num_added: int = 0) -> IngestResult:
    """Return the result of an ingest after which ``version`` is current."""
    return IngestResult(
        version=version,
        previous_tag="",
        report=NOTHING_FOUND,
        changed=num_added > 0,
        num_added=num_added,
        num_updated=0,
        num_unchanged=0,
        num_quarantined=0,
        balance=draw_balance(NOTHING_FOUND, Fates()),
        annotations=Path("batch.json"),
        images_dir=Path("images"),
    )
