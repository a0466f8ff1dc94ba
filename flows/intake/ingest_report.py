"""The report of one batch, stored or refused: what was kept, every problem and its cure, and pictures."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from dataset.bends.mending import NOTHING_MENDED, Mended
from dataset.coco.validation import ValidationReport
from dataset.health.batch_looks import OtherLook
from dataset.ingestion.balance import Balance
from dataset.ingestion.ingest import IngestResult
from dataset.ingestion.refusal import BatchRefusedError
from dataset.problems import DataProblem, by_kind
from dataset.raw.conversion import PictureConversion
from flows.intake.batch_pictures import draw_examples, draw_looks
from maskloop.digest import digest_bytes, digest_file
from maskloop.files import write_text
from maskloop.pages.templates import open_template

_TEMPLATE: Final = Path(__file__).with_name("ingest_report.html.j2")
_MOST_ROWS: Final = 1000


@dataclass(frozen=True)
class BatchReport:
    """Everything there is to say about a batch.

    Attributes:
        outcome: What became of it.
        said: The same as a sentence.
        annotations: The file, folder or archive of its labels.
        read_as: The format they were read in, and the tool that wrote them.
        images_dir: The folder its pictures were looked for in.
        images_place: What to call that folder.
        tag: The version that is current now, or an empty string.
        balance: What came, what was kept, and what was not and why; of a refused batch, what could be kept;
            None if it was refused before its pictures were read.
        found: All that was found.
        mended: What was mended in its masks.
        looks: Classes that look otherwise in it than in the data.
    """

    outcome: Literal["stored", "nothing new", "refused"]
    said: str
    annotations: Path
    read_as: str
    images_dir: Path | None
    images_place: Path | None
    tag: str
    balance: Balance | None
    found: ValidationReport
    mended: Mended = NOTHING_MENDED
    looks: tuple[OtherLook, ...] = ()

    @property
    def kinds(self) -> tuple[DataProblem, ...]:
        """Each kind of problem once, with its number; the gravest first."""
        return by_kind(self.found.all_problems)

    @property
    def books(self) -> str:
        """The balance in one line."""
        if self.balance is None:
            return "its classes were refused before its pictures were read"
        said = self.balance.sentence()
        return f"if it were taken: {said}" if self.outcome == "refused" else said

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data. Errors and warnings are listed one by one, remarks once per kind."""
        told = [one for one in self.found.all_problems if one.severity != "info"]
        told += [one for one in self.kinds if one.severity == "info"]
        return {
            "outcome": self.outcome,
            "said": self.said,
            "annotations": str(self.annotations),
            "read as": self.read_as,
            "images": str(self.images_place or ""),
            "tag": self.tag,
            "quarantined": len(self.found.quarantined),
            "balance": {"said": self.books, **(asdict(self.balance) if self.balance else {})},
            "mended": dict(self.mended.num_by_code),
            "kinds": [asdict(problem) for problem in self.kinds],
            "problems": [asdict(problem) for problem in told],
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a table of the kinds of problems, with what to do about each."""
        return [
            {
                "severity": problem.severity,
                "number": problem.count,
                "problem": problem.code,
                "first": _place(problem),
                "message": problem.message,
                "what to do": problem.hint or "-",
            }
            for problem in self.kinds
        ]


def report_of_result(result: IngestResult) -> BatchReport:
    """Return the report of a batch that was taken in."""
    tag = result.version.tag if result.version else ""
    said = f"Stored as {tag}" if result.changed else f"Nothing new: {tag or 'the data'} holds all of it"
    return BatchReport(
        "stored" if result.changed else "nothing new",
        said,
        result.annotations,
        result.read_as,
        result.images_dir,
        result.images_place or result.images_dir,
        tag,
        result.balance,
        result.report,
        result.mended,
        result.looks,
    )


def report_of_refusal(refused: BatchRefusedError) -> BatchReport:
    """Return the report of a batch that was refused."""
    said = f"Refused, nothing was stored: {refused.headline}"
    return BatchReport(
        "refused",
        said,
        refused.annotations or Path(refused.where),
        refused.read_as,
        refused.images_dir,
        refused.images_dir and (refused.images_place or refused.images_dir),
        "",
        refused.balance,
        refused.report,
        looks=refused.looks,
    )


def write_batch_report(
    folder: Path, report: BatchReport, max_mpx: float, conversion: PictureConversion
) -> Path:
    """Write a page and a JSON file beside it, named after the batch; return the page's path.

    The same file or folder overwrites its earlier report.

    Args:
        folder: Created if it is missing.
        report: What to write.
        max_mpx: Pictures larger than this are not decoded.
        conversion: How values that are no 8-bit RGB become it.

    Raises:
        StorageError: if it cannot be written.
    """
    name = re.sub(r"[^\w.-]+", "_", report.annotations.stem)[:40]
    page = folder / f"ingest-{name}-{_digest(report.annotations)[:8]}.html"
    told = [one for one in report.found.problems if one.severity == "error"]
    told += [one for one in report.found.all_problems if one.severity == "warning"]
    text = open_template(_TEMPLATE).render(
        report=report,
        rows=report.rows(),
        told=[(one, _place(one)) for one in told[:_MOST_ROWS]],
        num_told=len(told),
        pictures=list(draw_examples(report.found, report.mended, report.images_dir, max_mpx, conversion))
        if report.images_dir
        else [],
        looks=list(draw_looks(report.looks, max_mpx, conversion)),
        data_file=page.with_suffix(".json").name,
    )
    write_text(page.with_suffix(".json"), json.dumps(report.to_json(), indent=1, ensure_ascii=False))
    write_text(page, text)
    return page


def _digest(labels: Path) -> str:
    return digest_bytes(str(labels.resolve()).encode()) if labels.is_dir() else digest_file(labels)


def _place(problem: DataProblem) -> str:
    """Return the picture's name, and the place in the file where that is another."""
    return ", ".join(dict.fromkeys(filter(None, (problem.shown_in, problem.where))))
