"""Label files that real tools wrote, read by maskloop: tests/records/labels, one scene in all of them.

What becomes of each object is compared with the tables of docs/labelling.md, which are made from the same
files. Here stand the claims: which export keeps each object to the pixel, and how the others are told.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dataset.bends.table import BENDS
from dataset.coco.document import CocoFile
from dataset.formats.archives import open_source
from dataset.readers.table import read_labels
from tests.label_tools import measuring
from tests.label_tools.catalogue import CATALOGUE, EXPORT_READERS, READERS
from tests.label_tools.environments import RECORDS
from tests.label_tools.tables import TABLES, find_table

EXPORTS = [export.folder for tool in CATALOGUE for export in tool.exports]
READ_BY_TOOLS = {*READERS, *EXPORT_READERS}
WHOLE = {"ring": "1.000", "two": "1.000", "dot": "1.000", "crowd": "1.000", "edge": "1.000"}
WITHOUT_CROWDS = WHOLE | {"crowd": "1.000, not a crowd"}
OUTLINES = WITHOUT_CROWDS | {"ring": "0.938"}
OUTLINES_APART = OUTLINES | {"two": "0.500, 2 objects"}

SURVIVES = {
    "datumaro-json-masks": WHOLE,
    "datumaro-json-from-mixed": WHOLE,
    "datumaro-reads": WHOLE,
    "datumaro-reads-coco": WHOLE,
    "datumaro-reads-datumaro": WHOLE,
    "supervision-reads-coco": WHOLE,
    "fiftyone-reads-fiftyone": WHOLE,
    "labelme-reads-labelme": WHOLE,
    "label-studio-reads-label-studio": WHOLE | {"crowd": "lost"},
    "fiftyone-reads": WHOLE,
    "supervision-reads": WHOLE,
    "datumaro-cvat-masks": WITHOUT_CROWDS,
    "datumaro-cvat-from-mixed": WITHOUT_CROWDS,
    "datumaro-voc-masks": WITHOUT_CROWDS,
    "label-studio-json-brush": WITHOUT_CROWDS,
    "label-studio-json-bitmask": WITHOUT_CROWDS,
    "label-studio-json-min-brush": WITHOUT_CROWDS,
    "label-studio-json-min-polygons": OUTLINES_APART,
    "datumaro-labelme-xml-masks": WHOLE,
    "datumaro-labelme-xml-from-mixed": WHOLE,
    "labelme-masks": WITHOUT_CROWDS,
    "supervisely-coco-bitmaps": WITHOUT_CROWDS,
    "supervisely-project-bitmaps": WITHOUT_CROWDS,
    "supervisely-project-polygons": WITHOUT_CROWDS | {"two": "0.500, 2 objects"},
    "labelme-polygons": OUTLINES,
    "label-studio-json-polygons": OUTLINES_APART,
    "label-studio-coco-polygons": OUTLINES_APART,
    "label-studio-yolo-polygons": OUTLINES_APART,
    "label-studio-json-photo": {"photo": "1.000"},
    "label-studio-json-photo-brush": {"photo": "1.000"},
    "label-studio-coco-photo": {"photo": "1.000"},
    "labelme-photo": {"photo": "1.000"},
    "datumaro-coco-photo": {"photo": "1.000"},
}
"""What an export has of each object, where all that the tool can hold survives.

