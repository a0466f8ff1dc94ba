"""Refusing a batch as a whole: for a problem that concerns all of it, or for too many unusable pictures."""

from __future__ import annotations

from pathlib import Path

from dataset.coco.document import COCO
from dataset.coco.validation import ValidationReport
from dataset.health.batch_looks import OtherLook
from dataset.ingestion.balance import Balance
from dataset.problems import DataProblem, by_kind
from maskloop.errors import DataError
from maskloop.wording import count


class BatchRefusedError(DataError):
    """The batch as a whole cannot be used; nothing has changed.

    Attributes:
        report: Everything that was found.
        balance: What came, and what could have been kept; None if its pictures were not read.
        images_dir: The folder the pictures were looked for in, once that is known.
        annotations: The file, folder or archive of the labels, once that is known.
        images_place: What to call that folder if it goes after the ingest, as an unpacked one does.
        read_as: The format the labels were read in, and the tool that wrote them.
        looks: Classes that look otherwise in it than in the data.
        page: The report of the batch, once it is written.
    """

    def __init__(
        self, headline: str, report: ValidationReport, balance: Balance | None, *, where: str, hint: str = ""
    ) -> None:
        super().__init__(headline, where=where, hint=hint)
        self.report, self.balance = report, balance
        self.images_dir: Path | None = None
        self.annotations: Path | None = None
        self.images_place: Path | None = None
        self.read_as = COCO
        self.looks: tuple[OtherLook, ...] = ()
        self.page: Path | None = None


def refuse_if_unusable(
    report: ValidationReport, balance: Balance | None, max_percent: float, where: str
) -> None:
    """Refuse a batch that has a problem as a whole, or too many pictures that cannot be used. Pure.

    Args:
        report: What was found.
        balance: What came; None if its pictures were not read.
        max_percent: Share of its pictures, 0..100, that may be unusable.
        where: The labels that were read.

    Raises:
        BatchRefusedError: if it is refused.
    """
    if report.blocking:
        first = report.blocking[0]
        others = len(by_kind(report.blocking)) - 1
        more = f", and there are problems of {count(others, 'other kind')}" if others else ""
        raise BatchRefusedError(f"{first.message}{more}", report, balance, where=where, hint=first.hint)
    if report.quarantined_percent > max_percent:
        worst = by_kind(problem for problem in report.problems if problem.severity == "error")
        hint = "; ".join(map(_tell_kind, worst))
        raise BatchRefusedError(_too_many(report, max_percent), report, balance, where=where, hint=hint)


def _too_many(report: ValidationReport, max_percent: float) -> str:
    num_bad, most = len(report.quarantined), f"at most {max_percent:g} % may be bad"
    listed = count(num_bad + len(report.usable), "picture")
    if not report.usable:
        return f"none of the {listed} can be used ({most})"
    return f"{num_bad} of {listed} cannot be used ({report.quarantined_percent:.1f} %; {most})"


def _tell_kind(first: DataProblem) -> str:
    """Say what is wrong, how often and where first, and what to do."""
    place = first.where if first.picture in ("", first.where) else f"{first.picture}, {first.where}"
    advice = f" ({first.hint})" if first.hint else ""
    return f"{first.count} x {first.code}, first in {place}: {first.message}{advice}"
