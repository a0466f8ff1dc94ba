"""From an alarm to a retrained candidate, with people in the labelling tool alone and no command in between.

It runs against the fakes of CVAT and Label Studio, and against the real Label Studio where `make test-studio`
has installed it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from dataset.labelling.folder_tool import FolderTool
from dataset.labelling.label_studio_api import LabelStudioApi
from flows.answering.batch_prediction import predict
from flows.demo.annotator import StandInAnnotator, employ_annotator, read_truth, submit_to_label_studio
from flows.loop.cycles import record_trigger
from flows.loop.reconcile import reconcile
from maskloop.records.kinds import LabelsPulled, LabelsPushed, LabelsRequested
from tests.fakes.cvat_world import CvatWorld
from tests.fakes.drawn_truth import write_truth
from tests.fakes.label_studio_server import LEGACY_TOKEN
from tests.fakes.labelling_world import LabellingWorld, shrunk, truth
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import leave_alone
from tests.fakes.model_ports import draw_picture
from tests.fakes.real_label_studio import EXECUTABLE

ASKS = '[labelling]\nfolder = "labelling"\nrequest_on_drift = 4\n'
SERVERS = ["fake", *(["real"] if EXECUTABLE.exists() else [])]


def make_world(request: pytest.FixtureRequest, settings: str = "") -> LabellingWorld:
    """A workspace with the server that the test's parameter names."""
    tmp_path, monkeypatch = request.getfixturevalue("tmp_path"), request.getfixturevalue("monkeypatch")
    leave_alone(monkeypatch)
    world = CvatWorld if request.param == "cvat" else LabellingWorld
    made = world.made(tmp_path / "workspace", monkeypatch, settings=settings)
    if request.param != "real":
        return made
    monkeypatch.setenv("STUDIO_TOKEN", LEGACY_TOKEN)
    api = LabelStudioApi(request.getfixturevalue("server_url"), "STUDIO_TOKEN")
    return LabellingWorld(made.world, api=api, title=f"story {tmp_path.parent.name} {len(settings)}")


@pytest.fixture(params=["cvat", *SERVERS])
def labelling(request: pytest.FixtureRequest) -> LabellingWorld:
    return make_world(request)


@pytest.fixture(params=["folder", *SERVERS])
def asking(request: pytest.FixtureRequest) -> tuple[LabellingWorld, Callable[[Path], StandInAnnotator]]:
    """A workspace whose alarms ask for labels, and who labels pictures of a batch there."""
    made = make_world(request, ASKS)
    world = made.world
    if request.param == "folder":
        world.labelling_tool = FolderTool(world.workspace.root / "labelling")
        settings = world.workspace.settings.labelling
        return made, lambda truth: employ_annotator([truth], settings, world.workspace.root)
    submit = partial(submit_to_label_studio, made.bench.api)
    return made, lambda truth: StandInAnnotator(read_truth(truth), submit)


def test_an_alarm_s_request_is_pushed_labelled_pulled_and_trained_on(labelling: LabellingWorld) -> None:
    world = labelling.world
    first_champion(world)
    record_trigger(world.app().journal, "drift:1", "drift", "production drifted")
    reconcile(world.app())
    cycle = world.last_cycle
    assert cycle.waiting is not None
    assert cycle.waiting.waiting_for == "labels"

    labelling.ask(100, 101, 102, 103, source="camera-2", cycle=cycle.id)
    reconcile(world.app())
    (pushed,) = world.of_kind(LabelsPushed)
    assert pushed.num_pictures == len(labelling.tool.list_tasks()) == 4

    labelling.accept(100)
    labelling.label(101)
    labelling.label(102, shrunk(truth(102), 4))
    labelling.label(102, by=2)
    reconcile(world.app())
    (pulled,) = world.of_kind(LabelsPulled)
    assert (pulled.num_new, pulled.num_left_out) == (3, 0)
    assert {one.origin for one in pulled.pictures} == {"corrected", "model-reviewed"}
    assert pulled.reasons == ("1 picture labelled by several people: mask IoU bolt 0.60, nut 0.60",)
    assert set(labelling.labels_of(102).instances) == set(draw_picture(102)[1])
    assert labelling.labels_of(102).source == "camera-2"
    assert world.last_cycle.phase == "judged"

    assert reconcile(world.app()).done == ()
    assert len(labelling.tool.list_tasks()) == 4


def test_an_alarm_leads_to_a_retrained_candidate_with_the_demo_s_annotator_and_without_a_command(
    asking: tuple[LabellingWorld, Callable[[Path], StandInAnnotator]], tmp_path: Path
) -> None:
    world, employ = asking[0].world, asking[1]
    first_champion(world)
    truth = write_truth(tmp_path / "drifted", range(200, 208))
    predict(world.app(), [truth.parent / "images"], source="camera-2")
    record_trigger(world.app().journal, "drift:1", "drift", "production drifted")
    reconcile(world.app())
    (requested,) = world.of_kind(LabelsRequested)
    assert len(requested.chosen) == 4

    annotator = employ(truth)
    assert annotator.label(world.labelling_tool) == 4
    assert annotator.label(world.labelling_tool) == 0
    reconcile(world.app())
    (pulled,) = world.of_kind(LabelsPulled)
    assert (pulled.num_new, pulled.num_left_out) == (4, 0)
    version = world.data.current()
    assert version is not None
    labels = {one.digest: one.instances for one in version.pictures if one.source == "camera-2"}
    assert labels.keys() == {one.picture_digest for one in requested.chosen}
    for digest, instances in labels.items():
        drawn = {(one.class_name, one.mask) for one in annotator.truth[digest]}
        assert {(version.class_names[one.class_index], one.mask) for one in instances} == drawn
    assert world.last_cycle.phase == "judged"
