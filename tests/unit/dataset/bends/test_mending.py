"""The bends of files that real tools wrote: found in each that is bent, and undone as far as they can be."""

from __future__ import annotations

import pytest

from dataset.bends.table import BENDS
from dataset.coco.document import read_coco
from dataset.problems import DataProblem
from dataset.synthetic.generation import generate
from tests.fakes.bent_batches import as_contours, as_rle, bends_of, draw_l, write_masks
from tests.label_tools.catalogue import CATALOGUE
from tests.label_tools.measuring import Measured, measure

CODES = {bend.code for bend in BENDS}
EXPORTS = [export.folder for tool in CATALOGUE for export in tool.exports]

BENT = {
    "label-studio-brush-to-coco": ["masks-one-pixel-short"],
    "label-studio-brush-to-coco-photo": ["masks-one-pixel-short"],
    "label-studio-coco-polygons": ["objects-dropped"],
    "label-studio-coco-polygons-and-brush": ["objects-dropped"],
    "datumaro-coco-from-mixed": ["masks-one-pixel-short"],
    "datumaro-coco-from-rle": ["masks-one-pixel-short", "pixel-lost"],
    "datumaro-coco-masks": ["class-of-crowds"],
    "datumaro-coco-masks-as-masks": ["class-of-crowds"],
    "datumaro-coco-masks-that-say-crowd": ["masks-one-pixel-short", "pixel-lost"],
    "datumaro-coco-polygons-mode": ["masks-one-pixel-short", "pixel-lost"],
    "supervision-coco-from-mixed": ["masks-one-pixel-short", "polygon-inside-polygon"],
    "supervision-coco-from-rle": ["masks-one-pixel-short", "pixel-lost", "polygon-inside-polygon"],
    "supervision-coco-of-detections": ["masks-one-pixel-short", "pixel-lost"],
    "supervisely-coco-polygons": ["masks-one-pixel-short"],
    "fiftyone-coco-from-mixed": ["masks-half-a-pixel-off", "pixel-lost", "polygon-inside-polygon"],
    "fiftyone-coco-from-rle": ["masks-half-a-pixel-off", "pixel-lost", "polygon-inside-polygon"],
    "sahi-slices-of-mixed": ["masks-are-boxes"],
    "sahi-slices-of-rle": ["masks-are-boxes"],
}
"""The bends of each export that is told as bent. The others are exact, or lose what the file cannot show."""

MENDED = {
    "label-studio-brush-to-coco": {"ring": "0.938", "crowd": "1.000, not a crowd", "edge": "1.000"},
    "label-studio-brush-to-coco-photo": {"photo": "1.000"},
    "datumaro-coco-from-mixed": {"ring": "0.938", "two": "1.000", "edge": "1.000"},
    "datumaro-coco-from-rle": {"ring": "0.938", "two": "1.000", "edge": "1.000", "dot": "1.000"},
    "datumaro-coco-masks": {"ring": "1.000", "two": "1.000", "dot": "1.000", "edge": "1.000"},
    "supervision-coco-from-mixed": {"ring": "1.000", "two": "1.000", "edge": "1.000"},
    "supervision-coco-from-rle": {"ring": "1.000", "two": "1.000", "edge": "1.000", "dot": "1.000"},
    "supervision-coco-of-detections": {"ring": "1.000", "two": "1.000", "edge": "1.000", "dot": "1.000"},
    "fiftyone-coco-from-rle": {"ring": "0.989", "two": "0.970", "edge": "0.985", "dot": "1.000"},
}
"""The IoU of each object after `--mend`. A hole that is not in the file stays filled: 0.938."""


def bends_told(measured: Measured) -> list[str]:
    return sorted(code for code in (each.split()[1] for each in measured.told) if code in CODES)


@pytest.mark.parametrize("folder", EXPORTS)
def test_a_real_export_is_told_to_be_bent_where_it_is(folder: str) -> None:
    assert bends_told(measure(folder)) == BENT.get(folder, [])


@pytest.mark.parametrize(("folder", "cells"), MENDED.items())
def test_a_real_export_is_mended_to_what_was_drawn(folder: str, cells: dict[str, str]) -> None:
    mended = measure(folder, is_mending=True).cells
    assert {name: mended[name] for name in cells} == cells


def test_generated_pictures_are_not_bent(tmp_path) -> None:
    annotations = generate(tmp_path / "demo", num_pictures=6, seed=3)
    _, problems, _ = bends_of(read_coco(annotations))
    assert problems == ()


def test_a_problem_says_what_why_by_which_tool_and_what_to_do() -> None:
    coco = write_masks([draw_l(number) for number in range(6)], as_contours, is_told=True)
    _, (problem,), _ = bends_of(coco)
    assert problem == DataProblem(
        "warning",
        "masks-one-pixel-short",
        "/annotations/0",
        problem.message,
        problem.hint,
        example="1.png",
        count=6,
    )
    assert problem.message.startswith("6 of 6 masks lack the last pixel at right and below: ")
    assert "findContours" in problem.message
    assert "--mend" in problem.hint


def test_nothing_is_mended_without_being_asked_to() -> None:
    coco = write_masks([draw_l(number) for number in range(6)], as_contours)
    report, _, mended = bends_of(coco)
    assert (mended.num_by_code, mended.codes_by_picture, mended.examples) == ({}, {}, ())
    assert report.usable[0].instances[0].mask.to_coco() != as_rle(draw_l(0))


def test_what_was_mended_is_told_by_bend_and_picture_with_pictures_to_compare() -> None:
    coco = write_masks([draw_l(number) for number in range(6)], as_contours)
    report, (problem,), mended = bends_of(coco, is_mending=True)
    assert problem.message == ("mended, as you asked: 6 masks, filled to the last pixel at right and below")
    assert mended.num_by_code == {"masks-one-pixel-short": 6}
    assert mended.codes_by_picture["4.png"] == ("masks-one-pixel-short",)
    (example,) = mended.examples
    assert (example.code, example.before.found.name) == ("masks-one-pixel-short", "1.png")
    assert [one.mask for one in example.before.instances] == [*example.bent]
    assert example.before.instances != report.usable[0].instances


def test_mends_of_a_clean_batch_change_nothing() -> None:
    coco = write_masks([draw_l(number) for number in range(6)], as_rle, is_told=True)
    report, problems, mended = bends_of(coco, is_mending=True)
    assert (problems, mended.num_by_code) == ((), {})
    assert report == bends_of(coco)[0]


def test_every_bend_has_a_code_a_cause_and_a_cure_and_says_what_its_mend_did() -> None:
    assert len(CODES) == len(BENDS)
    for bend in BENDS:
        assert bend.cause
        assert bend.cure
        assert bool(bend.mend) == bool(bend.mended) == ("--mend" in bend.cure)
