"""What CVAT alone does: tasks of several pictures, jobs with stages, pushes that were interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dataset.labelling.cvat import Cvat
from dataset.labelling.port import Annotation, DrawnInstance, LabelTask
from maskloop.digest import digest_bytes
from maskloop.errors import DataError, StorageError, UnavailableError
from maskloop.masks import encode_masks
from tests.fakes.cvat_server import ACCESS_TOKEN, FakeCvat
from tests.fakes.cvat_world import fake_cvat
from tests.fakes.label_scene import CLASSES, HEIGHT_PX, SCENE, WIDTH_PX, scene_png
from tests.fakes.labelling_benches import CvatBench


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", ACCESS_TOKEN)


@pytest.fixture
def server() -> FakeCvat:
    return FakeCvat()


def tool_of(server: FakeCvat, **options: object) -> Cvat:
    tool = Cvat(fake_cvat(server), title="maskloop", **options)  # type: ignore[arg-type]
    tool.open_project(CLASSES)
    return tool


def task_of(seed: int = 0, *, names: Sequence[str] = ("ring", "dot")) -> LabelTask:
    picture = scene_png(seed)
    instances = tuple(
        DrawnInstance(one.class_name, encode_masks(one.mask[None])[0], one.is_crowd, score=0.5)
        for one in SCENE
        if one.name in names
    )
    size, digest = (HEIGHT_PX, WIDTH_PX), digest_bytes(picture)
    return LabelTask(
        f"s{seed}", digest, picture, ".png", size, "belt", "r1", "drift", "it is dark", "7", instances
    )


def push(tool: Cvat, *tasks: LabelTask) -> None:
    assert list(tool.add_tasks(tasks)) == list(tasks)


def pull(tool: Cvat) -> list[Annotation]:
    return list(tool.pull(tool.list_tasks()))


def test_pictures_of_a_push_are_frames_of_one_task_in_the_order_of_the_request(server: FakeCvat) -> None:
    tool = tool_of(server, pictures_per_job=2)
    tasks = [task_of(seed) for seed in range(5)]
    push(tool, *tasks)
    (task,) = server.tasks
    assert list(server.pictures[task]) == [f"{one.picture_digest}.png" for one in tasks]
    assert [(one["start_frame"], one["stop_frame"]) for one in server.jobs.values()] == [
        (0, 1),
        (2, 3),
        (4, 4),
    ]
    assert [one.task_id for one in tool.list_tasks()] == [f"{task}-{frame}" for frame in range(5)]
    assert {one.request_id for one in tool.list_tasks()} == {"r1"}


def test_nothing_to_push_begins_no_task(server: FakeCvat) -> None:
    push(tool_of(server))
    assert server.tasks == {}


def test_every_frame_tells_why_it_was_chosen(server: FakeCvat) -> None:
    tool = tool_of(server)
    push(tool, task_of())
    (tag,) = next(iter(server.annotations.values()))["tags"]
    (label,) = [one for one in server.labels.values() if one["id"] == tag["label_id"]]
    names = {one["id"]: one["name"] for one in label["attributes"]}
    told = {names[one["spec_id"]]: one["value"] for one in tag["attributes"]}
    assert (label["name"], label["type"]) == ("maskloop", "tag")
    assert (told["reason"], told["cause"], told["source"], told["model"]) == (
        "it is dark",
        "drift",
        "belt",
        "7",
    )


def test_a_job_counts_once_it_is_completed_in_the_stage_that_is_asked_for(server: FakeCvat) -> None:
    tool = tool_of(server, finished_stage="validation")
    push(tool, task_of())
    (job,) = server.jobs
    api = fake_cvat(server)
    seen = []
    for change in (
        {"state": "in progress"},
        {"state": "completed"},
        {"stage": "validation"},
        {"state": "rejected"},
        {"state": "completed"},
        {"stage": "acceptance", "state": "completed"},
    ):
        api.ask("PATCH", f"/api/jobs/{job}", json=change)
        seen.append(len(pull(tool)))
    assert seen == [0, 0, 0, 0, 1, 1]


def test_a_job_of_ground_truth_counts_before_the_others(server: FakeCvat) -> None:
    tool = tool_of(server)
    push(tool, task_of(), task_of(1))
    bench = CvatBench(tool, fake_cvat(server))
    first, _ = tool.list_tasks()
    bench.accept(first)
    bench.submit(first, task_of(names=["edge"]).pre_labels, by=2)
    marked = {one.annotator: one.is_ground_truth for one in tool.pull([first])}
    assert marked == {"anna": False, "ben": True}


def test_what_a_person_moved_removed_or_left_empty_is_not_the_model_s_answer(server: FakeCvat) -> None:
    tool = tool_of(server)
    push(tool, task_of(), task_of(1, names=[]))
    bench = CvatBench(tool, fake_cvat(server))
    first, empty = tool.list_tasks()
    bench.accept(first)
    assert {one.task_id: one.is_unchanged for one in pull(tool)} == {
        first.task_id: True,
        empty.task_id: False,
    }
    for names in (["ring"], ["ring", "edge"], ["ring", "dot", "edge"]):
        bench.redraw(first, task_of(names=names).pre_labels)
        assert [one.is_unchanged for one in tool.pull([first])] == [False], names
    bench.redraw(first, task_of().pre_labels[::-1])
    assert [one.is_unchanged for one in tool.pull([first])] == [True]


def test_without_the_tag_the_source_of_the_shapes_tells_whether_a_person_drew(server: FakeCvat) -> None:
    tool = tool_of(server)
    push(tool, task_of())
    bench = CvatBench(tool, fake_cvat(server))
    (task,) = tool.list_tasks()
    bench.accept(task)
    (job,) = server.jobs
    server.annotations[job]["tags"] = []
    assert [one.is_unchanged for one in pull(tool)] == [True]
    server.annotations[job]["shapes"][0]["source"] = "semi-auto"
    assert [one.is_unchanged for one in pull(tool)] == [False]


def test_a_push_that_died_before_the_pictures_were_ready_begins_anew(server: FakeCvat) -> None:
    tool = tool_of(server)
    server.num_polls = 3
    tasks = iter(tool.add_tasks([task_of(), task_of(1)]))
    next(tasks)
    del tasks  # it uploaded one picture
    (dead,) = server.tasks
    assert tool.list_tasks() == ()
    push(tool, task_of(), task_of(1))
    assert dead not in server.tasks
    assert len(tool.list_tasks()) == 2


def test_a_push_that_died_while_pictures_were_prepared_goes_on_without_a_second_upload(
    server: FakeCvat,
) -> None:
    tool = tool_of(server)
    server.num_polls = 4
    server.fails_at = {len(server.requests) + 10}
    with pytest.raises(UnavailableError):
        push(tool, task_of(), task_of(1))
    (begun,) = server.tasks
    assert tool.list_tasks() == ()
    push(tool, task_of(), task_of(1), task_of(2))
    assert [len(server.pictures[number]) for number in server.tasks] == [2, 1]
    assert begun in server.tasks
    assert len({one.picture_digest for one in tool.list_tasks()}) == len(tool.list_tasks()) == 3
    held = [len(server.annotations[job]["shapes"]) for job in server.jobs]
    assert sum(held) == 6


def test_what_people_drew_before_a_push_went_on_stays(server: FakeCvat) -> None:
    tool = tool_of(server)
    push(tool, task_of())
    (task,), (job,) = server.tasks, server.jobs
    server.tasks[task]["name"] = "maskloop r1 is being pushed, do not label it yet"
    server.annotations[job]["shapes"] = server.annotations[job]["shapes"][:1]
    push(tool, task_of())
    assert len(server.annotations[job]["shapes"]) == 1
    assert len(tool.list_tasks()) == 1


def test_pictures_that_the_server_cannot_prepare_are_told_and_the_next_push_begins_anew(
    server: FakeCvat,
) -> None:
    tool = tool_of(server)
    server.refuses_pictures = "Traceback\nOSError: cannot identify image file"
    with pytest.raises(StorageError, match="cannot identify image file"):
        push(tool, task_of())
    assert tool.list_tasks() == ()
    server.refuses_pictures = ""
    push(tool, task_of())
    assert len(server.tasks) == len(tool.list_tasks()) == 1


def test_a_picture_that_cvat_shows_in_another_size_is_not_labelled(server: FakeCvat) -> None:
    tool = tool_of(server)
    with pytest.raises(StorageError, match="shows a picture as 100 x 80 px that has 80 x 100 px"):
        push(tool, replace(task_of(names=[]), size_hw=(WIDTH_PX, HEIGHT_PX)))
    assert tool.list_tasks() == ()


def test_pictures_of_other_people_in_the_project_are_none_of_ours(server: FakeCvat) -> None:
    tool = tool_of(server)
    push(tool, task_of())
    (task,) = server.tasks
    server.pictures[task] = {"holiday.jpg": scene_png()}
    server.tasks[task]["name"] = "holidays"
    (foreign,) = tool.list_tasks()
    assert (foreign.picture_digest, foreign.request_id) == ("", "")


def test_a_project_that_people_began_is_given_what_it_lacks(server: FakeCvat) -> None:
    api = fake_cvat(server)
    labels = [{"name": name, "attributes": []} for name in CLASSES]
    api.post("/api/projects", json={"name": "maskloop", "labels": labels})
    tool = tool_of(server)
    assert sorted(one["name"] for one in server.labels.values()) == sorted([*CLASSES, "maskloop"])
    tool.open_project(CLASSES)
    assert all(len(one["attributes"]) == (6 if one["type"] == "tag" else 1) for one in server.labels.values())
    push(tool, task_of(names=["crowd"]))
    bench = CvatBench(tool, api)
    bench.accept(tool.list_tasks()[0])
    assert [one.is_crowd for one in pull(tool)[0].instances] == [True]


@pytest.mark.parametrize("name", ["x" * 65, "maskloop"])
def test_a_class_that_cvat_cannot_hold_is_told_before_anything_is_sent(server: FakeCvat, name: str) -> None:
    with pytest.raises(DataError, match="CVAT cannot hold the class"):
        Cvat(fake_cvat(server), title="maskloop").open_project(("nut", name))
    assert server.projects == {}
