"""What `maskloop label status` tells of requests whose tasks or project are not what they were."""

from __future__ import annotations

from pathlib import Path

from dataset.labelling.folder_tool import FolderTool
from dataset.labelling.label_studio import LabelStudio
from flows.labelling.overview import describe_requests
from flows.labelling.pull import pull_labels
from tests.fakes.labelling_world import LabellingWorld, pushed, truth


def test_labels_in_a_folder_that_cannot_be_read_are_told_by_status(
    labelling: LabellingWorld, tmp_path: Path
) -> None:
    labelling.world.labelling_tool = FolderTool(tmp_path / "labelling")
    request = pushed(labelling, 100)
    assert describe_requests(labelling.world.app()).requests[0].finished == 0
    (tmp_path / "labelling" / request / "labels" / "labels.json").write_text('{"images": [')
    overview = describe_requests(labelling.world.app())
    assert (overview.requests[0].in_tool, overview.requests[0].finished) == (1, None)
    assert f"request {request}: its labels cannot be read" in overview.remarks[0]


def test_a_request_that_went_to_another_tool_than_the_settings_name_now_is_not_called_deleted(
    labelling: LabellingWorld, tmp_path: Path
) -> None:
    request = pushed(labelling, 100)
    labelling.world.labelling_tool = FolderTool(tmp_path / "labelling")
    (remark,) = describe_requests(labelling.world.app()).remarks
    assert f"request {request} was pushed to label-studio, and labelling.tool is folder now" in remark


def test_a_project_that_the_settings_name_no_more_is_not_called_deleted_tasks(
    labelling: LabellingWorld,
) -> None:
    request = pushed(labelling, 100)
    assert isinstance(labelling.tool, LabelStudio)
    for title, now in (
        ("elsewhere", "there is no project of this title now"),
        ("again", "the settings name"),
    ):
        labelling.world.labelling_tool = LabelStudio(labelling.bench.api, title=title)
        if title == "again":
            labelling.world.labelling_tool.open_project(["bolt"])
        (remark,) = describe_requests(labelling.world.app()).remarks
        assert remark.startswith(f"request {request} was pushed to http://")
        assert now in remark


def test_deleted_and_foreign_tasks_are_told_and_lose_nothing(labelling: LabellingWorld) -> None:
    request = pushed(labelling, 100, 101)
    labelling.label(100)
    pull_labels(labelling.world.app())
    labelling.bench.delete(labelling.task(100))
    project = next(iter(labelling.server.projects))
    labelling.server._add_task(project, {"data": {"image": "/data/upload/9/foreign.png"}})
    (foreign,) = [one for one in labelling.tool.list_tasks() if not one.picture_digest]
    labelling.bench.submit(foreign, truth(100))
    assert pull_labels(labelling.world.app()) == []
    assert labelling.is_labelled(100)
    overview = describe_requests(labelling.world.app())
    (one,) = overview.requests
    assert (one.request, one.in_tool, one.finished, one.in_data) == (request, 1, 0, 1)
    deleted, not_ours = overview.remarks
    assert "1 task deleted in the tool" in deleted
    assert "1 finished task of no request at hand left alone" in not_ours
