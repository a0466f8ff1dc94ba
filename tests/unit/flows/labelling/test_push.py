"""Pictures of a request become tasks, each once, whatever happens in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.labelling.push import push_labels
from maskloop.errors import ConfigurationError, DataError, NotFoundError, UnavailableError
from maskloop.records.kinds import LabelsPushed
from tests.fakes.crashing import every_crash_point
from tests.fakes.labelling_world import LabellingWorld
from tests.fakes.loop_stories import first_champion


def test_a_request_becomes_tasks_that_tell_cause_reason_and_picture(labelling: LabellingWorld) -> None:
    request = labelling.ask(100, 101)
    (pushed,) = push_labels(labelling.world.app())
    assert (pushed.request_id, pushed.num_there, pushed.num_added) == (request, 2, 2)
    first = next(one for one in labelling.content if one["sample_id"] == "s100")
    assert (first["reason"], first["cause"], first["source"]) == ("it is dark", "production drifted", "belt")
    assert (first["request_id"], first["picture_digest"]) == (request, labelling.task(100).picture_digest)
    (recorded,) = labelling.world.of_kind(LabelsPushed)
    assert (recorded.tool, recorded.num_pictures) == ("label-studio", 2)
    assert recorded.project.startswith("http://studio/projects/")


def test_tasks_hold_what_the_champion_finds(labelling: LabellingWorld) -> None:
    version = first_champion(labelling.world)
    labelling.ask(100)
    push_labels(labelling.world.app())
    (prediction,) = labelling.server.predictions.values()
    assert prediction["model_version"] == f"version {version}"
    assert [one["value"]["brushlabels"] for one in prediction["result"]] == [["bolt"], ["nut"]]
    assert prediction["score"] == pytest.approx(0.85)


def test_pushing_again_adds_nothing_and_records_nothing(labelling: LabellingWorld) -> None:
    request = labelling.ask(100, 101)
    push_labels(labelling.world.app())
    assert push_labels(labelling.world.app()) == []
    (again,) = push_labels(labelling.world.app(), request)
    assert (again.num_there, again.num_added) == (2, 0)
    assert len(labelling.server.tasks) == 2
    assert len(labelling.world.of_kind(LabelsPushed)) == 1


def test_a_picture_of_two_requests_is_one_task(labelling: LabellingWorld) -> None:
    labelling.ask(100, 101)
    labelling.ask(101, 102)
    first, second = push_labels(labelling.world.app())
    assert (first.num_added, second.num_added, second.num_there) == (2, 1, 2)
    assert len(labelling.server.tasks) == 3


@pytest.mark.slow
def test_a_push_that_fails_at_any_request_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server does what it was asked and the answer is lost: no picture is there twice."""
    whole = LabellingWorld.made(tmp_path / "whole", monkeypatch)
    whole.ask(100, 101)
    push_labels(whole.world.app())
    num_requests = len(whole.server.requests)
    assert num_requests > 10
    for number in range(1, num_requests + 1):
        labelling = LabellingWorld.made(tmp_path / f"fails-{number}", monkeypatch)
        labelling.server.fails_at = {number}
        labelling.ask(100, 101)
        with pytest.raises(UnavailableError):
            push_labels(labelling.world.app())
        push_labels(labelling.world.app())
        assert sorted(one["sample_id"] for one in labelling.content) == ["s100", "s101"], number
        assert len(labelling.server.uploads) == 2, number
        assert len(labelling.server.projects) == 1, number


@pytest.mark.slow
def test_a_push_killed_anywhere_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds = iter(range(1000))

    def make() -> LabellingWorld:
        made = LabellingWorld.made(tmp_path / str(next(worlds)), monkeypatch)
        made.ask(100, 101)
        return made

    made, num_points = [make()], 0
    for _ in every_crash_point(lambda countdown: push_labels(made[-1].world.app(countdown=countdown))):
        num_points += 1
        labelling = made[-1]
        labelling.world.clock.advance(minutes=3)  # the lease of the dead process ends
        push_labels(labelling.world.app())
        assert sorted(one["sample_id"] for one in labelling.content) == ["s100", "s101"]
        assert len(labelling.world.of_kind(LabelsPushed)) == 1
        made.append(make())
    assert num_points > 6


def test_a_picture_that_is_kept_no_more_costs_only_itself(labelling: LabellingWorld) -> None:
    labelling.ask(100, 101)
    labelling.world.samples._pictures.clear()
    (pushed,) = push_labels(labelling.world.app())
    assert pushed.num_there == 0
    assert pushed.remarks == (
        "s100 was not pushed: its picture is not kept any more",
        "s101 was not pushed: its picture is not kept any more",
    )
    assert labelling.world.of_kind(LabelsPushed) == []


def test_deleted_tasks_come_back_if_the_request_is_named(labelling: LabellingWorld) -> None:
    request = labelling.ask(100, 101)
    push_labels(labelling.world.app())
    labelling.bench.delete(labelling.task(100))
    assert push_labels(labelling.world.app()) == []
    (pushed,) = push_labels(labelling.world.app(), request)
    assert (pushed.num_there, pushed.num_added) == (2, 1)


def test_a_project_of_other_classes_takes_nothing(labelling: LabellingWorld) -> None:
    labelling.tool.open_project(("gear", "nut"))
    labelling.ask(100)
    with pytest.raises(DataError, match="it lacks bolt and it has gear besides"):
        push_labels(labelling.world.app())
    assert labelling.server.tasks == {}


def test_a_wrong_token_is_named_by_its_variable_and_never_shown(
    labelling: LabellingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelling.ask(100)
    monkeypatch.setenv("STUDIO_TOKEN", "a-secret-that-is-wrong")
    with pytest.raises(ConfigurationError, match="refuses the token in STUDIO_TOKEN") as refused:
        push_labels(labelling.world.app())
    assert "a-secret" not in str(refused.value)
    monkeypatch.delenv("STUDIO_TOKEN")
    with pytest.raises(ConfigurationError, match="STUDIO_TOKEN is not set"):
        push_labels(labelling.world.app())


def test_an_unknown_request_is_named(labelling: LabellingWorld) -> None:
    with pytest.raises(NotFoundError, match="there is no request 0000"):
        push_labels(labelling.world.app(), "0000")
