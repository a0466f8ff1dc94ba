"""Every drift check estimates how good the champion is in the window, or says why it cannot."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from flows.answering.batch_prediction import predict
from flows.drift.monitor import monitor
from flows.drift.quality import QualityEyes, open_lessons
from flows.pages.status import describe_status
from maskloop.records.kinds import CheckedQuality, DriftJudged, QualityMeasured, write_record
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World
from tests.fakes.serving_world import FakePredictor
from tests.unit.flows.drift.test_monitor import photograph

WINDOW = "\n[monitoring]\nwindow_samples = 40\nmin_window_samples = 30\nestimate_pictures = {}\n"


def serve(folder: Path, *, estimate_pictures: int = 25) -> World:
    made = World(folder / "workspace", settings=WINDOW.format(estimate_pictures))
    made.label(range(180))
    first_champion(made)
    return made


def check(world: World, folder: Path, start: int) -> DriftJudged:
    predict(world.app(), [photograph(folder / str(start), range(start, start + 40))])
    judged = monitor(world.app()).judged
    assert judged is not None
    return judged


def test_a_window_like_the_champions_own_pictures_is_estimated_as_good_as_those(tmp_path: Path) -> None:
    world = serve(tmp_path)
    judged = check(world, tmp_path, 1000)
    assert judged.no_estimate == ""
    found = {(one.metric, one.class_name): one for one in judged.estimates}
    assert set(found) == {(metric, name) for metric in ("mask_iou", "mask_ap") for name in ("bolt", "nut")}
    assert {one.num_pictures for one in judged.estimates} == {25}
    told = [one for (metric, _), one in found.items() if metric == "mask_iou" and one.value is not None]
    assert told
    assert [one.value for one in told] == pytest.approx([0.9] * len(told), abs=0.1)
    assert all(one.refused_because for one in judged.estimates if one.value is None)
    assert told[0].sentence() in describe_status(world.app()).to_text()
    page = (world.workspace.root / judged.report).read_text()
    assert "Quality without labels, estimated" in page
    assert world.of_kind(DriftJudged)[-1].estimates == judged.estimates


def test_the_page_shows_what_labels_said_beside_the_estimate(tmp_path: Path) -> None:
    world = serve(tmp_path)
    first = check(world, tmp_path, 1000)
    said = CheckedQuality(class_name="bolt", value=0.71, low=0.6, high=0.8, num_labelled=9)
    about = {"version": "1", "weights_digest": first.weights_digest, "data_tag": "data-v1"}
    measured = QualityMeasured.model_validate({**about, "num_pictures": 9, "num_random": 9, "classes": ()})
    write_record(world.ledger, measured.model_copy(update={"checked": (said,)}))
    page = (world.workspace.root / check(world, tmp_path, 2000).report).read_text()
    assert "bolt: 0.71 (0.60 to 0.80), no estimate before." in page


def test_what_was_learned_about_a_champion_is_learned_once(tmp_path: Path) -> None:
    world = serve(tmp_path)
    check(world, tmp_path, 1000)
    file = world.workspace.quality_file(world.app().state().champion.weights_digest)  # type: ignore[union-attr]
    written_at = file.stat().st_mtime_ns
    judged = check(world, tmp_path, 2000)
    assert judged.estimates
    assert file.stat().st_mtime_ns == written_at


def test_a_picture_is_opened_once_for_all_changes_that_are_learned_from(tmp_path: Path) -> None:
    world = serve(tmp_path)
    version = world.data.current()
    assert version is not None
    opened = list[str]()

    class Counting(DatasetVersion):
        def path(self, picture: LabelledPicture) -> Path:
            opened.append(picture.digest)
            return super().path(picture)

    counting = Counting(**{one.name: getattr(version, one.name) for one in fields(DatasetVersion)})
    eyes = QualityEyes.of(FakePredictor(), may_mirror=True, max_mpx=50)
    told = list[tuple[int, int]]()
    held_out = version.by_split["test"]
    open_lessons(
        tmp_path / "quality.npz",
        counting,
        held_out,
        eyes,
        num=3,
        progress=lambda done, of: told.append((done, of)),
    )
    assert opened == sorted(one.digest for one in held_out)[:6]
    assert told == [(4, 6), (6, 6)]


def test_an_estimate_that_is_switched_off_or_cannot_be_read_is_said_and_holds_nothing_up(
    tmp_path: Path,
) -> None:
    world = serve(tmp_path, estimate_pictures=0)
    judged = check(world, tmp_path, 1000)
    assert (judged.estimates, judged.no_estimate) == ((), "monitoring.estimate_pictures is 0")
    file = world.workspace.quality_file(judged.weights_digest)
    assert not file.exists()
    (tmp_path / "damaged").mkdir()
    world = serve(tmp_path / "damaged")
    file = world.workspace.quality_file(world.app().state().champion.weights_digest)  # type: ignore[union-attr]
    file.parent.mkdir(parents=True)
    file.write_bytes(b"nothing that it could read")
    judged = check(world, tmp_path / "damaged", 1000)
    assert judged.outcome == "quiet"
    assert "cannot be read" in judged.no_estimate


def test_a_window_without_kept_pictures_is_refused_class_by_class(tmp_path: Path) -> None:
    world = serve(tmp_path, estimate_pictures=10)
    judged = check(world, tmp_path, 1000)
    assert {one.refused_because for one in judged.estimates} == {
        "10 kept pictures of the window could be looked at, and 20 are needed"
    }
    assert {one.value for one in judged.estimates} == {None}
