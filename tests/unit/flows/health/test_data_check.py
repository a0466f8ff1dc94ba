"""`maskloop data check`: facts without a model, suspicions with the champion, the page and its JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.labelled_pictures import LabelledInstance, LabelledPicture, Split
from dataset.pictures.decoding import encode_png
from dataset.versions.catalog import Catalog
from flows.command.main import main
from flows.health.check import check_data, newest_first
from flows.health.findings import KINDS
from flows.health.page import write_check_page
from flows.health.report import report_data
from flows.health.report_page import draw_thumbnails
from maskloop.digest import digest_bytes
from maskloop.errors import NotFoundError
from maskloop.masks import encode_masks
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World
from tests.fakes.opened import opens

LARGE = np.zeros((16, 16), dtype=bool)
LARGE[3:13, 2:12] = True
Check = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def world(world: World, tmp_path: Path) -> World:
    """A workspace that ties nothing by its look; the fixture of that name has put the fakes in place."""
    other = World(tmp_path / "own", settings="[data]\nnear_duplicate_distance_bits = -1")
    other.label(range(12))
    return other


@pytest.fixture
def check(world: World, capsys: pytest.CaptureFixture[str]) -> Check:
    """Run the command with --json; return its exit code and answer."""

    def run(*options: str) -> tuple[int, dict[str, Any]]:
        code = 0
        try:
            main(["data", "check", "--json", *options], opener=opens(world))
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, json.loads(capsys.readouterr().out)

    return run


def test_right_labels_that_the_champion_confirms_are_clean(check: Check, world: World) -> None:
    version = first_champion(world)
    code, found = check()
    assert (code, found["clean"], found["findings"]) == (0, True, [])
    assert (found["champion"], found["pictures compared"]) == (version, 12)
    assert [row["name"] for row in found["classes"]["rows"]] == ["bolt", "nut"]


def test_without_a_champion_the_checks_that_need_no_model_are_done_and_the_page_says_so(
    check: Check, world: World
) -> None:
    code, found = check()
    assert (code, found["champion"], found["pictures compared"]) == (0, "", 0)
    assert "there is no champion" in (world.workspace.reports_dir / "data-check.html").read_text()


def test_a_batch_whose_classes_are_mixed_up_is_found_by_what_the_champion_sees(
    check: Check, world: World
) -> None:
    """The champion covers nine of ten rows with 0.9 and 0.8: 0.9 * 0.9 and 0.8 * 0.9."""
    first_champion(world)
    version = world.label(range(12, 15), swap_classes_of="data-v2")
    code, found = check()
    assert code == 0, "suspicions are for people to judge"
    assert found["counts"] == {"class": 6}
    assert [one["score"] for one in found["findings"]] == pytest.approx([0.81] * 3 + [0.72] * 3)
    new = {picture.name for picture in version.pictures if picture.added_in == "data-v2"}
    assert {one["picture"] for one in found["findings"]} == new
    first = found["findings"][0]
    assert first["said"] == "the label says nut, the champion bolt (0.90)"
    assert first["labels"] == [
        {"position": first["labels"][0]["position"], "class": "nut", "box": [1, 3, 6, 13]}
    ]
    assert first["detections"] == [{"class": "bolt", "score": 0.9, "box": [1, 3, 6, 12]}]


def test_the_champion_is_asked_about_the_newest_pictures_and_about_none_if_told_so(
    check: Check, world: World
) -> None:
    first_champion(world)
    version = world.label(range(12, 15))
    assert {one.added_in for one in newest_first(version.pictures)[:3]} == {"data-v2"}
    assert check("--compare", "3")[1]["pictures compared"] == 3
    assert check("--compare", "0")[1]["champion"] == ""


def test_the_page_shows_the_gravest_examples_with_sentence_and_cure(check: Check, world: World) -> None:
    first_champion(world)
    world.label(range(12, 15), swap_classes_of="data-v2")
    page = Path(check()[1]["page"]).read_text()
    assert KINDS["class"].title in page
    assert "<code>maskloop ingest LABELS --replace</code>" in page
    assert page.count("data:image/jpeg;base64,") == 6
    assert "the label says nut, the champion bolt (0.90)" in page


def test_a_picture_that_cannot_be_read_any_more_is_told_about_on_the_page(world: World) -> None:
    first_champion(world)
    world.label(range(12, 13), swap_classes_of="data-v2")
    found = check_data(world.app(), num_compared=1)
    found.version.path(found.findings[0].picture).unlink()
    page = write_check_page(world.workspace.reports_dir / "page.html", found, 1.0)
    assert "The picture cannot be read." in page.read_text()


def test_a_picture_whose_file_was_altered_costs_its_drawing_alone(world: World) -> None:
    first_champion(world)
    world.label(range(12, 13), swap_classes_of="data-v2")
    found = check_data(world.app(), num_compared=1)
    file = found.version.path(found.findings[0].picture)
    file.chmod(0o644)
    file.write_bytes(b"no picture")
    page = write_check_page(world.workspace.reports_dir / "page.html", found, 1.0)
    assert "The picture cannot be read." in page.read_text()
    report = report_data(world.app())
    assert len(draw_thumbnails(report, 1.0)) == 2


def test_what_the_audit_finds_the_check_tells_too_with_exit_code_1(check: Check, world: World) -> None:
    version = world.app().data.current()
    assert version
    file = version.path(version.pictures[0])
    file.chmod(0o644)
    file.write_bytes(file.read_bytes() + b"GPSLatitude")
    code, found = check()
    assert (code, found["clean"]) == (1, False)
    assert found["audit"]["telling_place"] == [version.pictures[0].name]


def test_the_same_instance_in_training_and_test_pictures_is_a_leak_with_exit_code_1(
    check: Check, world: World
) -> None:
    """The test picture is the training picture with another corner pixel, which the bolt does not cover."""
    instances = tuple(
        LabelledInstance(index, rle) for index, rle in enumerate(encode_masks(np.stack([LARGE, ~LARGE])))
    )
    pixels = np.random.default_rng(5).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    pictures, files = [], {}
    splits: tuple[tuple[Split, int], ...] = (("train", 0), ("test", 255))
    for split, value in splits:
        pixels[0, 15] = value  # of the second instance, which so differs
        data = encode_png(pixels)
        digest = digest_bytes(data)
        file = f"images/{digest}.png"
        files[file] = data
        pictures.append(
            LabelledPicture(
                digest, file, f"{split}.png", 16, 16, "belt", digest, split, "data-v2", "human", instances
            )
        )
    with world.data.staging() as folder:
        (folder / "images").mkdir(parents=True)
        for file, data in files.items():
            (folder / file).write_bytes(data)
        hashes = {picture.digest: number for number, picture in enumerate(pictures)}
        world.data.commit(folder, Catalog(("bolt", "nut"), tuple(pictures), hashes), "two pictures")
    code, found = check()
    assert (code, found["counts"]) == (1, {"copied": 1})
    (copy,) = found["findings"]
    assert sorted(word for word in ("train.png (train)", "test.png (test)") if word in copy["said"]) == [
        "test.png (test)",
        "train.png (train)",
    ]
    assert [label["class"] for label in copy["labels"]] == ["bolt"]


def test_people_read_sentences_and_where_the_page_is(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["data", "check"], opener=opens(world))
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "data-v1 is clean" in said
    assert "Look at the examples: " in said


def test_without_data_there_is_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no data version yet"):
        check_data(World(tmp_path / "empty").app(), num_compared=0)
