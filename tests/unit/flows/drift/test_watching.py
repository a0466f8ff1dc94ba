"""The evidence over time beside the windows: kept, told, confirmed, answered, and without a budget absent."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.answering.batch_prediction import predict
from flows.drift.champion_pictures import ServingChampion
from flows.drift.monitor import Monitored, monitor
from flows.drift.simulation import simulate_monitoring
from flows.loop.cycles import abandon_cycle
from flows.loop.reconcile import reconcile
from flows.pages.status import describe_status
from flows.workspace.telling import SilentTeller
from maskloop.blobs.folder import FolderBlobs
from maskloop.blobs.shared_files import SharedFiles
from maskloop.errors import BusyError, RefusedError, UnavailableError
from maskloop.records.kinds import DriftJudged, TriggerRecorded
from monitoring.pages.simulation_page import write_simulation_page
from monitoring.sequential.storage import load_detector
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World, draw_under_lamp

WINDOW = "\n[monitoring]\nwindow_samples = 40\nmin_window_samples = 30\nestimate_pictures = 0\n"


def make_world(root: Path, settings: str = "") -> World:
    """Make a workspace whose first model serves."""
    made = World(root, settings=f"{WINDOW}{settings}")
    made.label(range(180))
    first_champion(made)
    return made


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path / "workspace")


def answer(world: World, numbers: Sequence[int], *, brighter: int = 0) -> Monitored:
    folder = world.workspace.root.parent / f"from {numbers[0]}"
    folder.mkdir()
    for number in numbers:
        (folder / f"{number}.png").write_bytes(draw_under_lamp(number, brighter)[0])
    predict(world.app(), [folder])
    return monitor(world.app())


def test_the_evidence_is_told_by_the_check_the_record_the_page_and_the_status(world: World) -> None:
    found = answer(world, range(1000, 1040))
    assert found.watched is not None
    said = found.watched.sentence()
    assert said.startswith("evidence over time: ")
    assert "40 scenes since" in said
    assert found.judged is not None
    assert found.judged.evidence == said
    page = (world.workspace.root / found.judged.report).read_text()
    assert f"<p>E{said[1:]}.</p>" in page
    status = describe_status(world.app())
    assert f"drift:    {said}" in status.to_text()
    assert status.to_json()["evidence"] == said


def test_a_change_is_an_alarm_that_both_confirm_and_a_second_look_adds_nothing(world: World) -> None:
    found = answer(world, range(1000, 1040), brighter=60)
    assert found.judged is not None
    assert found.judged.outcome == "drift"
    assert "certain since" in found.judged.evidence
    file = world.workspace.detector_file(found.judged.weights_digest)
    before = file.read_bytes()
    monitor(world.app())
    assert file.read_bytes() == before
    assert len(world.of_kind(DriftJudged)) == 1


def test_samples_before_a_window_is_complete_are_counted_already(world: World) -> None:
    answer(world, range(1000, 1040))
    found = answer(world, range(2000, 2010))
    assert (found.judged, found.num_pending) == (None, 10)
    assert found.watched is not None
    assert 40 < found.watched.detector.num_scenes <= 50


def test_without_a_budget_windows_alarm_by_themselves(tmp_path: Path) -> None:
    world = make_world(tmp_path / "workspace", "max_false_alarms_per_quarter = 0\n")
    found = answer(world, range(1000, 1040), brighter=60)
    assert found.watched is None
    assert found.judged is not None
    assert (found.judged.outcome, found.judged.evidence) == ("drift", "")
    assert describe_status(world.app()).evidence == ""
    with pytest.raises(RefusedError, match="no budget of false alarms"):
        simulate_monitoring(world.app(), num_quarters=20)


def test_a_drift_that_the_evidence_does_not_confirm_yet_triggers_nothing(tmp_path: Path) -> None:
    """Once in a million quarters is too strict a budget for forty scenes of a moderate change."""
    world = make_world(tmp_path / "workspace", "max_false_alarms_per_quarter = 1e-30\n")
    found = answer(world, range(1000, 1040), brighter=60)
    assert found.judged is not None
    assert found.judged.outcome == "inconclusive"
    assert "no alarm yet" in found.judged.reason
    assert [trigger.reason for trigger in world.of_kind(TriggerRecorded)] == ["manual"]


def test_a_cycle_that_ends_after_an_alarm_answers_it_and_the_evidence_begins_anew(world: World) -> None:
    answer(world, range(1000, 1040), brighter=60)
    reconcile(world.app())
    world.clock.advance(hours=1)
    abandon_cycle(world.app(), world.last_cycle.id, by="rita", why="a lamp was broken")
    found = answer(world, range(2000, 2035))
    assert found.watched is not None
    assert found.watched.alarms == ()
    assert 0 < found.watched.detector.num_scenes <= 35


class Meanwhile(SilentTeller):
    """Lets another host do something while a check is under way."""

    def __init__(self, do: Callable[[], object]) -> None:
        self.do, self.num_done = do, 0

    def say(self, sentence: str) -> None:
        if sentence.startswith("evidence over time"):
            self.num_done += 1
            self.do()


def test_while_one_host_checks_another_is_refused_and_counts_no_scene_twice(world: World) -> None:
    def check_too() -> None:
        with pytest.raises(BusyError, match="drift check is already running"):
            monitor(world.app(actor="another host"))

    folder = world.workspace.root.parent / "from 1000"
    folder.mkdir()
    for number in range(1000, 1040):
        (folder / f"{number}.png").write_bytes(draw_under_lamp(number, 60)[0])
    predict(world.app(), [folder])
    meanwhile = Meanwhile(check_too)
    found = monitor(replace(world.app(), teller=meanwhile))
    assert meanwhile.num_done > 0
    assert found.judged is not None
    file = world.workspace.detector_file(found.judged.weights_digest)
    before = file.read_bytes()
    monitor(world.app(actor="another host"))
    assert file.read_bytes() == before
    assert len(world.of_kind(DriftJudged)) == 1


def test_a_host_that_lost_its_lease_leaves_what_the_other_shares(world: World, tmp_path: Path) -> None:
    found = answer(world, range(1000, 1040))
    assert found.judged is not None
    app, blobs = world.app(), FolderBlobs(tmp_path / "shared")
    file = world.workspace.detector_file(found.judged.weights_digest)
    name = file.relative_to(world.workspace.state_dir).as_posix()
    blobs.put(name, b"the other host's")

    def check_lease() -> None:
        raise UnavailableError("the lease on drift check was lost")

    champion = ServingChampion(
        app.copies.fetch_champion(app.state()),
        app.state(),
        app.data,
        app.samples,
        app.copies,
        app.workspace,
        SharedFiles(world.workspace.state_dir, blobs),
        app.teller,
    )
    with pytest.raises(UnavailableError):
        replace(champion, check_lease=check_lease).share()
    assert blobs.get(name) == b"the other host's"
    champion.share()
    assert blobs.get(name) == file.read_bytes()


def test_a_damaged_state_begins_anew(world: World) -> None:
    found = answer(world, range(1000, 1040))
    assert found.judged is not None
    world.workspace.detector_file(found.judged.weights_digest).write_bytes(b"nonsense")
    again = answer(world, range(2000, 2040))
    assert again.watched is not None
    assert 30 < again.watched.detector.num_scenes <= 40
    assert load_detector(world.workspace.detector_file(found.judged.weights_digest)) is not None


def test_a_simulation_shows_the_stated_beside_the_measured_budget_and_each_delay(
    world: World, tmp_path: Path
) -> None:
    found = simulate_monitoring(world.app(), num_quarters=20, scenes_per_day=5.0, num_delay_runs=20)
    assert (len(found.quarters), found.scenes_per_day, found.measured_scenes_per_day) == (20, 5.0, None)
    assert found.is_kept
    delays = {delay.name: delay for delay in found.delays}
    assert list(delays) == [
        *("darker", "blurred", "new colours", "noisier", "zoomed in", "new camera", "new camera in 20%"),
        "new class mix",
    ]
    assert delays["darker"].seen_percent > 90.0
    told: dict[str, Any] = json.loads(json.dumps(found.to_json()))
    assert (told["stated"]["per_quarter"], told["is_kept"], len(told["delays"])) == (1.0, True, 8)
    page = write_simulation_page(
        tmp_path / "page.html", found, model_name="mask-rcnn", now=world.clock.now()
    ).read_text()
    assert "stated at most 1 (kept)" in page
    assert page.count("<tr>") == 1 + 8
    assert '<path class="measured"' in page


def test_changed_pictures_are_shown_to_the_champion_once(world: World) -> None:
    num_passes = 0

    def count() -> None:
        nonlocal num_passes
        num_passes += 1

    world.predictors.before = count
    first = simulate_monitoring(world.app(), num_quarters=20, scenes_per_day=2.0, num_delay_runs=2)
    before, num_passes = num_passes, 0
    second = simulate_monitoring(world.app(), num_quarters=20, scenes_per_day=2.0, num_delay_runs=2)
    assert (before > 0, num_passes) == (True, 0)
    assert first.to_json() == second.to_json()
