"""The tool that wrote a file is named by what the file says, or by fields that only it writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset.bends.tools import name_tool
from dataset.coco.document import CocoFile, coco_from, read_json
from tests.label_tools.environments import RECORDS

WRITERS = {
    "label-studio-coco-polygons/result.json": "Label Studio",
    "label-studio-brush-to-coco/result_coco.json": "Label Studio",
    "datumaro-coco-from-rle/annotations/instances_default.json": "datumaro or CVAT",
    "supervision-coco-from-rle/annotations.json": "supervision",
    "supervisely-coco-bitmaps/annotations/coco_instances.json": "Supervisely",
    "sahi-coco-of-mixed/again.json": "SAHI",
    "fiftyone-coco-from-rle/labels.json": "",
}


@pytest.mark.parametrize(("file", "tool"), WRITERS.items())
def test_the_tool_of_a_real_file_is_named(file: str, tool: str) -> None:
    path = RECORDS / file
    assert name_tool(coco_from(read_json(path), path)) == tool


@pytest.mark.parametrize(("tool", "named"), [("  ", ""), ("Somebody", "Somebody")])
def test_a_file_without_lists_is_named_by_what_it_says_alone(tool: str, named: str) -> None:
    assert name_tool(CocoFile(Path("a.json"), (), (), (), tool=tool.strip())) == named


def test_entries_that_are_no_records_are_passed_over() -> None:
    assert name_tool(CocoFile(Path("a.json"), (3, {}), ("x",), (None,))) == ""
