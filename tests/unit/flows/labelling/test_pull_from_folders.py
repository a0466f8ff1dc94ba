"""Labels that people put into a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dataset.labelling.folder_tool import FolderTool
from dataset.labelling.port import Annotation, PlacedTask
from flows.labelling.pull import pull_labels
from maskloop.digest import digest_bytes
from maskloop.errors import DataError
from maskloop.files import write_text
from tests.fakes.labelling_benches import FolderBench
from tests.fakes.labelling_world import LabellingWorld, pull, pushed, truth


class CountingFolder(FolderTool):
    """Counts how often labels are read."""

    num_reads = 0

    def pull(self, tasks: Sequence[PlacedTask]) -> Iterator[Annotation]:
        self.num_reads += 1
        return super().pull(tasks)


def test_an_idle_pull_from_a_folder_reads_no_labels(labelling: LabellingWorld, tmp_path: Path) -> None:
    root = tmp_path / "labelling"
    tool = CountingFolder(root)
    labelling.world.labelling_tool = tool
    pushed(labelling, 100, 101)
    bench = FolderBench(tool, root)
    by_digest = {one.picture_digest: one for one in tool.list_tasks()}
    bench.submit(by_digest[digest_bytes(labelling.pictures[100])], truth(100))
    pull(labelling)
    assert (tool.num_reads, pull_labels(labelling.world.app()), tool.num_reads) == (1, [], 1)
    bench.submit(by_digest[digest_bytes(labelling.pictures[101])], truth(101))
    assert (pull(labelling).num_new, tool.num_reads) == (1, 2)


def test_labels_that_cannot_be_read_cost_only_their_request(
    labelling: LabellingWorld, tmp_path: Path
) -> None:
    root = tmp_path / "labelling"
    tool = FolderTool(root)
    labelling.world.labelling_tool = tool
    broken, whole = pushed(labelling, 100), pushed(labelling, 101)
    (root / broken / "labels" / "labels.json").write_text('{"images": [')
    (task,) = [one for one in tool.list_tasks() if one.request_id == whole]
    FolderBench(tool, root).submit(task, truth(101))
    with pytest.raises(DataError, match="not JSON"):
        pull_labels(labelling.world.app())
    assert labelling.is_labelled(101)
    (root / broken / "labels" / "labels.json").unlink()
    (task,) = [one for one in tool.list_tasks() if one.request_id == broken]
    FolderBench(tool, root).submit(task, truth(100))
    assert pull(labelling).num_new == 1


def test_labels_in_a_folder_that_no_request_asked_for_are_told_once_and_cost_the_others_nothing(
    labelling: LabellingWorld, tmp_path: Path
) -> None:
    root = tmp_path / "labelling"
    tool = FolderTool(root)
    labelling.world.labelling_tool = tool
    request = pushed(labelling, 100)
    (task,) = tool.list_tasks()
    FolderBench(tool, root).submit(task, truth(100))
    labels = root / request / "labels"
    (file,) = labels.glob("*/*")
    write_text(
        labels / "ben" / "labels.json", file.read_text().replace(task.task_id.rpartition("/")[2], "holiday")
    )
    record = pull(labelling)
    assert (record.num_new, record.num_left_out) == (1, 0)
    assert record.reasons == (
        "labels in labels/ben left out: the request did not ask for 1 picture (holiday.png); "
        "keep the names that images/ has",
    )
    assert pull_labels(labelling.world.app(), request) == []
