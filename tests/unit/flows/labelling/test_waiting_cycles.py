"""A cycle that waits for labels asks for them by itself where the settings say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset.pictures.decoding import encode_png
from flows.answering.batch_prediction import predict
from flows.loop.cycles import abandon_cycle, record_trigger
from flows.loop.reconcile import reconcile
from maskloop.digest import digest_bytes
from maskloop.records.kinds import LabelsPushed, LabelsRequested
from tests.fakes.labelling_world import LabellingWorld
from tests.fakes.loop_stories import first_champion
from tests.fakes.model_ports import draw_picture

ASKS = "[labelling]\nrequest_on_drift = 3\n"


def alarmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str = ASKS) -> LabellingWorld:
    """A workspace whose champion has answered pictures, and production has drifted."""
    labelling = LabellingWorld.made(tmp_path / "workspace", monkeypatch, settings=settings)
    first_champion(labelling.world)
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    for number in range(200, 208):
        data = encode_png(draw_picture(number)[0])
        labelling.pictures[number] = data
        (incoming / f"{number}.png").write_bytes(data)
    predict(labelling.world.app(), [incoming], source="camera-2")
    record_trigger(labelling.world.app().journal, "drift:1", "drift", "production drifted")
    return labelling


def test_an_alarm_leads_to_a_request_and_tasks_in_one_reconcile_and_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelling = alarmed(tmp_path, monkeypatch)
    done = reconcile(labelling.world.app()).done
    (requested,) = labelling.world.of_kind(LabelsRequested)
    (pushed,) = labelling.world.of_kind(LabelsPushed)
    assert [requested.sentence(), requested.trigger_key] == [done[-2], "drift:1"]
    assert (len(requested.chosen), pushed.num_pictures, len(labelling.server.tasks)) == (3, 3, 3)
    (request,) = labelling.world.state.open_requests
    assert request.cycle_id == labelling.world.last_cycle.id
    assert reconcile(labelling.world.app()).done == ()


def test_the_cycle_trains_once_people_have_labelled_what_it_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelling = alarmed(tmp_path, monkeypatch)
    reconcile(labelling.world.app())
    by_digest = {digest_bytes(data): number for number, data in labelling.pictures.items()}
    for task in labelling.tool.list_tasks():
        labelling.label(by_digest[task.picture_digest])
    reconcile(labelling.world.app())
    assert labelling.world.last_cycle.phase == "judged"


def test_by_default_nothing_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelling = alarmed(tmp_path, monkeypatch, settings="")
    reconcile(labelling.world.app())
    assert labelling.world.of_kind(LabelsRequested) == []
    assert labelling.server.requests == []


def test_while_the_server_is_away_the_request_stands_and_is_pushed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelling = alarmed(tmp_path, monkeypatch)
    labelling.server.is_away = True
    reconcile(labelling.world.app())
    assert len(labelling.world.of_kind(LabelsRequested)) == 1
    assert labelling.world.of_kind(LabelsPushed) == []
    labelling.server.is_away = False
    (done,) = reconcile(labelling.world.app()).done
    assert "3 pictures in http://studio/projects/" in done
    assert len(labelling.world.of_kind(LabelsRequested)) == 1


def test_a_request_of_a_cycle_that_ended_is_not_pushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelling = alarmed(tmp_path, monkeypatch, settings="")
    reconcile(labelling.world.app())
    cycle = labelling.world.last_cycle.id
    labelling.ask(300, cycle=cycle)
    abandon_cycle(labelling.world.app(), cycle, by="rita", why="a test")
    reconcile(labelling.world.app())
    assert labelling.server.tasks == {}


def test_that_no_picture_is_left_to_label_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelling = alarmed(tmp_path, monkeypatch)
    labelling.world.samples._pictures.clear()
    labelling.world.samples._samples.clear()
    assert any("waits for labels" in one for one in reconcile(labelling.world.app()).done)
    assert labelling.world.of_kind(LabelsRequested) == []
