"""Every batch ends with a report: taken or refused, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset.ingestion.plan import IngestOptions
from dataset.ingestion.refusal import BatchRefusedError
from dataset.pictures.decoding import encode_png
from dataset.raw.conversion import DEFAULT_CONVERSION
from flows.intake.batch_intake import ingest
from maskloop.records.kinds import VersionIngested
from tests.fakes.coco_batches import annotation, coco_content, noise_pixels, rectangle, write_batch
from tests.fakes.loop_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "workspace")


Take = Callable[..., tuple[Any, Path, dict[str, Any]]]


@pytest.fixture
def take(world: World, tmp_path: Path) -> Take:
    """Ingest numbered pictures; return the result or the refusal, the page and the data beside it."""

    def act(content: dict[str, Any] | None = None, **said: Any) -> tuple[Any, Path, dict[str, Any]]:
        annotations, _ = write_batch(tmp_path / "batch", range(100, 110), content)
        try:
            outcome: Any = ingest(world.app(), annotations, options=IngestOptions("line 1", **said))
        except BatchRefusedError as refused:
            outcome = refused
        assert outcome.page is not None
        return outcome, outcome.page, json.loads(outcome.page.with_suffix(".json").read_text())

    return act


def batch(**changes: Any) -> dict[str, Any]:
    content = coco_content(range(100, 110))
    content["annotations"][4] |= changes
    return content


def test_a_batch_that_is_taken_has_a_page_and_data_among_the_reports(take: Take, world: World) -> None:
    result, page, data = take()
    assert page.parent == world.workspace.reports_dir
    assert page.name.startswith("ingest-annotations-")
    assert (data["outcome"], data["tag"]) == ("stored", result.version.tag)
    assert data["balance"]["said"] == "20 annotations, all kept; 10 pictures, all kept"
    assert data["images"].endswith("/batch/images")
    assert "20 annotations, all kept" in page.read_text()


def test_the_ledger_records_the_counts_of_the_batch(take: Take, world: World) -> None:
    take()
    record = world.of_kind(VersionIngested)[-1]
    assert record.balance["annotations"] == record.balance["annotations kept"] == 20
    assert record.balance["pictures kept"] == 10


def test_the_same_batch_again_writes_the_same_report_anew(take: Take) -> None:
    _, page, _ = take()
    _, again, data = take()
    assert (again, data["outcome"]) == (page, "nothing new")


def test_a_refused_batch_writes_every_problem_with_picture_place_hint_and_number(take: Take) -> None:
    content = batch(category_id=77)
    content["annotations"][8] |= {"category_id": 77}
    content["images"][9]["width"] = 7
    refused, page, data = take(content)
    assert data["outcome"] == "refused"
    kinds = {kind["code"]: kind for kind in data["kinds"]}
    assert (kinds["unknown-category"]["count"], kinds["size-mismatch"]["count"]) == (2, 1)
    assert [(p["picture"], p["where"]) for p in data["problems"] if p["code"] == "unknown-category"] == [
        ("picture_102.png", "/annotations/4"),
        ("picture_104.png", "/annotations/8"),
    ]
    assert all(problem["hint"] for problem in data["problems"])
    text = page.read_text()
    assert "picture_102.png, /annotations/4" in text
    assert "the list has the ids 1, 2" in text
    assert str(page) in str(refused)
    assert "2 x unknown-category, first in picture_102.png, /annotations/4" in str(refused)


def test_what_changes_masks_can_be_looked_at_on_the_page(take: Take) -> None:
    _, page, data = take(batch(segmentation=rectangle(x=34, y=3, width=10, height=8), bbox=[34, 3, 10, 8]))
    assert [kind["code"] for kind in data["kinds"]] == ["mask-clipped"]
    assert data["kinds"][0]["example"] == "picture_102.png"
    text = page.read_text()
    assert "mask-clipped: picture_102.png" in text
    assert text.count("data:image/jpeg;base64,") == 1


def test_a_refusal_for_crowds_shows_them_too(take: Take) -> None:
    content = coco_content(range(100, 110))
    for record in content["annotations"][::2]:
        record["iscrowd"] = 1
    refused, page, _ = take(content)
    assert "--crowds-are-instances" in refused.hint
    assert "class-of-crowds: picture_100.png" in page.read_text()
    result, _, data = take(content, crowds="instances")
    assert data["outcome"] == "stored"
    assert not any(each.is_crowd for picture in result.version.pictures for each in picture.instances)


def test_a_picture_that_is_gone_by_now_costs_the_page_only_its_drawing(
    take: Take, world: World, tmp_path: Path
) -> None:
    from flows.intake.ingest_report import report_of_result, write_batch_report

    result, page, _ = take(batch(segmentation=rectangle(x=34, y=3, width=10, height=8), bbox=[34, 3, 10, 8]))
    (tmp_path / "batch" / "images" / "picture_102.png").unlink()
    write_batch_report(world.workspace.reports_dir, report_of_result(result), 25.0, DEFAULT_CONVERSION)
    assert "data:image/jpeg" not in page.read_text()


def test_mended_masks_are_shown_before_and_after_and_stand_in_the_ledger(take: Take, world: World) -> None:
    content = coco_content(range(100, 110))
    for record in content["annotations"]:
        x, y, width, height = record["bbox"]
        right, low = x + width - 1, y + height - 1
        record["segmentation"] = [[x, y, x, low, right - 2, low, right, low - 2, right, y]]
    _, page, data = take(content)
    assert (data["mended"], [kind["code"] for kind in data["kinds"]]) == ({}, ["masks-one-pixel-short"])
    assert page.read_text().count("data:image/jpeg;base64,") == 1
    _, page, data = take(content, mend=True)
    assert data["mended"] == {"masks-one-pixel-short": 20}
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 2
    for when in ("before", "mended"):
        assert f"masks-one-pixel-short: picture_100.png, {when}" in text
    record = world.of_kind(VersionIngested)[-1]
    assert record.mended == {"masks-one-pixel-short": 20}
    assert record.sentence().endswith("; masks mended: 20 of masks-one-pixel-short; 10 in all")


def test_names_from_outside_are_text_on_the_page(take: Take, tmp_path: Path) -> None:
    content = coco_content(range(100, 110), ("bolt", "<script>alert(1)</script>"))
    name = "<b>x.png"
    (tmp_path / "batch" / "images").mkdir(parents=True)
    (tmp_path / "batch" / "images" / name).write_bytes(encode_png(noise_pixels(1)))
    content["images"].append({"id": 7, "file_name": name, "width": 40, "height": 30})
    content["annotations"].append(annotation(99, 7, 1, iscrowd=1))
    _, page, _ = take(content, allow_schema_change=True)
    text = page.read_text()
    assert "<script>" not in text
    assert "<b>x" not in text


def test_a_report_that_cannot_be_written_changes_nothing_about_the_batch(
    world: World, tmp_path: Path
) -> None:
    world.workspace.reports_dir.parent.mkdir(parents=True, exist_ok=True)
    world.workspace.reports_dir.write_text("a file is in the way")
    annotations, _ = write_batch(tmp_path / "batch", range(100, 110))
    result = ingest(world.app(), annotations)
    assert (result.changed, result.page) == (True, None)
    assert world.of_kind(VersionIngested)[-1].source == "annotations"
