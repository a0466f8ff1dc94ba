"""The class IoU by source: computed from two tables, kept in the workspace, compared across versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.evidence.iou_by_source import (
    comparison_rows,
    has_iou_rows,
    iou_rows,
    read_iou_rows,
    save_iou_rows,
)
from maskloop.errors import NotFoundError
from maskloop.workspace import Workspace
from tests.fakes.iou_tables import iou_table

NAMES = ("bolt", "nut")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def row(source: str, name: str, candidate: float | None, champion: float | None) -> dict[str, Any]:
    return {
        "source": source,
        "class": name,
        "instances": 4,
        "candidate": candidate,
        "champion": champion,
    }


def test_each_source_has_a_row_per_class_with_the_iou_over_its_own_instances() -> None:
    candidate = iou_table(
        [[0.5, 0.25], [1.0, 0.75], [0.125, 1.0]],
        class_names=NAMES,
        num_instances=np.array([[1, 2], [3, 2], [4, 4]]),
        sources=("belt", "belt", "arm"),
    )
    champion = iou_table(
        [[0.0, 0.5], [0.0, 0.5], [0.25, 0.25]],
        class_names=NAMES,
        num_instances=np.array([[1, 2], [3, 2], [4, 4]]),
        sources=("belt", "belt", "arm"),
    )
    assert iou_rows(candidate, champion) == [
        row("arm", "bolt", 0.125, 0.25),
        row("arm", "nut", 1.0, 0.25),
        row("belt", "bolt", 0.875, 0.0),  # (1 x 0.5 + 3 x 1.0) / 4
        row("belt", "nut", 0.5, 0.5),  # (2 x 0.25 + 2 x 0.75) / 4
    ]


def test_a_class_without_instances_in_a_source_has_no_iou_there() -> None:
    table = iou_table([[0.5, 0.0]], class_names=NAMES, num_instances=np.array([[4, 0]]))
    bolt, nut = iou_rows(table, table)
    assert (bolt["candidate"], bolt["champion"]) == (0.5, 0.5)
    assert (nut["candidate"], nut["champion"], nut["instances"]) == (None, None, 0)


def test_without_a_champion_its_column_is_empty() -> None:
    rows = iou_rows(iou_table([[0.5, 0.75]], class_names=NAMES), None)
    assert [(one["candidate"], one["champion"]) for one in rows] == [(0.5, None), (0.75, None)]


def test_figures_are_rounded_to_four_digits() -> None:
    (found,) = iou_rows(iou_table([[1 / 3]], class_names=("bolt",)), None)
    assert found["candidate"] == 0.3333


def test_kept_rows_come_back_as_they_were(workspace: Workspace) -> None:
    rows = [row("belt", "bolt", 0.5, None)]
    assert not has_iou_rows(workspace, "1")
    save_iou_rows(workspace, "1", rows)
    assert has_iou_rows(workspace, "1")
    assert read_iou_rows(workspace, "1") == rows
    assert not has_iou_rows(workspace, "2")


def test_a_version_that_was_judged_elsewhere_is_not_found(workspace: Workspace) -> None:
    with pytest.raises(NotFoundError, match="version 7 was not judged in this workspace"):
        read_iou_rows(workspace, "7")


def test_a_drift_is_told_by_both_models_on_both_sources(workspace: Workspace) -> None:
    save_iou_rows(workspace, "1", [row("belt", "bolt", 0.75, None), row("belt", "nut", 0.25, None)])
    second = [
        row("belt", "bolt", 0.5, 0.75),
        row("belt", "nut", 0.5, 0.25),
        row("arm", "bolt", 1.0, 0.125),
        row("arm", "nut", 0.5, None),
    ]
    save_iou_rows(workspace, "2", second)
    rows = comparison_rows(workspace, "1", "2", old_source="belt", new_source="arm")
    assert rows == [
        {"class": "bolt", "before": 0.75, "drifted": 0.125, "after": 1.0, "old_source": 0.5},
        {"class": "nut", "before": 0.25, "drifted": None, "after": 0.5, "old_source": 0.5},
        {"class": "mean", "before": 0.5, "drifted": 0.125, "after": 0.75, "old_source": 0.5},
    ], "a class without instances does not count in the mean"


def test_the_mean_of_classes_without_any_instances_is_unknown(workspace: Workspace) -> None:
    save_iou_rows(workspace, "1", [row("belt", "bolt", 0.75, None)])
    save_iou_rows(workspace, "2", [row("belt", "bolt", 0.5, 0.75), row("arm", "bolt", None, None)])
    mean = comparison_rows(workspace, "1", "2", old_source="belt", new_source="arm")[-1]
    assert (mean["before"], mean["drifted"], mean["after"]) == (0.75, None, None)
