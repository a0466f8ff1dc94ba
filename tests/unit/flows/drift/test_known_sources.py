"""A camera that the champion was retrained for with few labels: known, but not judged by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.answering.batch_prediction import predict
from flows.drift.monitor import monitor
from flows.labelling.alarm import read_alarm
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.pages.status import describe_status
from maskloop.records.kinds import DriftJudged, TriggerRecorded
from tests.fakes.loop_world import World, draw_under_lamp

LAMP = 60
TOO_FEW = (
    "camera 2 is known, but only 24 of its 48 labelled pictures are held out: its drift cannot be judged"
    " until 30 are, so label about 12 more"
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """The belt's pictures were learned first; camera 2 alarmed, and 48 labels of it were learned then."""
    made = World(
        tmp_path / "workspace", settings="\n[monitoring]\nwindow_samples = 80\nmin_window_samples = 30\n"
    )
    made.label(range(180))
    run_turn(made.app(), starts_from="first-weights")
    made.tag_version("1", "approved")
    reconcile(made.app())
    assert judge(made, {"camera 2": range(1000, 1040)}, brighter=LAMP).outcome == "drift"
    reconcile(made.app())
    made.label(range(2000, 2048), source="camera 2", brighter=LAMP)
    reconcile(made.app())
    made.tag_version("2", "approved")
    reconcile(made.app())
    assert made.alias("champion") == "2"
    return made


def judge(world: World, parts: dict[str, range], *, brighter: int) -> DriftJudged:
    """Let production answer pictures, those of the belt under the old lamp, and judge the window."""
    for source, numbers in parts.items():
        folder = world.workspace.root.parent / f"{source} {numbers.start}"
        folder.mkdir()
        for number in numbers:
            lamp = 0 if source == "belt" else brighter
            (folder / f"{number}.png").write_bytes(draw_under_lamp(number, lamp)[0])
        predict(world.app(), [folder], source=source)
    judged = monitor(world.app()).judged
    assert judged is not None
    return judged


def test_a_camera_with_few_labels_does_not_alarm_again_after_its_retraining(world: World) -> None:
    judged = judge(world, {"camera 2": range(3000, 3040)}, brighter=LAMP)
    reconcile(world.app())
    assert (judged.outcome, judged.unjudged_sources) == ("inconclusive", ("camera 2",))
    assert [trigger.reason for trigger in world.of_kind(TriggerRecorded)] == ["manual", "drift"]
    assert world.state.open_cycles == ()


def test_the_record_the_page_and_the_status_say_how_many_labels_the_camera_lacks(world: World) -> None:
    judged = judge(world, {"camera 2": range(3000, 3040)}, brighter=LAMP)
    assert judged.reason.startswith(TOO_FEW)
    page = (world.workspace.root / judged.report).read_text()
    assert TOO_FEW in page
    assert "Cannot tell" in page
    assert TOO_FEW in describe_status(world.app()).to_text()


def test_the_other_camera_is_judged_without_the_samples_of_the_one_that_cannot_be(world: World) -> None:
    judged = judge(world, {"belt": range(4000, 4040), "camera 2": range(3000, 3040)}, brighter=LAMP)
    assert (judged.outcome, judged.unjudged_sources) == ("quiet", ("camera 2",))
    assert judged.headline().startswith("production has not drifted (80 samples of belt, camera 2")
    assert judged.headline().endswith("; camera 2 not judged)")
    assert TOO_FEW in judged.reason


def test_an_unknown_camera_still_alarms_and_the_alarm_is_read_again_for_labels(world: World) -> None:
    judged = judge(world, {"camera 2": range(3000, 3040), "camera 3": range(5000, 5040)}, brighter=LAMP)
    assert (judged.outcome, judged.drifted_sources) == ("drift", ("camera 3",))
    app = world.app()
    alarm = read_alarm(app.state(), judged.weights_digest, app.samples, app.data, app.workspace)
    assert alarm.window_id == judged.window_id
    assert [one.name for one in alarm.signals if one.drifted] == list(judged.drifted_features)


def test_with_enough_labels_the_camera_is_judged_and_alarms_when_it_changes(world: World) -> None:
    world.label(range(2100, 2124), source="camera 2", brighter=LAMP)
    run_turn(world.app(), starts_from="champion")
    world.tag_version("3", "approved")
    reconcile(world.app())
    assert judge(world, {"camera 2": range(3000, 3040)}, brighter=LAMP).outcome == "quiet"
    assert judge(world, {"camera 2": range(6000, 6040)}, brighter=100).outcome == "drift"
