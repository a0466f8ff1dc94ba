"""What every labelling tool does: a folder, CVAT and Label Studio as the fakes have them, the real server.

`make test-studio` installs the real one; without it the first test says so.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataset.labelling.cvat import Cvat
from dataset.labelling.cvat_api import CvatApi
from dataset.labelling.folder_tool import FolderTool
from dataset.labelling.label_studio import LabelStudio
from dataset.labelling.label_studio_api import LabelStudioApi
from dataset.labelling.label_studio_form import read_classes
from dataset.labelling.port import Annotation, DrawnInstance, LabelTask, PlacedTask
from maskloop.digest import digest_bytes
from maskloop.errors import ConfigurationError, DataError
from maskloop.masks import encode_masks
from tests.fakes.cvat_server import ACCESS_TOKEN, FakeCvat
from tests.fakes.label_scene import CLASSES, HEIGHT_PX, SCENE, WIDTH_PX, scene_png
from tests.fakes.label_studio_server import LEGACY_TOKEN, PERSONAL_TOKEN, FakeLabelStudio
from tests.fakes.labelling_benches import Bench, CvatBench, FolderBench, StudioBench
from tests.fakes.real_label_studio import EXECUTABLE

IS_INSTALLED = EXECUTABLE.exists()
TOOLS = ["folder", "cvat", "label-studio", *(["label-studio-server"] if IS_INSTALLED else [])]
_numbers = count(1)


def studio(api: LabelStudioApi, **options: Any) -> StudioBench:
    return StudioBench(LabelStudio(api, title=f"project {next(_numbers)}", **options), api)


@pytest.fixture(params=TOOLS)
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("STUDIO_TOKEN", LEGACY_TOKEN)
    if request.param == "folder":
        return FolderBench(FolderTool(tmp_path / "labelling"), tmp_path / "labelling")
    if request.param == "label-studio":
        api = LabelStudioApi("http://studio", "STUDIO_TOKEN", transport=FakeLabelStudio().transport)
        return studio(api)
    if request.param == "cvat":
        monkeypatch.setenv("CVAT_ACCESS_TOKEN", ACCESS_TOKEN)
        return cvat(FakeCvat())
    return studio(LabelStudioApi(request.getfixturevalue("server_url"), "STUDIO_TOKEN"))


def cvat(server: FakeCvat) -> CvatBench:
    api = CvatApi("http://cvat", "", transport=server.transport, sleep=lambda _: None)
    return CvatBench(Cvat(api, title="maskloop", pictures_per_job=1), api)


@pytest.fixture(params=[name for name in TOOLS if "studio" in name])
def api(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> LabelStudioApi:
    """A Label Studio that a legacy token opens."""
    monkeypatch.setenv("STUDIO_TOKEN", LEGACY_TOKEN)
    if request.param == "label-studio":
        return LabelStudioApi("http://studio", "STUDIO_TOKEN", transport=FakeLabelStudio().transport)
    return LabelStudioApi(request.getfixturevalue("server_url"), "STUDIO_TOKEN")


def objects(*names: str) -> tuple[DrawnInstance, ...]:
    """The objects of the scene with these names; all but the crowd if none are named."""
    return tuple(
        DrawnInstance(one.class_name, encode_masks(one.mask[None])[0], one.is_crowd)
        for one in SCENE
        if one.name in names or (not names and not one.is_crowd)
    )


def task_of(seed: int = 0, **changes: Any) -> LabelTask:
    picture = scene_png(seed)
    task = LabelTask(
        sample_id=f"sample-{seed}",
        picture_digest=digest_bytes(picture),
        picture=picture,
        extension=".png",
        size_hw=(HEIGHT_PX, WIDTH_PX),
        source="belt",
        request_id="request1",
        cause='it is "darker" <than> before & bluer',
        reason="the darkest picture",
        model_version="7",
        pre_labels=objects(),
    )
    return replace(task, **changes)


def pushed(bench: Bench, *tasks: LabelTask) -> tuple[PlacedTask, ...]:
    bench.tool.open_project(CLASSES)
    assert list(bench.tool.add_tasks(tasks)) == list(tasks)
    by_digest = {one.picture_digest: one for one in bench.tool.list_tasks()}
    return tuple(by_digest[task.picture_digest] for task in tasks)


def pulled(bench: Bench) -> list[Annotation]:
    return list(bench.tool.pull(bench.tool.list_tasks()))


def num_finished(bench: Bench) -> list[int]:
    """Of each task, as the tool tells it or, where only reading tells, as it is read."""
    tasks = bench.tool.list_tasks()
    read = [one.task_id for one in bench.tool.pull(tasks)]
    told = [read.count(one.task_id) if one.num_finished is None else one.num_finished for one in tasks]
    assert told == [read.count(one.task_id) for one in tasks]
    return told


def as_set(instances: Sequence[DrawnInstance]) -> set[tuple[str, bytes, bool]]:
    return {(one.class_name, one.mask.counts, one.is_crowd) for one in instances}


def test_a_real_label_studio_server_is_among_the_tools() -> None:
    if not IS_INSTALLED:
        pytest.skip("Label Studio is not installed: make test-studio")
    assert "label-studio-server" in TOOLS


def test_there_is_no_project_until_one_is_opened(bench: Bench) -> None:
    assert (bench.tool.find_project(), list(bench.tool.list_tasks())) == ("", [])
    address = bench.tool.open_project(CLASSES)
    assert address
    assert bench.tool.open_project(tuple(reversed(CLASSES))) == bench.tool.find_project() == address


def test_a_project_of_other_classes_is_refused(bench: Bench) -> None:
    bench.tool.open_project(CLASSES)
    with pytest.raises(DataError, match="other classes"):
        bench.tool.open_project((*CLASSES, "washer"))


def test_a_task_is_there_once_it_was_added_and_has_no_annotation(bench: Bench) -> None:
    first, second = pushed(bench, task_of(), task_of(1, pre_labels=()))
    assert (first.request_id, second.request_id) == ("request1", "request1")
    assert len(bench.tool.list_tasks()) == 2
    assert num_finished(bench) == [0, 0]
    assert pulled(bench) == []


def test_every_kind_of_object_goes_out_and_comes_back_pixel_by_pixel(bench: Bench) -> None:
    (task,) = pushed(bench, task_of())
    bench.accept(task)
    (annotation,) = pulled(bench)
    assert as_set(annotation.instances) == as_set(objects("ring", "two", "dot", "edge"))
    assert (annotation.is_unchanged, annotation.trouble) == (True, "")
    assert annotation.size_hw == (HEIGHT_PX, WIDTH_PX)
    assert num_finished(bench) == [1]


def test_crowds_come_back_or_it_is_said_beforehand_that_they_do_not(bench: Bench) -> None:
    task = task_of(pre_labels=objects("ring", "crowd"))
    losses = bench.tool.tell_losses(task)
    (placed,) = pushed(bench, task)
    bench.accept(placed)
    (annotation,) = pulled(bench)
    came_back = as_set(annotation.instances)
    assert came_back == as_set(objects("ring") if losses else objects("ring", "crowd"))
    assert all("no crowds: 1 crowd region of sample-0" in one for one in losses)


def test_what_a_person_draws_anew_is_theirs_with_their_name_and_time(bench: Bench) -> None:
    (task,) = pushed(bench, task_of())
    bench.submit(task, objects("ring", "edge"))
    (annotation,) = pulled(bench)
    assert as_set(annotation.instances) == as_set(objects("ring", "edge"))
    assert not annotation.is_unchanged
    assert annotation.annotator in ("a@example.org", "anna", "person1")
    assert annotation.at.startswith("2026-")


def test_a_picture_without_objects_is_finished_too(bench: Bench) -> None:
    (task, _) = pushed(bench, task_of(pre_labels=()), task_of(1))
    bench.submit(task, ())
    (annotation,) = pulled(bench)
    assert (annotation.instances, annotation.is_unchanged, annotation.trouble) == ((), False, "")


def test_two_annotators_of_one_picture_are_told_apart(bench: Bench) -> None:
    (task,) = pushed(bench, task_of())
    bench.submit(task, objects("ring"))
    bench.submit(task, objects("ring", "dot"), by=2)
    found = pulled(bench)
    assert [len(one.instances) for one in found] == [1, 2]
    assert len({one.annotation_id for one in found}) == 2


def test_a_deleted_task_is_gone_and_has_no_annotations(bench: Bench) -> None:
    first, second = pushed(bench, task_of(), task_of(1))
    bench.submit(first, objects("ring"))
    bench.submit(second, objects("dot"))
    bench.delete(first)
    left = list(bench.tool.pull([first, second]))
    assert [one.task_id for one in left] == [second.task_id]
    assert [one.task_id for one in bench.tool.list_tasks()] == [second.task_id]


def test_a_task_has_another_version_once_an_annotation_was_added_changed_or_removed(bench: Bench) -> None:
    first, second = pushed(bench, task_of(), task_of(1))
    version = versions_of(bench)
    assert all(version.values())
    assert versions_of(bench) == version
    steps = {
        "added": lambda: bench.submit(first, objects("ring")),
        "changed": lambda: bench.redraw(first, objects("ring", "dot")),
        "added by somebody else": lambda: bench.submit(first, objects("edge"), by=2),
        "removed": lambda: bench.withdraw(first),
    }
    for name, step in steps.items():
        step()
        now = versions_of(bench)
        assert now[first.task_id] != version[first.task_id], name
        assert versions_of(bench) == now, name
        version = now
    assert second.task_id in version


def versions_of(bench: Bench) -> dict[str, str]:
    return {one.task_id: one.version for one in bench.tool.list_tasks()}


def turned_photograph() -> bytes:
    """A JPEG of 100 x 80 px that EXIF turns upright, to 80 x 100."""
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    pixels = np.random.default_rng(5).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def test_a_turned_photograph_is_kept_as_it_is_and_labelled_upright(bench: Bench) -> None:
    picture = turned_photograph()
    mask = np.zeros((100, 80), dtype=bool)
    mask[3:40, 70:80] = True
    upright = DrawnInstance("nut", encode_masks(mask[None])[0])
    sideways = task_of(
        picture=picture,
        picture_digest=digest_bytes(picture),
        extension=".jpg",
        size_hw=(100, 80),
        pre_labels=(upright,),
    )
    (task,) = pushed(bench, sideways)
    bench.accept(task)
    (annotation,) = pulled(bench)
    assert as_set(annotation.instances) == as_set((upright,))
    assert bench.tool.fetch_picture(task) == (None if bench.tool.name == "cvat" else picture)


def test_a_picture_that_is_not_the_pushed_one_is_not_handed_out(bench: Bench) -> None:
    (task,) = pushed(bench, task_of())
    assert bench.tool.fetch_picture(task) == scene_png()
    assert bench.tool.fetch_picture(replace(task, picture_digest="0" * 64)) is None


# --- Label Studio alone --------------------------------------------------------------------------


def test_a_personal_access_token_opens_what_a_legacy_one_does(
    api: LabelStudioApi, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_fake = api.url == "http://studio"
    monkeypatch.setenv(
        "STUDIO_TOKEN", PERSONAL_TOKEN if is_fake else request.getfixturevalue("personal_token")
    )
    bench = studio(api)
    pushed(bench, task_of())
    assert bench.tool.fetch_picture(bench.tool.list_tasks()[0]) == scene_png()


@pytest.mark.parametrize("token", ["0" * 40, "not.a.token"])
def test_a_wrong_token_is_refused_in_words_that_do_not_show_it(
    api: LabelStudioApi, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_TOKEN", token)
    with pytest.raises(ConfigurationError, match="refuses the token in STUDIO_TOKEN") as refused:
        studio(api).tool.find_project()
    assert token not in str(refused.value)


def test_outlines_of_one_part_may_go_out_as_polygons_and_lose_nothing(api: LabelStudioApi) -> None:
    bench = studio(api, outlines="polygon")
    (task,) = pushed(bench, task_of())
    bench.accept(task)
    (annotation,) = pulled(bench)
    assert as_set(annotation.instances) == as_set(objects())
    assert annotation.is_unchanged


def test_a_skipped_task_is_not_finished(api: LabelStudioApi) -> None:
    bench = studio(api)
    (task,) = pushed(bench, task_of())
    api.post(f"/api/tasks/{task.task_id}/annotations/", json={"result": [], "was_cancelled": True})
    assert pulled(bench) == []
    assert [one.num_finished for one in bench.tool.list_tasks()] == [0]


def test_marking_an_annotation_as_ground_truth_makes_another_version(api: LabelStudioApi) -> None:
    bench = studio(api)
    (task,) = pushed(bench, task_of())
    bench.submit(task, objects("ring"))
    before = versions_of(bench)
    (annotation,) = pulled(bench)
    api.ask("PATCH", f"/api/annotations/{annotation.annotation_id}/", json={"ground_truth": True})
    assert versions_of(bench) != before
    assert [one.is_ground_truth for one in pulled(bench)] == [True]


def test_an_upload_that_became_no_task_is_used_by_the_next_push(api: LabelStudioApi) -> None:
    bench, task = studio(api), task_of()
    project = int(bench.tool.open_project(CLASSES).rpartition("/")[2])
    bench.tool._upload(project, task)  # a push died between the upload and the task
    list(bench.tool.add_tasks([task]))
    assert len(api.get(f"/api/projects/{project}/file-uploads", {"all": "true"})) == 1
    assert len(bench.tool.list_tasks()) == 1


def test_more_tasks_than_fit_into_one_page_are_listed(
    api: LabelStudioApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset.labelling.label_studio_api._PAGE_SIZE", 2)
    bench = studio(api)
    tasks = [task_of(seed, pre_labels=()) for seed in range(4)]
    assert len(pushed(bench, *tasks)) == 4
    assert len(bench.tool.list_tasks()) == 4


def test_the_interface_names_classes_with_quotes_and_signs_as_they_are(api: LabelStudioApi) -> None:
    names = ('5" pipe', "A & B", "<x>", "Übermaß")
    address = studio(api).tool.open_project(names)
    interface = api.get(f"/api/projects/{address.rpartition('/')[2]}")["label_config"]
    assert read_classes(interface) == set(names)
