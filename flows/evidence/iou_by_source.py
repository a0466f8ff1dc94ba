"""The class IoU of candidate and champion in a contest, by source, as the workspace keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from evaluation.instances import IouTable
from maskloop.errors import NotFoundError
from maskloop.files import write_text
from maskloop.workspace import Workspace

FILE: Final = "iou_by_source.json"


def has_iou_rows(workspace: Workspace, version: str) -> bool:
    """Return whether a version's class IoU was kept in this workspace."""
    return (workspace.verdict_dir(version) / FILE).exists()


def save_iou_rows(workspace: Workspace, version: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep a contest's class IoU by source in the workspace."""
    write_text(workspace.verdict_dir(version) / FILE, json.dumps(rows, indent=1))


def iou_rows(candidate: IouTable, champion: IouTable | None) -> list[dict[str, Any]]:
    """Return one row per source and class: instances, and the class IoU of candidate and champion."""
    rows = []
    for source in sorted(set(candidate.sources)):
        new = candidate.only_source(source)
        old = champion.only_source(source).class_iou() if champion else None
        for index, name in enumerate(candidate.class_names):
            rows.append(
                {
                    "source": source,
                    "class": name,
                    "instances": int(new.num_instances[:, index].sum()),
                    "candidate": _finite(new.class_iou()[index]),
                    "champion": _finite(old[index]) if old is not None else None,
                }
            )
    return rows


def comparison_rows(
    workspace: Workspace, old_version: str, new_version: str, *, old_source: str, new_source: str
) -> list[dict[str, Any]]:
    """Return per class, and as their mean: the old model before drift and on the new source, the new on both.

    A class without instances in a source has None there and does not count in the mean.
    """
    first = {(row["source"], row["class"]): row for row in read_iou_rows(workspace, old_version)}
    second = {(row["source"], row["class"]): row for row in read_iou_rows(workspace, new_version)}
    names = list(dict.fromkeys(name for _, name in second))
    rows = [
        {
            "class": name,
            "before": first[old_source, name]["candidate"],
            "drifted": second[new_source, name]["champion"],
            "after": second[new_source, name]["candidate"],
            "old_source": second[old_source, name]["candidate"],
        }
        for name in names
    ]
    columns = ("before", "drifted", "after", "old_source")
    return [*rows, {"class": "mean", **{column: _mean([row[column] for row in rows]) for column in columns}}]


def read_iou_rows(workspace: Workspace, version: str) -> list[dict[str, Any]]:
    """Read what `save_iou_rows` kept. Raises NotFoundError."""
    path = workspace.verdict_dir(version) / FILE
    if not path.exists():
        raise NotFoundError(f"version {version} was not judged in this workspace", where=str(path))
    rows: list[dict[str, Any]] = json.loads(path.read_text())
    return rows


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean over the classes that have instances; None if none has."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _finite(value: Any) -> float | None:
    return round(float(value), 4) if value == value else None