Outlines have no holes, and Label Studio and Supervisely make an object of each part.
"""

TOLD = {
    "datumaro-coco-from-mixed": {"warning masks-one-pixel-short"},
    "datumaro-coco-from-rle": {"error no-mask", "warning masks-one-pixel-short"},
    "datumaro-coco-masks": {"error class-of-crowds"},
    "datumaro-coco-masks-as-masks": {"error class-of-crowds"},
    "datumaro-coco-polygons-mode": {"error no-mask", "warning masks-one-pixel-short"},
    "datumaro-yolo-ultralytics-from-mixed": {"error no-mask"},
    "fiftyone-coco-from-rle": {"error no-mask", "warning polygon-inside-polygon"},
    "label-studio-brush-to-coco": {"warning masks-one-pixel-short"},
    "label-studio-brush-to-coco-photo": {"warning masks-one-pixel-short"},
    "label-studio-coco-brush": {"error no-annotations"},
    "label-studio-coco-photo": {"warning label-studio-photo"},
    "label-studio-coco-polygons-and-brush": {"warning objects-dropped"},
    "label-studio-coco-two-annotators": {"error picture-listed-twice"},
    "label-studio-json-two-annotators": {"warning two-annotators"},
    "label-studio-json-min-two-annotators": {"warning two-annotators", "info json-min"},
    "sahi-coco-of-rle": {"error boxes-without-masks"},
    "sahi-slices-of-mixed": {"warning masks-are-boxes"},
    "sahi-slices-of-rle": {"warning masks-are-boxes"},
    "supervisely-coco-polygons": {"error empty-mask", "warning masks-one-pixel-short"},
    "supervision-coco-from-mixed": {"warning masks-one-pixel-short", "warning polygon-inside-polygon"},
    "supervision-coco-from-rle": {"error no-mask", "warning masks-one-pixel-short"},
    "supervision-coco-of-detections": {"error no-mask", "warning masks-one-pixel-short"},
    "supervision-yolo": {"error no-mask"},
}
"""What has to be said, among other things, of an export that bends."""

NOT_READ = {
    "datumaro-cityscapes-masks": "Cityscapes",
    "supervision-voc": "Pascal VOC",
}

ZIPPED = [
    "datumaro-cvat-masks",
    "datumaro-json-masks",
    "datumaro-labelme-xml-masks",
    "label-studio-brush-to-coco",
    "label-studio-json-brush",
    "label-studio-yolo-polygons",
    "labelme-masks",
    "supervisely-project-bitmaps",
]


def measured(folder: str) -> measuring.Measured:
    return measuring.measure_reads(folder) if folder in READ_BY_TOOLS else measuring.measure(folder)


@pytest.mark.parametrize(("folder", "cells"), SURVIVES.items(), ids=SURVIVES)
def test_what_an_export_holds_is_read_to_the_pixel(folder: str, cells: dict[str, str]) -> None:
    assert measured(folder).cells == cells


@pytest.mark.parametrize(("folder", "told"), TOLD.items(), ids=TOLD)
def test_a_bend_is_told(folder: str, told: set[str]) -> None:
    assert told <= set(measured(folder).told)


@pytest.mark.parametrize("folder", [folder for folder in SURVIVES if folder not in {*TOLD, *READ_BY_TOOLS}])
def test_an_export_without_a_bend_is_called_none(folder: str) -> None:
    bends = {"masks-one-pixel-short", "masks-half-a-pixel-off", "polygon-inside-polygon", "masks-are-boxes"}
    assert bends.isdisjoint(one.split()[1] for one in measured(folder).told)


@pytest.mark.parametrize(("folder", "layout"), NOT_READ.items(), ids=NOT_READ)
def test_a_layout_without_objects_is_refused_by_its_name(folder: str, layout: str) -> None:
    assert layout in measured(folder).refused


@pytest.mark.parametrize("folder", ZIPPED)
def test_an_export_in_an_archive_is_read_like_its_folder(folder: str, tmp_path: Path) -> None:
    batch = measuring.lay_out(folder, tmp_path / "batch")
    inside = [*batch.iterdir()]
    batch = (
        inside[0] if len(inside) == 1 else batch
    )  # in an archive, a folder around everything does not count
    archive = Path(shutil.make_archive(str(tmp_path / "export"), "zip", batch))
    with labels_of(batch) as plain, labels_of(archive) as packed:
        assert packed.annotations
        assert (packed.images, packed.annotations) == (plain.images, plain.annotations)
        assert (packed.categories, packed.format, packed.tool) == (plain.categories, plain.format, plain.tool)


@contextmanager
def labels_of(path: Path) -> Iterator[CocoFile]:
    with open_source(path) as source:
        yield read_labels(source)


def test_every_record_is_in_the_catalogue_and_the_other_way_round() -> None:
    folders = {path.name for path in RECORDS.iterdir() if path.is_dir()} - {"pictures"}
    assert folders == {*EXPORTS, *READ_BY_TOOLS}


@pytest.mark.slow
@pytest.mark.parametrize(("place", "tabulate"), TABLES.items(), ids=[name for _, name in TABLES])
def test_the_tables_about_labelling_tools_are_what_the_records_show(place, tabulate) -> None:
    path, name = place
    page = path.read_text(encoding="utf-8")
    advice = "write them anew with python -m tests.label_tools.tables, and read the difference"
    assert find_table(page, name)[1] == "\n".join(tabulate()), advice


def test_every_bend_is_explained() -> None:
    page = (RECORDS.parents[2] / "docs" / "labelling.md").read_text(encoding="utf-8")
    assert [bend.code for bend in BENDS if f"`{bend.code}`" not in page] == []
