"""Bends of a batch found, told as problems and, when asked to, mended. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from dataset.bends.evidence import Batch, Bend, Evidence, Finding, gather_evidence
from dataset.bends.table import BENDS
from dataset.bends.tools import name_tool
from dataset.coco.validation import UsablePicture, ValidationReport
from dataset.problems import DataProblem, Severity
from maskloop.masks import Rle
from maskloop.wording import count

Validate = Callable[[Batch], ValidationReport]


@dataclass(frozen=True)
class MendedExample:
    """A picture to look at.

    Attributes:
        code: The bend that was undone.
        before: The picture as it was read without mends.
        bent: The masks with that bend, in the frame they were drawn in.
    """

    code: str
    before: UsablePicture
    bent: frozenset[Rle]


@dataclass(frozen=True)
class Mended:
    """What the mends did to a batch.

    Attributes:
        num_by_code: Annotations of pictures that are kept, by the bend's code; or such pictures, where a bend
            is about pictures.
        codes_by_picture: The bends that were undone in each picture, by file name.
        examples: One for each bend.
    """

    num_by_code: Mapping[str, int]
    codes_by_picture: Mapping[str, tuple[str, ...]]
    examples: tuple[MendedExample, ...]


NOTHING_MENDED = Mended({}, {}, ())


def find_bends(evidence: Evidence) -> tuple[tuple[Bend, Finding], ...]:
    """Return the rows of the table that something was found for."""
    found = ((bend, bend.detect(evidence)) for bend in BENDS)
    return tuple((bend, finding) for bend, finding in found if finding is not None)


def judge_bends(
    batch: Batch, validate: Validate, *, is_mending: bool
) -> tuple[ValidationReport, tuple[DataProblem, ...], Mended]:
    """Validate a batch, look for bends and undo those that can be undone, if that is wanted.

    Args:
        batch: The file and how it is read.
        validate: Validates one.
        is_mending: A person asked for mends.

    Returns:
        The report of the batch as it is taken, problems for the bends, and what was mended.
    """
    report, tool = validate(batch), name_tool(batch.coco)
    found = find_bends(gather_evidence(batch.coco, batch.reading, report, tool))
    mends = [(bend, finding) for bend, finding in found if is_mending and bend.mend]
    if not mends:
        return report, _tell_all(found, report, tool), NOTHING_MENDED
    mended = batch
    for bend, finding in mends:
        if bend.mend:
            mended = bend.mend(mended, finding)
    after = validate(mended)
    left = find_bends(gather_evidence(mended.coco, mended.reading, after, tool))
    told = tuple(_tell_mended(bend, finding, after) for bend, finding in mends)
    return after, (*told, *_tell_all(left, after, tool)), _sum_up(mends, report, after)


def _tell_all(
    found: Iterable[tuple[Bend, Finding]], report: ValidationReport, tool: str
) -> tuple[DataProblem, ...]:
    return tuple(_tell(bend, finding, report, tool) for bend, finding in found if bend.is_told)


def _tell(bend: Bend, finding: Finding, report: ValidationReport, tool: str) -> DataProblem:
    written = f". Written by {tool}" if tool else ""
    message = f"{finding.message}. {bend.cause}{written}"
    return _problem(bend, finding, report, bend.severity, message, bend.cure)


def _tell_mended(bend: Bend, finding: Finding, report: ValidationReport) -> DataProblem:
    message = f"mended, as you asked: {count(finding.count, 'mask')}, {bend.mended}"
    hint = "look at the pictures in the report, before and after; ingest without --mend to undo it"
    return _problem(bend, finding, report, "warning", message, hint)


def _problem(
    bend: Bend, finding: Finding, report: ValidationReport, severity: Severity, message: str, hint: str
) -> DataProblem:
    (example, *_) = (*_kept(finding, report), *finding.pictures)
    return DataProblem(
        severity, bend.code, finding.where, message, hint, example=example, count=finding.count
    )


def _kept(finding: Finding, report: ValidationReport) -> list[str]:
    names = {picture.found.name for picture in report.usable}
    return [name for name in finding.pictures if name in names]


def _sum_up(
    mends: Iterable[tuple[Bend, Finding]], before: ValidationReport, after: ValidationReport
) -> Mended:
    codes: dict[str, list[str]] = {}
    examples: list[MendedExample] = []
    pictures = {picture.found.name: picture for picture in before.usable}
    numbers: dict[str, int] = {}
    for bend, finding in mends:
        kept = _kept(finding, after)
        names = set(kept)
        for name in [name for name in kept if name in pictures][:1]:
            bent = frozenset(one.instance.mask for one in finding.affected if one.picture == name)
            examples.append(MendedExample(bend.code, pictures[name], bent))
        for name in kept:
            codes.setdefault(name, []).append(bend.code)
        number = sum(one.picture in names for one in finding.affected) if finding.affected else len(kept)
        if number:
            numbers[bend.code] = number
    return Mended(
        numbers,
        {name: tuple(each) for name, each in codes.items()},
        tuple(examples),
    )
