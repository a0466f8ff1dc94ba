"""From an alarm to a retrained candidate, with people in Label Studio alone and no command in between.

It runs against the fake of the server, and against the real one where `make test-studio` has installed it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset.labelling.label_studio_api import LabelStudioApi
from flows.loop.cycles import record_trigger
from flows.loop.reconcile import reconcile
from maskloop.records.kinds import LabelsPulled, LabelsPushed
from tests.fakes.label_studio_server import LEGACY_TOKEN
from tests.fakes.labelling_world import LabellingWorld, shrunk, truth
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import leave_alone
from tests.fakes.model_ports import draw_picture
from tests.fakes.real_label_studio import EXECUTABLE

SERVERS = ["fake", *(["real"] if EXECUTABLE.exists() else [])]


@pytest.fixture(params=SERVERS)
def labelling(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> LabellingWorld:
    leave_alone(monkeypatch)
    made = LabellingWorld.made(tmp_path / "workspace", monkeypatch)
    if request.param == "fake":
        return made
    monkeypatch.setenv("STUDIO_TOKEN", LEGACY_TOKEN)
    api = LabelStudioApi(request.getfixturevalue("server_url"), "STUDIO_TOKEN")
    return LabellingWorld(made.world, api=api, title=f"story {tmp_path.parent.name}")


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
