"""The records of exports, which labelling tools read, are what is written today."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset.exports.table import FORMATS
from tests.label_tools.catalogue import EXPORT_READERS
from tests.label_tools.measuring import measure_export
from tests.label_tools.own_exports import OWN_EXPORTS, write_exports

WHOLE = dict.fromkeys(("ring", "two", "dot", "crowd", "edge"), "1.000")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_the_records_are_what_is_written_today(tmp_path: Path) -> None:
    write_exports(tmp_path)
    advice = "write them anew with python -m tests.label_tools.own_exports, and read the difference"
    assert contents(tmp_path) == contents(OWN_EXPORTS), advice


@pytest.mark.parametrize("key", FORMATS)
def test_an_ingest_has_the_recorded_export_to_the_pixel_and_without_a_warning_of_bends(key: str) -> None:
    measured = measure_export(key)
    assert measured.cells == WHOLE | ({"crowd": "lost"} if key in ("yolo", "label-studio") else {})
    assert {*measured.told} <= {"warning crowd-regions", "warning class-without-instances"}


def test_every_format_is_read_by_a_tool() -> None:
    assert {key for key, _, _ in EXPORT_READERS.values()} == {*FORMATS}
