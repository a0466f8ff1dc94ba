"""Requests go through CVAT once, whatever happens in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.labelling.overview import describe_requests
from flows.labelling.pull import pull_labels
from flows.labelling.push import push_labels
from maskloop.errors import ConfigurationError, DataError, UnavailableError
from maskloop.records.kinds import LabelsPulled, LabelsPushed
from tests.fakes.crashing import every_crash_point
from tests.fakes.cvat_world import CvatWorld
from tests.fakes.labelling_world import shrunk, stretched, truth
from tests.fakes.loop_stories import first_champion


@pytest.fixture
def labelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CvatWorld:
    return CvatWorld.made(tmp_path / "workspace", monkeypatch)


def pull(labelling: CvatWorld) -> LabelsPulled:
    (record,) = pull_labels(labelling.world.app())
    return record


def pictures_of(labelling: CvatWorld) -> list[str]:
    return sorted(name for task in labelling.cvat.tasks for name in labelling.cvat.pictures[task])


def test_a_request_is_one_task_whose_name_tells_the_cause(labelling: CvatWorld) -> None:
    request = labelling.ask(100, 101)
    (pushed,) = push_labels(labelling.world.app())
    assert (pushed.num_there, pushed.num_added) == (2, 2)
    (task,) = labelling.cvat.tasks.values()
    assert task["name"] == f"maskloop {request}: production drifted"
    (recorded,) = labelling.world.of_kind(LabelsPushed)
    assert (recorded.tool, recorded.num_pictures) == ("cvat", 2)
    assert recorded.project.startswith("http://cvat/projects/")


def test_tasks_hold_what_the_champion_finds(labelling: CvatWorld) -> None:
    first_champion(labelling.world)
    labelling.ask(100)
    push_labels(labelling.world.app())
    (held,) = labelling.cvat.annotations.values()
    assert [(one["type"], one["source"]) for one in held["shapes"]] == [("mask", "auto")] * 2
    assert "it is dark" in {one["value"] for one in held["tags"][0]["attributes"]}


def test_labels_come_back_from_finished_jobs_and_the_model_s_own_are_marked(labelling: CvatWorld) -> None:
    first_champion(labelling.world)
    labelling.ask(100, 101, 102, source="camera-2")
    push_labels(labelling.world.app())
    assert pull_labels(labelling.world.app()) == []
    labelling.label(100, shrunk(truth(100), 4))
    labelling.accept(101)
    record = pull(labelling)
    assert (record.num_new, record.num_left_out) == (2, 0)
    assert {one.origin: one.annotator for one in record.pictures} == {
        "corrected": "anna",
        "model-reviewed": "anna",
    }
    assert labelling.labels_of(100).source == "camera-2"
    (waiting,) = labelling.world.state.open_requests
    assert waiting.num_awaited == 1


def test_what_did_not_change_is_not_downloaded_again(labelling: CvatWorld) -> None:
    def num_downloads() -> int:
        return sum(one.startswith("GET /api/jobs/") for one in labelling.cvat.requests)

    labelling.ask(100, 101)
    push_labels(labelling.world.app())
    labelling.cvat.requests.clear()
    assert pull_labels(labelling.world.app()) == []
    assert num_downloads() == 0
    labelling.label(100)
    labelling.cvat.requests.clear()
    pull(labelling)
    for _ in range(3):
        assert pull_labels(labelling.world.app()) == []
    assert num_downloads() == 1
    labelling.bench.redraw(labelling.task(100), truth(100)[:1])
    assert pull(labelling).num_relabelled == 1


def test_labels_of_another_size_or_without_a_mask_cost_only_their_picture(labelling: CvatWorld) -> None:
    labelling.ask(100, 101, 102)
    push_labels(labelling.world.app())
    labelling.label(100)
    labelling.label(101, stretched(101))
    labelling.label(102)
    job = max(labelling.cvat.jobs)
    labelling.cvat.annotations[job]["shapes"][0] |= {"type": "rectangle", "points": [1.0, 1.0, 5.0, 5.0]}
    record = pull(labelling)
    assert (record.num_new, record.num_left_out) == (1, 2)
    told = " ".join(record.reasons)
    assert "an object has no mask, only a rectangle" in told
    assert "mask" in told
    assert labelling.is_labelled(100)


def test_a_deleted_task_loses_no_labels_and_comes_back_if_the_request_is_named(labelling: CvatWorld) -> None:
    request = labelling.ask(100, 101)
    push_labels(labelling.world.app())
    labelling.label(100)
    pull(labelling)
    labelling.bench.delete(labelling.task(100))
    assert pull_labels(labelling.world.app()) == []
    assert labelling.is_labelled(100)
    overview = describe_requests(labelling.world.app())
    assert "1 task deleted in the tool" in overview.remarks[0]
    (pushed,) = push_labels(labelling.world.app(), request)
    assert (pushed.num_there, pushed.num_added) == (2, 1)
    assert len(labelling.tool.list_tasks()) == 2


def test_pushing_again_adds_nothing(labelling: CvatWorld) -> None:
    request = labelling.ask(100, 101)
    push_labels(labelling.world.app())
    assert push_labels(labelling.world.app()) == []
    (again,) = push_labels(labelling.world.app(), request)
    assert (again.num_there, again.num_added) == (2, 0)
    assert len(labelling.cvat.tasks) == 1


def test_a_project_of_other_classes_takes_nothing(labelling: CvatWorld) -> None:
    labelling.tool.open_project(("gear", "nut"))
    labelling.ask(100)
    with pytest.raises(DataError, match="it lacks bolt and it has gear besides"):
        push_labels(labelling.world.app())
    assert labelling.cvat.tasks == {}


def test_a_wrong_token_is_named_by_its_variable_and_never_shown(
    labelling: CvatWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelling.ask(100)
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", "a-secret-that-is-wrong")
    with pytest.raises(ConfigurationError, match="refuses the token in CVAT_ACCESS_TOKEN") as refused:
        push_labels(labelling.world.app())
    assert "a-secret" not in str(refused.value)
    monkeypatch.delenv("CVAT_ACCESS_TOKEN")
    with pytest.raises(ConfigurationError, match="CVAT_ACCESS_TOKEN is not set"):
        push_labels(labelling.world.app())


def test_a_server_that_is_away_stops_a_push_and_a_pull(labelling: CvatWorld) -> None:
    labelling.ask(100)
    labelling.cvat.is_away = True
    with pytest.raises(UnavailableError, match="CVAT does not answer"):
        push_labels(labelling.world.app())
    labelling.cvat.is_away = False
    push_labels(labelling.world.app())
    labelling.label(100)
    labelling.cvat.is_away = True
    with pytest.raises(UnavailableError, match="CVAT does not answer"):
        pull_labels(labelling.world.app())
    labelling.cvat.is_away = False
    assert pull(labelling).num_new == 1


@pytest.mark.slow
def test_a_push_that_fails_at_any_request_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server does what it was asked and the answer is lost: no picture is there twice."""
    whole = CvatWorld.made(tmp_path / "whole", monkeypatch)
    first_champion(whole.world)
    whole.ask(100, 101)
    push_labels(whole.world.app())
    held = [len(one["shapes"]) for one in whole.cvat.annotations.values()]
    num_requests = len(whole.cvat.requests)
    assert num_requests > 15
    for number in range(1, num_requests + 1):
        labelling = CvatWorld.made(tmp_path / f"fails-{number}", monkeypatch)
        first_champion(labelling.world)
        labelling.cvat.fails_at = {number}
        labelling.ask(100, 101)
        with pytest.raises(UnavailableError):
            push_labels(labelling.world.app())
        push_labels(labelling.world.app())
        assert len(pictures_of(labelling)) == len(labelling.tool.list_tasks()) == 2, number
        shapes = [len(labelling.cvat.annotations[job]["shapes"]) for job in labelling.cvat.jobs]
        assert shapes == held, number
        assert len(labelling.cvat.projects) == 1, number


@pytest.mark.slow
def test_a_push_killed_anywhere_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds = iter(range(1000))

    def make() -> CvatWorld:
        made = CvatWorld.made(tmp_path / str(next(worlds)), monkeypatch)
        made.ask(100, 101)
        return made

    made, num_points = [make()], 0
    for _ in every_crash_point(lambda countdown: push_labels(made[-1].world.app(countdown=countdown))):
        num_points += 1
        labelling = made[-1]
        labelling.world.clock.advance(minutes=3)  # the lease of the dead process ends
        push_labels(labelling.world.app())
        assert len(pictures_of(labelling)) == len(labelling.tool.list_tasks()) == 2
        assert len(labelling.world.of_kind(LabelsPushed)) == 1
        made.append(make())
    assert num_points > 6
