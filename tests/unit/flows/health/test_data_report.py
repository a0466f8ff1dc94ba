"""`maskloop data report`: the page that is opened first, and the same numbers as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.command.main import main
from flows.health.findings import KINDS
from flows.health.kept_check import FoundKind, KeptCheck, keep_check, read_check
from flows.health.report import read_batch_problems, report_data
from flows.health.report_page import write_report_page
from flows.intake.batch_intake import record_version
from flows.intake.data_changes import restore_version
from maskloop.errors import NotFoundError
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World
from tests.fakes.opened import opens

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(world: World, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command of `maskloop data` with --json and return its answer."""

    def answer(*words: str) -> dict[str, Any]:
        with pytest.raises(SystemExit):
            main(["data", *words, "--json"], opener=opens(world))
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        return told

    return answer


def test_the_numbers_are_those_of_the_version(run: Run) -> None:
    """Each of twelve pictures shows a bolt and a nut; of six, three are for training and two for the test."""
    told = run("report")
    assert (told["tag"], told["current"]) == ("data-v1", True)
    assert told["overview"]["everything"]["pictures"] == {"train": 6, "val": 2, "test": 4}
    assert [row["instances"] for row in told["classes"]["rows"]] == [{"train": 6, "val": 2, "test": 4}] * 2
    assert told["pictures by number of instances"] == [{"low": 2, "high": 4, "number": 12}]
    assert sum(one["number"] for one in told["instances by side of a square as large, px"]) == 24
    assert told["labels made by"] == {"human": 12}
    assert {one["class"] for one in told["examples"]} == {"bolt", "nut"}


def test_the_page_is_one_file_with_charts_and_examples(run: Run) -> None:
    told = run("report")
    page = Path(told["page"]).read_text()
    assert page.count("data:image/jpeg;base64,") == len(told["examples"])
    assert page.count("<rect ") == 2
    assert "http" not in page
    assert "<td>bolt</td>" in page


def test_history_says_who_did_what_when_and_why(world: World) -> None:
    record_version(
        world.ledger, world.data.open("data-v1"), source="belt", num_new_pictures=12, num_new_labelled=12
    )
    version = world.label(range(12, 15))
    record_version(
        world.ledger,
        version,
        source="lab",
        num_new_pictures=3,
        num_new_labelled=5,
        num_quarantined=1,
        mended={"traced": 7},
    )
    restore_version(world.app(), "data-v1", by="rita", why="the new ones are blurred")
    first, second, back = report_data(world.app()).history
    assert (first.tag, first.num_new, first.num_pictures) == ("data-v1", 12, 12)
    assert (second.said, second.num_new, second.num_relabelled) == ("from lab", 3, 2)
    assert (second.num_quarantined, second.mended) == (1, (("traced", 7),))
    assert (back.tag, back.actor, back.why) == ("data-v1", "rita", "the new ones are blurred")
    page = write_report_page(world.workspace.data_page, report_data(world.app()), 1.0).read_text()
    assert "Brought back in place of data-v2. The new ones are blurred." in page
    assert "7 of <code>traced</code>" in page


def test_an_older_version_is_shown_as_such(world: World, run: Run) -> None:
    world.label(range(12, 15))
    told = run("report", "data-v1")
    assert (told["tag"], told["current"]) == ("data-v1", False)
    assert "another version is the current one" in Path(told["page"]).read_text()


def test_what_the_newest_check_found_is_on_the_page_and_an_older_check_is_called_so(
    world: World, run: Run
) -> None:
    assert "The data were not checked yet" in Path(run("report")["page"]).read_text()
    first_champion(world)
    world.label(range(12, 15), swap_classes_of="data-v2")
    counts = run("check")["counts"]
    told = run("report")
    kept = told["newest check"]
    assert {kind: kept["found"][kind]["number"] for kind in counts} == counts
    assert kept["found"]["class"]["said"] == "the label says nut, the champion bolt (0.90)"
    page = Path(told["page"]).read_text()
    assert KINDS["class"].title in page
    assert "of this version" in page
    world.label(range(15, 18))
    assert "not of this version" in Path(run("report")["page"]).read_text()


def test_a_kept_check_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    file = tmp_path / "check.json"
    assert read_check(file) is None
    check = KeptCheck("data-v1", "ab", "2026-01-01T00:00:00+00:00", "3", 9, {"twice": FoundKind(2, "two")})
    keep_check(file, check)
    assert read_check(file) == check
    for damaged in ("", "[]", "{}", file.read_text().replace('"number"', '"count"'), file.read_text()[:40]):
        file.write_text(damaged)
        assert read_check(file) is None


def test_problems_of_the_newest_batches_are_told_and_remarks_are_not(tmp_path: Path) -> None:
    kinds = [
        {"severity": "warning", "code": "odd", "count": 3, "message": "it is odd"},
        {"severity": "info", "code": "text-id", "count": 1, "message": "ids are text"},
    ]
    (tmp_path / "ingest-a-1.json").write_text(json.dumps({"said": "Stored as data-v1", "kinds": kinds}))
    (tmp_path / "ingest-b-2.json").write_text(json.dumps({"said": "Stored as data-v2", "kinds": kinds[1:]}))
    (tmp_path / "ingest-c-3.json").write_text("half of")
    (told,) = read_batch_problems(tmp_path)
    assert (told.page, told.said) == ("ingest-a-1.html", "Stored as data-v1")
    assert told.kinds == (("warning", "odd", 3, "it is odd"),)


def test_a_picture_that_cannot_be_read_any_more_costs_its_example_alone(world: World) -> None:
    report = report_data(world.app())
    for picture in report.version.pictures:
        report.version.path(picture).unlink()
    page = write_report_page(world.workspace.data_page, report, 1.0).read_text()
    assert "data:image" not in page
    assert "<td>bolt</td>" in page


def test_people_read_sentences_and_where_the_page_is(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["data", "report"], opener=opens(world))
    assert ended.value.code in (0, None)
    said = capsys.readouterr().out
    assert "data-v1: 12 pictures with 24 instances of 2 classes from 1 source: 6 train, 2 val, 4 test" in said
    assert "this version was not checked yet" in said
    assert f"The page: {world.workspace.data_page}" in said


def test_without_data_there_is_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no data version yet"):
        report_data(World(tmp_path / "empty").app())
