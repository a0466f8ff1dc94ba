"""Production is answered, logged, judged once, and a drift asks for one turn of the loop."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.pictures.decoding import encode_png
from flows.answering.batch_prediction import predict
from flows.drift.monitor import monitor
from flows.evidence.reference_pictures import choose_reference_pictures
from flows.loop.reconcile import reconcile
from flows.pages.status import describe_status, tell_history
from flows.workspace.telling import SilentTeller
from maskloop.errors import DataError, NotFoundError
from maskloop.records.kinds import DriftJudged, TriggerJoined, TriggerRecorded, TriggerSuppressed
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World, draw_under_lamp
from tests.fakes.model_ports import draw_picture
from tests.fakes.sample_log import FakeSampleLog

KINDS = ("training", "drift check")
WINDOW = "\n[monitoring]\nwindow_samples = 40\nmin_window_samples = 30\nestimate_pictures = 0\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A workspace whose first model serves."""
    made = World(tmp_path / "workspace", settings=WINDOW)
    made.label(range(180))
    first_champion(made)
    return made


def photograph(folder: Path, numbers: Sequence[int], *, brighter: int = 0) -> Path:
    """Put production pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number}.png").write_bytes(draw_under_lamp(number, brighter)[0])
    return folder


def test_the_same_camera_is_quiet_and_asks_for_nothing(world: World, tmp_path: Path) -> None:
    predict(world.app(), [photograph(tmp_path / "in", range(1000, 1040))])
    found = monitor(world.app())
    assert found.judged is not None
    assert (found.judged.outcome, found.judged.num_samples) == ("quiet", 40)
    assert world.of_kind(TriggerRecorded)[1:] == []
    assert (world.workspace.root / found.judged.report).exists()


def test_another_lamp_is_drift_and_causes_one_trigger_however_long_it_lasts(
    world: World, tmp_path: Path
) -> None:
    for start in (1000, 2000, 3000):
        predict(world.app(), [photograph(tmp_path / str(start), range(start, start + 40), brighter=60)])
        monitor(world.app())
        reconcile(world.app())
    assert [judged.outcome for judged in world.of_kind(DriftJudged)] == ["drift"] * 3
    assert [trigger.reason for trigger in world.of_kind(TriggerRecorded)] == ["manual", "drift"]
    assert world.last_cycle.waiting is not None
    assert world.last_cycle.waiting.waiting_for == "labels"


def test_the_page_of_a_drift_shows_its_pictures_beside_the_nearest_of_the_champions_own(
    world: World, tmp_path: Path
) -> None:
    predict(world.app(), [photograph(tmp_path / "in", range(1000, 1040), brighter=60)])
    found = monitor(world.app())
    assert found.judged is not None
    page = world.workspace.root / found.judged.report
    carriers = json.loads(page.with_name("carriers.json").read_text())
    version = world.app().data.current()
    assert version is not None
    held_out = {one.digest for one in choose_reference_pictures(version, 30)}
    assert carriers["no_nearest"] == ""
    assert {one["nearest"] for one in carriers["samples"]} <= held_out
    text = page.read_text()
    for one in carriers["samples"]:
        assert f'alt="From production, sample {one["sample_id"]}"' in text
        assert f'alt="The nearest own picture, {one["nearest"][:12]}"' in text


def test_pictures_that_are_not_kept_any_more_leave_their_place_on_the_page_empty(
    world: World, tmp_path: Path
) -> None:
    world.samples = FakeSampleLog(keep_pictures=3)
    predict(world.app(), [photograph(tmp_path / "in", range(1000, 1040), brighter=60)])
    found = monitor(world.app())
    assert found.judged is not None
    text = (world.workspace.root / found.judged.report).read_text()
    num_carriers = text.count("The nearest own picture")
    assert num_carriers > 3
    assert (
        text.count("From production, sample") + text.count("<span>not kept any more</span>") == num_carriers
    )
    assert text.count("From production, sample") <= 3


def test_a_drift_that_spreads_to_another_camera_joins_the_open_cycle_which_names_both(
    world: World, tmp_path: Path
) -> None:
    for start, source in ((1000, "camera 2"), (2000, "camera 2"), (3000, "camera 1")):
        folder = photograph(tmp_path / str(start), range(start, start + 40), brighter=60)
        predict(world.app(), [folder], source=source)
        monitor(world.app())
        reconcile(world.app())
    first, second = world.last_cycle.causes
    assert "in pictures of camera 2 (window" in first
    assert "in pictures of camera 1 (window" in second
    assert [judged.sources for judged in world.of_kind(DriftJudged)] == [
        ("camera 2",),
        ("camera 2",),
        ("camera 1",),
    ]
    assert len(world.of_kind(TriggerJoined)) == 1
    page = (world.workspace.root / world.of_kind(DriftJudged)[-1].report).read_text()
    assert "<dt>Sources</dt><dd>camera 1: 40</dd>" in page
    told = [line["sentence"] for line in tell_history(world.ledger) if line["cycle"] == "cycle-2"]
    assert any(first in sentence for sentence in told)
    assert any(second in sentence for sentence in told)
    assert reconcile(world.app()).done == ()


def test_status_names_the_page_of_the_last_drift_check(world: World, tmp_path: Path) -> None:
    predict(world.app(), [photograph(tmp_path / "in", range(1000, 1040), brighter=60)])
    monitor(world.app())
    status = describe_status(world.app())
    page = status.pages["last drift check"]
    assert page.exists()
    assert page.is_relative_to(world.workspace.root / ".maskloop/reports/drift")
    assert str(page) in status.to_text()
    assert "production has drifted (40 samples" in status.to_text()


def test_every_sample_is_judged_once_and_counted(world: World, tmp_path: Path) -> None:
    folder = photograph(tmp_path / "in", range(1000, 1040))
    predict(world.app(), [folder])
    predict(world.app(), [folder])
    monitor(world.app())
    assert monitor(world.app()).judged is None
    counts = world.samples.counts()
    assert (counts.received, counts.scored, counts.skipped, counts.pending) == (40, 40, 0, 0)
    assert len(world.of_kind(DriftJudged)) == 1


def test_a_crash_between_verdict_and_marking_puts_no_sample_into_two_windows(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(world.app(), [photograph(tmp_path / "in", range(1000, 1040))])

    def die(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(world.samples, "mark_scored", die)
        with pytest.raises(KeyboardInterrupt):
            monitor(world.app())
    predict(world.app(), [photograph(tmp_path / "more", range(2000, 2010))])
    assert monitor(world.app()).num_pending == 10
    assert world.samples.counts().scored == 40
    assert len(world.of_kind(DriftJudged)) == 1


def film(folder: Path, first: int, *, num_scenes: int, num_frames: int = 5) -> Path:
    """Put frames of some scenes into a folder: one picture each, seen again and again with a little noise."""
    folder.mkdir(parents=True, exist_ok=True)
    for scene in range(first, first + num_scenes):
        pixels = draw_picture(scene)[0].astype(int)
        for frame in range(num_frames):
            noise = np.random.default_rng([scene, frame]).integers(0, 3, pixels.shape)
            data = encode_png(np.clip(pixels + noise, 0, 255).astype(np.uint8))
            (folder / f"{scene}-{frame}.png").write_bytes(data)
    return folder


def test_frames_of_few_scenes_are_inconclusive_and_judged_again_with_later_ones(
    world: World, tmp_path: Path
) -> None:
    predict(world.app(), [film(tmp_path / "in", 1000, num_scenes=7)])
    found = monitor(world.app())
    assert found.judged is not None
    assert (found.judged.outcome, found.judged.num_samples) == ("inconclusive", 35)
    assert 5 <= found.judged.num_scenes <= 9
    assert (
        f"35 samples, about {found.judged.num_scenes} scenes, and a verdict needs 27" in found.judged.reason
    )
    page = (world.workspace.root / found.judged.report).read_text()
    assert f"35 (about {found.judged.num_scenes} scenes)" in page
    assert world.samples.counts().pending == 35
    assert monitor(world.app()).judged is None
    predict(world.app(), [film(tmp_path / "more", 2000, num_scenes=1)])
    again = monitor(world.app()).judged
    assert again is not None
    assert (again.outcome, again.num_samples) == ("inconclusive", 40)
    assert world.samples.counts().scored == 40
    assert len(world.of_kind(DriftJudged)) == 2


def test_too_few_samples_wait(world: World, tmp_path: Path) -> None:
    predict(world.app(), [photograph(tmp_path / "in", range(1000, 1010))])
    found = monitor(world.app())
    assert (found.judged, found.num_pending) == (None, 10)
    assert world.samples.counts().pending == 10


def test_drift_within_the_cooldown_is_set_aside_with_a_reason(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = world.workspace.settings_file
    settings.write_text(settings.read_text().replace("cooldown_hours = 0", "cooldown_hours = 24"))
    monkeypatch.delitem(world.workspace.__dict__, "settings")
    predict(world.app(), [photograph(tmp_path / "in", range(1000, 1040), brighter=60)])
    monitor(world.app())
    assert "cool" in world.of_kind(TriggerSuppressed)[-1].reason
    assert len(world.state.cycles) == 1
    world.clock.advance(hours=25)
    monitor(world.app())
    assert [trigger.reason for trigger in world.of_kind(TriggerRecorded)] == ["manual", "drift"]


def test_a_bad_picture_costs_itself_alone_and_is_counted(world: World, tmp_path: Path) -> None:
    folder = photograph(tmp_path / "in", range(1000, 1003))
    (folder / "broken.png").write_bytes((folder / "1000.png").read_bytes()[:60])
    answers = predict(world.app(), [folder, tmp_path / "absent.png"])
    assert [bool(answer.error) for answer in answers] == [False, False, False, True, True]
    assert all(len(answer.instances) == 2 for answer in answers[:3])
    counts = world.samples.counts()
    assert (counts.received, counts.skipped) == (5, 2)


def test_answers_name_the_version_and_its_blessing(world: World, tmp_path: Path) -> None:
    (answer,) = predict(world.app(), [photograph(tmp_path / "in", [1000])])
    champion = world.state.champion
    assert champion is not None
    assert (answer.model_version, answer.weights_digest) == ("1", champion.weights_digest)
    assert answer.blessing_id == world.state.verdicts[champion.weights_digest].blessing_id
    assert {found["class_name"] for found in answer.instances} == {"bolt", "nut"}


def test_a_folder_without_pictures_is_reported(world: World, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no pictures"):
        predict(world.app(), [tmp_path / "empty"])


def test_nothing_is_monitored_before_something_serves(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nothing serves yet"):
        monitor(World(tmp_path / "empty").app())


def test_a_drift_check_is_recorded_among_drift_checks_under_a_name_that_says_what_it_found(
    world: World, tmp_path: Path
) -> None:
    predict(world.app(), [photograph(tmp_path / "in", range(1000, 1040))])
    monitor(world.app())
    names = {kind: [run.name for run in world.tracker.runs.values() if run.kind == kind] for kind in KINDS}
    assert names == {
        "training": ["train cycle-1 data-v1"],
        "drift check": [f"drift check {world.clock.now():%m-%d %H:%M}: no drift"],
    }


@dataclass
class Links(SilentTeller):
    """Remembers where to look."""

    urls: dict[str, str] = field(default_factory=dict)

    def link(self, key: str, url: str, text: str) -> None:
        self.urls[key] = url


@pytest.mark.parametrize("server", ["http://127.0.0.1:5000", ""])
def test_a_drift_check_links_to_its_page_on_the_server_and_to_the_file_without_one(
    world: World, tmp_path: Path, server: str
) -> None:
    """Prefect shows no link to a file."""
    world.tracker.server_url = server
    predict(world.app(), [photograph(tmp_path / "in", range(1000, 1040))])
    links = Links()
    monitor(replace(world.app(), teller=links))
    start = f"{server}/#/experiments/" if server else "file://"
    assert links.urls["drift-report"].startswith(start)
    assert "drift/index.html?" in links.urls["drift-report"] or not server
