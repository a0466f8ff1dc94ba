from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from dataset.labelling.folder_tool import FolderTool
from dataset.labelling.port import DrawnInstance, LabelTask
from flows.demo.annotator import StandInAnnotator, employ_annotator, read_truth, submit_to_folder, submit_to_label_studio
from maskloop.digest import digest_bytes
from maskloop.errors import ConfigurationError
from maskloop.settings.labelling_settings import LabellingSettings
from tests.fakes.drawn_truth import write_truth
from tests.fakes.labelling_world import LabellingWorld, shrunk, truth
from tests.fakes.model_ports import CLASS_NAMES, SIDE_PX


def push(tool: FolderTool, file: Path, request_id: str) -> None:
    picture = file.read_bytes()
    task = LabelTask(
        sample_id=file.stem,
        picture_digest=digest_bytes(picture),
        picture=picture,
        extension=".png",
        size_hw=(SIDE_PX, SIDE_PX),
        source="belt",
        request_id=request_id,
        cause="drift",
        reason="dark",
    )
    assert list(tool.add_tasks([task])) == [task]


def test_what_the_generator_drew_is_known_by_the_digest_of_each_file(tmp_path: Path) -> None:
    file = write_truth(tmp_path, [7, 8])
    known = read_truth(file)
    digest = digest_bytes((tmp_path / "images" / "8.png").read_bytes())
    assert len(known) == 2
    assert set(known[digest]) == set(truth(8))


def test_a_file_goes_into_the_labels_of_each_request(tmp_path: Path) -> None:
    file = write_truth(tmp_path / "drawn", [7, 8])
    tool = FolderTool(tmp_path / "tool")
    tool.open_project(CLASS_NAMES)
    for number in (7, 8):
        push(tool, tmp_path / "drawn" / "images" / f"{number}.png", f"request{number}")
    annotator = StandInAnnotator(read_truth(file), partial(submit_to_folder, tmp_path / "tool"))
    assert annotator.label(tool) == 2
    found = list(tool.pull(tool.list_tasks()))
    assert [set(one.instances) for one in found] == [set(truth(7)), set(truth(8))]
    written = sorted(path.relative_to(tmp_path / "tool") for path in (tmp_path / "tool").glob("*/labels/*"))
    assert [path.parent.parent.name for path in written] == ["request7", "request8"]
    assert {one["name"] for one in json.loads((tmp_path / "tool" / written[0]).read_text())["categories"]} == {
        "bolt",
        "nut",
    }


def test_tasks_that_a_person_finished_and_pictures_it_has_not_seen_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelling = LabellingWorld.made(tmp_path / "workspace", monkeypatch)
    labelling.ask(100, 101, 102)
    labelling.tool.open_project(CLASS_NAMES)
    tasks = [_task(labelling, number) for number in (100, 101, 102)]
    assert len(list(labelling.tool.add_tasks(tasks))) == 3
    mine: tuple[DrawnInstance, ...] = shrunk(truth(100), 4)
    labelling.label(100, mine)
    known = {digest_bytes(labelling.pictures[number]): truth(number) for number in (100, 101)}
    annotator = StandInAnnotator(known, partial(submit_to_label_studio, labelling.bench.api))
    assert annotator.label(labelling.tool) == 1
    finished = {task.picture_digest: task.num_finished for task in labelling.tool.list_tasks()}
    assert [finished[digest_bytes(labelling.pictures[number])] for number in (100, 101, 102)] == [1, 1, 0]


def test_a_tool_that_the_annotator_cannot_work_in_is_refused(tmp_path: Path) -> None:
    settings = LabellingSettings(tool="cvat", url="http://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="not in cvat"):
        employ_annotator([], settings, tmp_path)


def _task(labelling: LabellingWorld, number: int) -> LabelTask:
    picture = labelling.pictures[number]
    size_hw = SIDE_PX, SIDE_PX
    digest = digest_bytes(picture)
    return LabelTask(f"s{number}", digest, picture, ".png", size_hw, "belt", "request1", "drift", "dark")
