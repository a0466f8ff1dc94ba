"""What a person wants to know first about a data version: counts, history, examples, newest problems."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from dataset.health.class_table import ClassTable, tabulate_classes
from dataset.health.histograms import (
    Bin,
    Example,
    choose_examples,
    count_extents,
    count_instances_of_pictures,
    tabulate_instances,
)
from dataset.labelled_pictures import DatasetVersion
from dataset.versions.overview import Overview, describe_version
from evaluation.coco_matching import SIZE_RANGES_PX
from flows.health.findings import TITLES
from flows.health.kept_check import KeptCheck, find_blocking, read_check
from flows.intake.batch_intake import record_missing_versions
from flows.workspace.wiring import App
from maskloop.errors import NotFoundError
from maskloop.ledger.port import Entry, Finder
from maskloop.records.kinds import ClassesChanging, VersionIngested, VersionRestored, read_record
from maskloop.records.record import Record
from maskloop.wording import count

MAX_EXAMPLES: Final = 96
SIZE_EDGES_PX: Final = (SIZE_RANGES_PX["medium"][0], SIZE_RANGES_PX["large"][0])
"""Areas from which on an instance is medium, and large, as COCO has them."""
_HISTORY_KINDS: Final = (VersionIngested.kind, VersionRestored.kind, ClassesChanging.kind)
_MAX_BATCHES: Final = 5


@dataclass(frozen=True)
class Event:
    """Something that made or changed the current data version.

    Attributes:
        at: UTC.
        actor: Who did it.
        tag: The version it is about.
        said: What happened, as a sentence.
        why: The reason that a person gave.
        num_pictures: In the version afterwards; None where the record does not say.
        num_new: New pictures.
        num_relabelled: Pictures with other labels.
        num_quarantined: Pictures that were left out.
        mended: Masks that were mended, by the code of the bend.
    """

    at: datetime
    actor: str
    tag: str
    said: str
    why: str = ""
    num_pictures: int | None = None
    num_new: int = 0
    num_relabelled: int = 0
    num_quarantined: int = 0
    mended: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class BatchProblems:
    """What the report of a batch says.

    Attributes:
        page: Name of its page, beside this one.
        said: What became of the batch.
        kinds: Severity, code, number and message of each kind of problem that is not a remark.
    """

    page: str
    said: str
    kinds: tuple[tuple[str, str, int, str], ...]


@dataclass(frozen=True)
class DataReport:
    """Everything on the page of the data.

    Attributes:
        version: The data version.
        is_current: It is the one that trainings and ingests build on.
        as_of: When it was written, UTC.
        overview: Counts by split, source, class and size of picture.
        classes: Instances of each class by split and size.
        instances_of_picture: Pictures by their number of instances.
        extents_px: Instances by the side of a square as large.
        origins: Pictures by who made their labels.
        examples: Instances to look at, class by class.
        history: Oldest first.
        check: The newest data check; None if there was none.
        batches: The newest batches with problems, newest first.
        blocking: The kinds of findings of that check that no training begins with.
    """

    version: DatasetVersion
    is_current: bool
    as_of: datetime
    overview: Overview
    classes: ClassTable
    instances_of_picture: tuple[Bin, ...]
    extents_px: tuple[Bin, ...]
    origins: tuple[tuple[str, int], ...]
    examples: tuple[Example, ...]
    history: tuple[Event, ...] = ()
    check: KeptCheck | None = None
    batches: tuple[BatchProblems, ...] = ()
    blocking: tuple[str, ...] = ()

    @property
    def is_check_current(self) -> bool:
        """The newest check was of this version."""
        return self.check is not None and self.check.fingerprint == self.version.fingerprint

    def sentences(self) -> list[str]:
        """Return the page in short."""
        everything, splits = self.overview.everything, self.overview.everything.pictures
        said = [
            f"{self.version.tag}: {count(everything.num_pictures, 'picture')} with "
            f"{count(everything.num_instances, 'instance')} of "
            f"{count(len(self.overview.by_class), 'class', 'classes')} from "
            f"{count(len(self.overview.by_source), 'source')}: "
            + ", ".join(f"{number} {split}" for split, number in splits.items()),
            *self.classes.remarks(),
        ]
        if not self.is_check_current:
            said.append("this version was not checked yet: `maskloop data check`")
        elif self.check and self.check.found:
            found = "; ".join(f"{TITLES[kind]}: {one.number}" for kind, one in self.check.found.items())
            said.append(f"the newest data check found: {found}")
        return said

    def to_json(self) -> dict[str, Any]:
        """Return the numbers of the page as plain data."""
        pictures, names = self.version.pictures, self.version.class_names
        return {
            "tag": self.version.tag,
            "current": self.is_current,
            "as of": self.as_of.isoformat(),
            "overview": asdict(self.overview),
            "classes": asdict(self.classes),
            "remarks": self.classes.remarks(),
            "pictures by number of instances": [asdict(one) for one in self.instances_of_picture],
            "instances by side of a square as large, px": [asdict(one) for one in self.extents_px],
            "labels made by": dict(self.origins),
            "history": [{**asdict(one), "at": one.at.isoformat()} for one in self.history],
            "examples": [
                {
                    "class": names[one.class_index],
                    "picture": pictures[one.row].name,
                    "label": one.label,
                    "size": one.said,
                }
                for one in self.examples
            ],
            "newest check": asdict(self.check) if self.check else None,
            "blocks training": list(self.blocking),
            "newest problems of batches": [asdict(one) for one in self.batches],
        }


def report_data(app: App, tag: str = "") -> DataReport:
    """Gather what the page of a data version says.

    Args:
        app: The workspace.
        tag: The version; empty for the current one.

    Raises:
        NotFoundError: if there is no such version, or none yet.
    """
    record_missing_versions(app.ledger, app.state(), app.data)
    current = app.data.current()
    version = app.data.open(tag) if tag else current
    if version is None:
        raise NotFoundError("there is no data version yet", hint="run `maskloop ingest` first")
    check = read_check(app.workspace.check_file)
    return replace(
        describe_data(version, as_of=app.clock.now()),
        is_current=current is not None and current.tag == version.tag,
        history=tell_data_history(app.ledger),
        check=check,
        batches=read_batch_problems(app.workspace.reports_dir),
        blocking=find_blocking(check, app.settings.data.check_policy) if check else (),
    )


def describe_data(version: DatasetVersion, *, as_of: datetime) -> DataReport:
    """Count what a version holds, as if it were the current one and nothing else were known. Pure.

    Args:
        version: The data version.
        as_of: UTC.
    """
    pictures, num_classes = version.pictures, len(version.class_names)
    table = tabulate_instances(pictures)
    return DataReport(
        version=version,
        is_current=True,
        as_of=as_of,
        overview=describe_version(version),
        classes=tabulate_classes(pictures, version.class_names, size_edges_px=SIZE_EDGES_PX),
        instances_of_picture=count_instances_of_pictures(table),
        extents_px=count_extents(table),
        origins=tuple(Counter(picture.label_origin for picture in pictures).most_common()),
        examples=choose_examples(table, num_classes, most=MAX_EXAMPLES),
    )


def tell_data_history(ledger: Finder) -> tuple[Event, ...]:
    """Return what made and changed the data versions, oldest first."""
    found = [(entry, read_record(entry)) for entry in ledger.find(kinds=_HISTORY_KINDS)]
    return tuple(_describe_event(entry, record) for entry, record in found if record is not None)


def _describe_event(entry: Entry, record: Record) -> Event:
    if isinstance(record, VersionIngested):
        return Event(
            entry.at,
            entry.actor,
            record.tag,
            f"from {record.source}",
            num_pictures=record.num_pictures,
            num_new=record.num_new_pictures,
            num_relabelled=record.num_new_labelled - record.num_new_pictures,
            num_quarantined=record.num_quarantined,
            mended=tuple(sorted(record.mended.items())),
        )
    if isinstance(record, VersionRestored):
        said = f"brought back in place of {record.previous_tag}" if record.previous_tag else "brought back"
        return Event(entry.at, record.by, record.tag, said, why=record.why, num_pictures=record.num_pictures)
    if isinstance(record, ClassesChanging):
        said = record.sentence().removesuffix(f": {record.why}")
        return Event(entry.at, record.by, record.tag, said, why=record.why)
    return Event(entry.at, entry.actor, "", record.sentence())


def read_batch_problems(folder: Path) -> tuple[BatchProblems, ...]:
    """Return what the reports of the newest batches with problems say, newest first."""
    files: Sequence[Path] = sorted(
        folder.glob("ingest-*.json"), key=lambda file: (file.stat().st_mtime_ns, file.name), reverse=True
    )
    found = []
    for file in files[: 2 * _MAX_BATCHES]:
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            kinds = tuple(
                (one["severity"], one["code"], one["count"], one["message"])
                for one in told["kinds"]
                if one["severity"] != "info"
            )
            if kinds:
                found.append(BatchProblems(file.with_suffix(".html").name, told["said"], kinds))
        except (OSError, ValueError, KeyError, TypeError):  # half written, or by another version
            continue
    return tuple(found[:_MAX_BATCHES])
