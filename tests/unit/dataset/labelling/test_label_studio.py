from __future__ import annotations

from typing import Any

import httpx
import pytest

from dataset.labelling.label_studio import LabelStudio, read_export
from dataset.labelling.label_studio_api import LabelStudioApi
from dataset.labelling.port import LabelTask, PlacedTask
from maskloop.digest import digest_bytes
from tests.fakes.label_scene import SCENE
from tests.fakes.label_studio_files import annotation, brushed, task
from tests.fakes.label_studio_server import LEGACY_TOKEN, FakeLabelStudio


@pytest.mark.parametrize(
    "address", ["http://elsewhere/a.png", "/api/users", "//elsewhere/data/upload/a.png", 7]
)
def test_the_token_goes_to_no_address_that_a_person_wrote_into_a_task(
    address: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_TOKEN", LEGACY_TOKEN)
    asked: list[str] = []
    server = FakeLabelStudio(tasks={4: {"id": 4, "data": {"image": address}}})
    inner = server.transport

    def record(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return inner.handle_request(request)

    api = LabelStudioApi("http://studio", "STUDIO_TOKEN", transport=httpx.MockTransport(record))
    placed = PlacedTask("4", digest_bytes(b""), "r1", 1)
    assert LabelStudio(api, title="t").fetch_picture(placed) is None
    assert asked == ["http://studio/api/tasks/4"]


def test_uploads_are_listed_once_for_a_push_of_many_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_TOKEN", LEGACY_TOKEN)
    server = FakeLabelStudio()
    tool = LabelStudio(LabelStudioApi("http://studio", "STUDIO_TOKEN", transport=server.transport), title="t")
    tool.open_project(["nut"])
    pictures = [bytes([number]) for number in range(5)]
    list(tool.add_tasks(task_of(picture) for picture in pictures))
    assert [one for one in server.requests if one.endswith("/file-uploads")] == [
        "GET /api/projects/1/file-uploads"
    ]
    assert {one.picture_digest for one in tool.list_tasks()} == {*map(digest_bytes, pictures)}


def task_of(picture: bytes) -> LabelTask:
    return LabelTask("s", digest_bytes(picture), picture, ".png", (4, 4), "belt", "r", "drift", "dark")


def test_people_are_named_by_their_address_where_the_token_may_see_it() -> None:
    drawn = [brushed(1, "nut", SCENE[0].mask)]
    export = [task(3, "/data/upload/1/a.png", annotation(1, drawn, 5), annotation(2, drawn, 6))]
    assert [one.annotator for one in read_export(export, {5: "e@x.org"})] == ["e@x.org", "6"]


def test_what_cannot_be_used_is_told_without_the_task_that_the_annotation_names_itself() -> None:
    broken = brushed(1, "nut", SCENE[0].mask)
    broken["value"]["rle"] = broken["value"]["rle"][:4]
    (found,) = read_export([task(3, "/data/upload/1/a.png", annotation(1, [broken], 5))], {})
    assert (found.task_id, found.trouble) == (
        "3",
        f"region {broken['id']}: the brush mask is cut off before its first value",
    )


def test_what_began_with_another_prediction_than_it_ended_with_is_changed() -> None:
    ring, dot = brushed(1, "nut", SCENE[0].mask), brushed(2, "gear", SCENE[2].mask)
    cases = {
        "as it was": ([ring, dot], [dot, ring], True),
        "one object removed": ([ring], [ring, dot], False),
        "another class": ([{**ring, "value": {**ring["value"], "brushlabels": ["bolt"]}}], [ring], False),
        "nothing to begin with": ([ring], [], False),
        "nothing at all": ([], [], False),
    }
    for name, (results, began_with, is_unchanged) in cases.items():
        made = annotation(1, results, prediction={"result": began_with})
        (found,) = read_export([task(3, "/data/upload/1/a.png", made)], {})
        assert found.is_unchanged == is_unchanged, name


def test_a_task_that_hid_behind_a_deleted_one_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a person deletes the first of three tasks, the third moves to the page that was read already."""
    monkeypatch.setenv("STUDIO_TOKEN", LEGACY_TOKEN)
    monkeypatch.setattr("dataset.labelling.label_studio_api._PAGE_SIZE", 2)
    tasks: dict[int, dict[str, Any]] = {
        number: {"id": number, "project": 1, "data": {}, "updated_at": ""} for number in (1, 2, 3, 4)
    }
    server = FakeLabelStudio(projects={1: {"id": 1, "title": "t"}}, tasks=tasks)
    inner = server.transport

    def delete_meanwhile(request: httpx.Request) -> httpx.Response:
        answer = inner.handle_request(request)
        if request.url.params.get("page") == "1" and request.url.path == "/api/tasks":
            server.tasks.pop(1, None)
        return answer

    api = LabelStudioApi("http://studio", "STUDIO_TOKEN", transport=httpx.MockTransport(delete_meanwhile))
    assert [one.task_id for one in LabelStudio(api, title="t").list_tasks()] == ["2", "3", "4"]
