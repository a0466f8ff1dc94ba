"""`maskloop batch` from its request to its report: answers, resumption, refusals, and what it costs."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataset.pictures.decoding import encode_png
from flows.answering.batch_prediction import predict
from flows.batch.plan import Shard
from flows.batch.story import BatchReport, BatchRequest, batch
from flows.workers.port import Work
from maskloop.errors import BusyError, DataError, NotFoundError, RefusedError, StoppedError, StorageError
from tests.fakes.batch_world import (
    InlineWorkers,
    crown,
    draw_numbers,
    make_batch_world,
    read_instances,
    write_numbers,
)
from tests.fakes.crashing import Killed
from tests.fakes.field_pictures import tiff
from tests.fakes.loop_world import World, leave_alone

BOLT, NUT = 1, 2


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_alone(monkeypatch)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_batch_world(tmp_path / "workspace", "[batch]\nshard_pictures = 2\nprice_per_hour = 3.6\n")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(5):
        write_numbers(tmp_path / "photos" / f"{number}.png", *range(1, number + 1))
    return tmp_path / "photos"


@dataclass
class Run:
    """The command, given again and again, with workers in this process."""

    world: World
    photos: Path
    output: Path
    before: Callable[[bytes], None] = lambda _task: None
    asked: list[str] = field(default_factory=list)

    def __call__(self, **stated: Any) -> BatchReport:
        asked: dict[str, Any] = {"place": str(self.photos), "output": self.output} | stated
        request = BatchRequest(**asked)
        return batch(self.world.app(), request, open_workers=self.open_workers)

    def open_workers(self, work: Work, count: int) -> InlineWorkers:
        return InlineWorkers(work, count, self.note)

    def note(self, task: bytes) -> None:
        self.before(task)
        self.asked += [one["name"] for one in json.loads(task)["stretches"]]


@pytest.fixture
def run(world: World, photos: Path, tmp_path: Path) -> Run:
    return Run(world, photos, tmp_path / "out")


def test_every_picture_is_answered_once_and_the_report_counts_and_prices_it(run: Run) -> None:
    (run.photos / "notes.txt").write_text("no picture")
    (run.photos / "broken.png").write_bytes(encode_png(draw_numbers(1))[:60])
    report = run()

    assert read_instances(Path(report.file)) == {
        f"{number}.png": sorted((BOLT if one % 2 == 0 else NUT, 144) for one in range(1, number + 1))
        for number in range(5)
    }
    assert sorted(run.asked) == ["0.png", "1.png", "2.png", "3.png", "4.png", "broken.png", "notes.txt"]
    assert (report.num_pictures, report.num_answered, report.num_passed_over, report.num_set_aside) == (
        7,
        5,
        1,
        1,
    )
    assert (report.num_instances, report.num_tiles, report.version) == (10, 5, "1")
    assert "broken.png,,the picture cannot be decoded" in Path(report.set_aside_file).read_text()
    assert report.cost == pytest.approx(report.compute_hours * 3.6)
    assert report.cost_per_picture == pytest.approx(report.compute_hours * 3.6 / 5)
    assert json.loads((run.output / "report.json").read_text())["version"] == "1"


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_picture_is_answered_as_predict_answers_it(run: Run, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    file = run.photos / "4.png"
    Image.fromarray(draw_numbers(1, 2, 3, height_px=30)).save(file, exif=exif)
    (told,) = predict(run.world.app(), [file])
    report = run(place=str(file))
    written = json.loads(Path(report.file).read_text())
    (image,) = written["images"]

    assert [image["height"], image["width"]] == told.instances[0]["segmentation"]["size"]
    assert [(one["segmentation"], one["score"]) for one in written["annotations"]] == [
        (one["segmentation"], one["score"]) for one in told.instances
    ]


def test_tiles_give_what_the_whole_picture_gives(run: Run) -> None:
    whole = read_instances(Path(run().file))
    run.output = run.output.with_name("tiled")
    report = run(tile_px=32, overlap_px=8)

    assert read_instances(Path(report.file)) == whole
    assert report.num_tiles == 1 + 1 + 2 + 2 + 3, "4, 20, 36, 52 and 68 px wide"


def test_a_tiff_too_large_to_be_read_whole_is_read_in_windows_and_lies_on_the_map(
    run: Run, tmp_path: Path
) -> None:
    """One object lies over four of the tiles, and its file over the edge of what is read at once."""
    pixels = np.zeros((120, 150, 3), np.uint8)
    pixels[20:100, 30:130] = 3
    pixels[5:10, 5:20] = 2
    keys = [
        (33550, "d", 3, (2.0, 2.0, 0.0), False),
        (33922, "d", 6, (0.0, 0.0, 0.0, 500.0, 900.0, 0.0), False),
        (34735, "H", 8, (1, 1, 0, 1, 3072, 0, 1, 32632), False),
    ]
    for file in run.photos.iterdir():
        file.unlink()
    (run.photos / "scene.tif").write_bytes(tiff(pixels, photometric="rgb", tile=(16, 16), extratags=keys))
    world = make_batch_world(
        tmp_path / "other", "[data]\nmax_picture_mpx = 0.01\n[batch]\ntile_px = 64\noverlap_px = 16\n"
    )
    run.world = world
    report = run(wanted="geojson")
    told = json.loads(Path(report.file).read_text())
    areas = sorted(area_of(one["geometry"]["coordinates"][0]) for one in told["features"])

    assert areas == [5 * 15 * 4.0, 80 * 100 * 4.0]
    assert told["crs"]["properties"]["name"].endswith("::32632")
    assert (report.num_tiles, report.num_pictures, report.num_set_aside) == (9, 1, 0)
    assert read_instances(Path(run().file)) == {"scene.tif": [(BOLT, 75), (NUT, 8000)]}, "another format"


def area_of(ring: list[list[float]]) -> float:
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring)) / 2


def test_a_run_that_is_killed_anywhere_repeats_nothing_finished_and_ends_with_the_same_file(run: Run) -> None:
    untouched = run()
    wanted, expected = Path(untouched.file).read_bytes(), [*run.asked]
    for killed_at in range(3):
        again = Run(run.world, run.photos, run.output.with_name(f"killed-{killed_at}"))
        again.before = kill_at(killed_at)
        with pytest.raises(Killed):
            again()
        kept = [*(again.output / "finished").glob("*.gz")]
        (again.output / ".report.json.abc.tmp").write_text("half")
        again.before = lambda _task: None
        report = again()

        assert len(kept) == killed_at
        assert Path(report.file).read_bytes() == wanted
        assert sorted(again.asked) == sorted(expected)
        assert report.num_done_before == 2 * killed_at
        assert list(again.output.rglob(".*.tmp")) == []


def kill_at(shard: int) -> Callable[[bytes], None]:
    def before(task: bytes) -> None:
        if json.loads(task)["number"] == shard:
            raise Killed

    return before


def test_nothing_is_asked_again_once_it_is_done_even_for_another_format(run: Run) -> None:
    run()
    asked = [*run.asked]
    report = run(wanted="parquet")

    assert run.asked == asked
    assert (report.num_done_before, report.file.endswith(".parquet")) == (5, True)


def test_a_run_goes_on_with_its_own_version_when_another_serves_by_now(run: Run) -> None:
    run.before = kill_at(1)
    with pytest.raises(Killed):
        run()
    run.world.trainer.quality = 0.95
    crown(run.world)
    run.before = lambda _task: None

    assert run().version == "1"
    with pytest.raises(RefusedError, match="differs in the model"):
        run(version="2")


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ({"tile_px": 32}, "the tiles"),
        ({"min_score": 0.7}, "--min-score"),
        ({"place": "{photos}/1.png"}, "input"),
    ],
)
def test_the_folder_of_another_run_is_refused_and_stays_as_it_was(
    run: Run, stated: dict[str, Any], says: str
) -> None:
    report = run()
    before = Path(report.file).read_bytes()
    asked = {
        name: one.format(photos=run.photos) if isinstance(one, str) else one for name, one in stated.items()
    }
    with pytest.raises(RefusedError, match=says):
        run(**asked)
    assert Path(report.file).read_bytes() == before


def test_a_folder_with_other_files_is_refused(run: Run) -> None:
    run.output.mkdir()
    (run.output / "thesis.tex").write_text("years of work")
    with pytest.raises(RefusedError, match=r"holds something else: thesis\.tex"):
        run()


def test_two_processes_do_not_work_on_one_run(run: Run) -> None:
    def ask_again(_task: bytes) -> None:
        other = Run(run.world, run.photos, run.output)
        with pytest.raises(BusyError, match="another process works on this run"):
            other()

    run.before = ask_again
    assert run().num_answered == 5


def test_a_picture_that_fails_every_time_costs_itself_alone(run: Run) -> None:
    def fail(task: bytes) -> None:
        if b'"2.png"' in task:
            raise MemoryError("no memory left")

    run.before = fail
    report = run()

    assert sorted(read_instances(Path(report.file))) == ["0.png", "1.png", "3.png", "4.png"]
    assert "2.png,,MemoryError: no memory left (4 times)" in Path(report.set_aside_file).read_text()


def test_a_picture_that_is_gone_or_may_not_be_read_is_set_aside_with_the_reason(run: Run) -> None:
    (run.photos / "list.txt").write_text("0.png\nmissing.png\n")
    report = run(place=str(run.photos / "list.txt"))

    assert "missing.png,,cannot be read: No such file or directory" in Path(report.set_aside_file).read_text()
    assert report.num_answered == 1


def test_nothing_but_failures_is_an_error_that_names_the_reasons(run: Run) -> None:
    for file in run.photos.iterdir():
        file.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match="nothing could be answered"):
        run()
    assert "0.png" in (run.output / "set-aside.csv").read_text()


@pytest.mark.parametrize("is_listed", [False, True])
def test_a_file_that_was_named_or_is_called_a_picture_is_set_aside_when_it_is_none(
    run: Run, is_listed: bool
) -> None:
    (run.photos / "empty.jpg").touch()
    (run.photos / "notes.md").write_text("no picture")
    (run.photos / "list.txt").write_text("0.png\nempty.jpg\nnotes.md\n")
    report = run(place=str(run.photos / "list.txt" if is_listed else run.photos))

    set_aside = Path(report.set_aside_file).read_text()
    assert 'empty.jpg,,"not ' in set_aside
    assert ('notes.md,,"not ' in set_aside) is is_listed
    assert report.num_passed_over == (0 if is_listed else 2)


def test_a_folder_without_a_picture_is_said_to_hold_none(run: Run) -> None:
    for file in run.photos.iterdir():
        file.rename(file.with_suffix(".txt")).write_text("no picture")
    with pytest.raises(DataError, match="nothing could be answered") as raised:
        run()
    assert "none of 5 files is a picture" in raised.value.hint


def test_a_full_disk_ends_the_run_and_the_same_call_goes_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def replace(beside: Path, path: Path) -> Path:
        written.append(path)
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        return Path(beside).rename(path)

    monkeypatch.setattr("maskloop.files.Path.replace", replace)
    with pytest.raises(StorageError, match="the disk is full"):
        run()
    monkeypatch.undo()
    assert run().num_done_before == 2


def test_a_run_that_is_asked_to_stop_says_how_far_it_came(run: Run) -> None:
    def ask(task: bytes) -> None:
        if json.loads(task)["number"] == 1:
            signal.raise_signal(signal.SIGTERM)

    run.before = ask
    with pytest.raises(StoppedError, match="4 of 5 pictures and tiles are answered") as stopped:
        run()
    assert stopped.value.exit_code == 143


@pytest.mark.parametrize("place", ["{photos}/nowhere", "file://{photos}/nowhere", "{photos}/list.csv"])
def test_a_run_that_is_refused_creates_nothing(run: Run, place: str) -> None:
    (run.photos / "list.csv").write_text("weight\n3\n")
    with pytest.raises((NotFoundError, DataError)):
        run(place=place.format(photos=run.photos))
    assert not run.output.exists()


def test_a_refused_folder_stays_as_it_was(run: Run) -> None:
    run.output.mkdir()
    (run.output / "thesis.tex").write_text("years of work")
    with pytest.raises(RefusedError):
        run()
    assert [file.name for file in run.output.iterdir()] == ["thesis.tex"]
    with pytest.raises(StorageError, match="Not a directory"):
        run(output=run.output / "thesis.tex")


def test_nothing_there_and_nothing_serving_are_said(run: Run, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is nothing here"):
        run(place=str(tmp_path / "nowhere"))
    with pytest.raises(NotFoundError, match="no version 9"):
        run(version="9")
    run.world = World(tmp_path / "empty")
    with pytest.raises(NotFoundError, match="nothing serves yet"):
        run()


def test_a_plan_names_every_shard_and_the_record_says_which_model_answers(run: Run) -> None:
    run()
    facts = json.loads((run.output / "run.json").read_text())
    plan = [json.loads(line) for line in (run.output / "plan.jsonl").read_text().splitlines()]

    assert [one["number"] for one in plan] == [0, 1, 2]
    assert (facts["version"], facts["num_units"], facts["class_names"]) == ("1", 5, ["bolt", "nut"])
    assert Shard.__struct_fields__ == ("number", "stretches")
