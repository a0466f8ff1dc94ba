"""A camera that the champion was retrained for with few labels, and what it is compared with."""

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
from monitoring.drift.references import load_references
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World, draw_under_lamp
from tests.fakes.sample_log import FakeSampleLog

LAMP = 60
OTHER_LAMP = 120
TOO_FEW = (
    "camera 2 is known, but only 24 of its 48 labelled pictures are held out: its drift cannot be judged"
    " until 30 are, so label about 12 more"
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """No picture of production is kept."""
    return teach_camera_2(tmp_path / "workspace", keep_pictures=0)


@pytest.fixture
def keeping(tmp_path: Path) -> World:
    """The pictures of the alarm are kept."""
    return teach_camera_2(tmp_path / "workspace", keep_pictures=2000)


def teach_camera_2(root: Path, *, keep_pictures: int) -> World:
    """Learn the belt's pictures; camera 2 alarms, and 48 labels of it are learned then."""
    made = World(
        root, settings="\n[monitoring]\nwindow_samples = 80\nmin_window_samples = 30\nestimate_pictures = 0\n"
    )
    made.samples = FakeSampleLog(keep_pictures=keep_pictures)
    made.label(range(180))
    first_champion(made)
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


def test_without_kept_pictures_a_camera_with_few_labels_does_not_alarm_again_after_its_retraining(
    world: World,
) -> None:
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
    judged = judge(world, {"camera 2": range(3000, 3040), "camera 3": range(5000, 5040)}, brighter=2 * LAMP)
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


def test_a_camera_with_few_labels_is_judged_by_what_production_sent_before_its_retraining(
    keeping: World,
) -> None:
    quiet = judge(keeping, {"camera 2": range(3000, 3040)}, brighter=LAMP)
    assert (quiet.outcome, quiet.unjudged_sources) == ("quiet", ())
    assert judge(keeping, {"camera 2": range(6000, 6040)}, brighter=100).outcome == "drift"


def test_pictures_that_the_champion_was_trained_on_are_no_reference(tmp_path: Path) -> None:
    made = teach_camera_2(tmp_path / "workspace", keep_pictures=2000)
    made.label(range(1000, 1040), source="camera 2", brighter=LAMP)  # the pictures of the alarm themselves
    run_turn(made.app(), starts_from="champion")
    made.tag_version("3", "approved")
    reconcile(made.app())
    judge(made, {"camera 2": range(3000, 3040)}, brighter=LAMP)
    weights = made.state.champion.weights_digest  # type: ignore[union-attr]
    references = load_references(made.workspace.baseline_dir(weights))
    assert "camera 2 as it was taught" not in references


def test_a_changed_camera_is_compared_with_its_pictures_of_before_and_of_after(keeping: World) -> None:
    """Most held-out pictures of the belt show its old lamp."""
    folder = keeping.workspace.root.parent / "new lamp"
    folder.mkdir()
    for number in range(4000, 4040):
        (folder / f"{number}.png").write_bytes(draw_under_lamp(number, OTHER_LAMP)[0])
    predict(keeping.app(), [folder], source="belt")
    assert monitor(keeping.app()).judged.outcome == "drift"  # type: ignore[union-attr]
    reconcile(keeping.app())
    keeping.label(range(5000, 5048), source="belt", brighter=OTHER_LAMP)
    reconcile(keeping.app())
    keeping.tag_version("3", "approved")
    reconcile(keeping.app())
    for number in range(7000, 7040):
        (folder / f"{number}.png").write_bytes(draw_under_lamp(number, OTHER_LAMP)[0])
    predict(keeping.app(), [folder], source="belt")
    judged = monitor(keeping.app()).judged
    assert judged is not None
    assert judged.outcome == "quiet"
