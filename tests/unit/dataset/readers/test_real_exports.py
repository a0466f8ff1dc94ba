"""Label files that real tools wrote, read by maskloop: tests/records/labels, one scene in all of them.

The claims: which export keeps each object to the pixel, and how the others are told.
"""

from __future__ import annotations

import pytest

from tests.label_tools import measuring
from tests.label_tools.catalogue import CATALOGUE, READERS
from tests.label_tools.environments import RECORDS
from tests.label_tools.tables import TABLES, find_table

EXPORTS = [export.folder for tool in CATALOGUE for export in tool.exports]
WHOLE = {"ring": "1.000", "two": "1.000", "dot": "1.000", "crowd": "1.000", "edge": "1.000"}
WITHOUT_CROWDS = WHOLE | {"crowd": "1.000, not a crowd"}
HOLES_FILLED = WITHOUT_CROWDS | {"ring": "0.938"}

SURVIVES = {
    "datumaro-reads": WHOLE,
    "fiftyone-reads": WHOLE,
    "supervision-reads": WHOLE,
    "supervisely-coco-bitmaps": WITHOUT_CROWDS,
    "label-studio-coco-polygons": HOLES_FILLED | {"two": "0.500, 2 objects"},
    "label-studio-coco-photo": {"photo": "1.000"},
    "datumaro-cvat-masks": WITHOUT_CROWDS,
    "datumaro-cvat-from-mixed": WITHOUT_CROWDS,
    "datumaro-json-masks": WHOLE,
    "datumaro-json-from-mixed": WHOLE,
    "datumaro-voc-masks": WITHOUT_CROWDS,
    "supervisely-project-bitmaps": WITHOUT_CROWDS,
    "supervisely-project-polygons": WITHOUT_CROWDS | {"two": "0.500, 2 objects"},
    "label-studio-json-brush": WITHOUT_CROWDS,
    "label-studio-json-polygons": HOLES_FILLED | {"two": "0.500, 2 objects"},
    "label-studio-json-photo": {"photo": "1.000"},
    "label-studio-json-photo-brush": {"photo": "1.000"},
    "labelme-masks": WITHOUT_CROWDS,
    "labelme-polygons": HOLES_FILLED,
    "labelme-photo": {"photo": "1.000"},
    "label-studio-yolo-polygons": HOLES_FILLED | {"two": "0.500, 2 objects"},
}
"""What an export has of each object, for those that are advised or at least harmless."""

TOLD = {
    "datumaro-coco-masks": "error class-of-crowds",
    "datumaro-coco-from-rle": "error no-mask",
    "label-studio-coco-brush": "error no-annotations",
    "label-studio-coco-two-annotators": "error picture-listed-twice",
    "label-studio-coco-photo": "warning label-studio-photo",
    "label-studio-json-two-annotators": "warning two-annotators",
}
"""What has to be said of an export that bends."""


def measured(folder: str) -> measuring.Measured:
    return measuring.measure_reads(folder) if folder in READERS else measuring.measure(folder)


@pytest.mark.parametrize(("folder", "cells"), SURVIVES.items())
def test_what_an_export_holds_is_read_to_the_pixel(folder: str, cells: dict[str, str]) -> None:
    assert measured(folder).cells == cells


@pytest.mark.parametrize(("folder", "told"), TOLD.items())
def test_a_bend_is_told(folder: str, told: str) -> None:
    assert told in measured(folder).told


def test_every_record_is_in_the_catalogue_and_the_other_way_round() -> None:
    folders = {path.name for path in RECORDS.iterdir() if path.is_dir()} - {"pictures"}
    assert folders == {*EXPORTS, *READERS}


@pytest.mark.parametrize(("place", "tabulate"), TABLES.items(), ids=lambda value: str(value))
def test_the_tables_about_labelling_tools_are_what_the_records_show(place, tabulate) -> None:
    path, name = place
    page = path.read_text(encoding="utf-8")
    advice = "write them anew with python -m tests.label_tools.tables, and read the difference"
    assert find_table(page, name)[1] == "\n".join(tabulate()), advice
