"""Labelling tools with the people who use them: what the contract suite asks of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dataset.formats.brushes import write_brush
from dataset.labelling.cvat import Cvat
from dataset.labelling.cvat_api import CvatApi
from dataset.labelling.folder_tool import FolderTool
from dataset.labelling.label_studio import LabelStudio
from dataset.labelling.label_studio_api import LabelStudioApi
from dataset.labelling.port import DrawnInstance, LabellingTool, PlacedTask
from maskloop.masks import decode_masks
from tests.fakes.label_scene import runs_by_row


class Bench(Protocol):
    """A tool and its people."""

    @property
    def tool(self) -> LabellingTool: ...

    def submit(self, task: PlacedTask, instances: Sequence[DrawnInstance], *, by: int = 1) -> None:
        """Let a person draw a picture anew."""
        ...

    def accept(self, task: PlacedTask) -> None:
        """Let a person submit the model's answer as it is."""
        ...

    def redraw(self, task: PlacedTask, instances: Sequence[DrawnInstance]) -> None:
        """Let the first person change what they submitted."""
        ...

    def withdraw(self, task: PlacedTask) -> None:
        """Let the first person take back what they submitted."""
        ...

    def delete(self, task: PlacedTask) -> None:
        """Let a person delete a task."""
        ...


@dataclass
class FolderBench:
    """People who put files into folders."""

    tool: FolderTool
    root: Path

    def submit(self, task: PlacedTask, instances: Sequence[DrawnInstance], *, by: int = 1) -> None:
        request, _, stem = task.task_id.partition("/")
        if not instances:
            with (self.root / request / "without-objects.txt").open("a") as file:
                file.write(f"{stem}.png\n")
            return
        height_px, width_px = instances[0].mask.height_px, instances[0].mask.width_px
        image = {"id": stem, "file_name": f"{stem}.png", "height": height_px, "width": width_px}
        names = sorted({one.class_name for one in instances})
        records = [
            {
                "image_id": stem,
                "category_id": 1 + names.index(one.class_name),
                "segmentation": one.mask.to_coco(),
                "iscrowd": int(one.is_crowd),
            }
            for one in instances
        ]
        self._write(request, f"person{by}", [image], records, names)

    def accept(self, task: PlacedTask) -> None:
        request, _, stem = task.task_id.partition("/")
        content = json.loads((self.root / request / "pre-labels.json").read_text())
        (image,) = [one for one in content["images"] if Path(one["file_name"]).stem == stem]
        records = [one for one in content["annotations"] if one["image_id"] == image["id"]]
        names = [one["name"] for one in content["categories"]]
        self._write(request, "person1", [image], records, names)

    def redraw(self, task: PlacedTask, instances: Sequence[DrawnInstance]) -> None:
        self.submit(task, instances)

    def withdraw(self, task: PlacedTask) -> None:
        request, _, stem = task.task_id.partition("/")
        image = {"id": stem, "file_name": f"{stem}.png", "height": 1, "width": 1}
        self._write(request, "person1", [image], [], [])

    def delete(self, task: PlacedTask) -> None:
        request, _, stem = task.task_id.partition("/")
        file = self.root / request / "tasks.json"
        tasks = json.loads(file.read_text())
        del tasks[stem]
        file.write_text(json.dumps(tasks))

    def _write(
        self, request: str, person: str, images: list[Any], records: list[Any], names: list[str]
    ) -> None:
        """Add pictures to a person's COCO file, in place of what it had of them."""
        file = self.root / request / "labels" / person / "labels.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        old: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
        if file.exists():
            old = json.loads(file.read_text())
        known = [one["name"] for one in old["categories"]]
        known += [name for name in names if name not in known]
        stems = {Path(one["file_name"]).stem for one in images}
        gone = {one["id"] for one in old["images"] if Path(one["file_name"]).stem in stems}
        renamed = [
            {
                **one,
                "image_id": str(one["image_id"]),
                "category_id": 1 + known.index(names[one["category_id"] - 1]),
            }
            for one in records
        ]
        kept = [one for one in old["annotations"] if one["image_id"] not in {str(each) for each in gone}]
        content = {
            "images": [
                *(one for one in old["images"] if one["id"] not in gone),
                *({**one, "id": str(one["id"])} for one in images),
            ],
            "annotations": [{**one, "id": at} for at, one in enumerate([*kept, *renamed], start=1)],
            "categories": [{"id": at, "name": name} for at, name in enumerate(known, start=1)],
        }
        file.write_text(json.dumps(content))


@dataclass
class StudioBench:
    """People who use the editor of Label Studio, as its HTTP interface sees them."""

    tool: LabelStudio
    api: LabelStudioApi

    def submit(self, task: PlacedTask, instances: Sequence[DrawnInstance], *, by: int = 1) -> None:
        results = [brushed(number, one) for number, one in enumerate(instances, start=1)]
        self._annotate(task, result=results, completed_by=by)

    def accept(self, task: PlacedTask) -> None:
        tasks = self.api.get("/api/tasks", {"project": self._project(), "fields": "all"})["tasks"]
        (own,) = [one for one in tasks if str(one["id"]) == task.task_id]
        prediction = own["predictions"][0]
        self._annotate(task, result=prediction["result"], parent_prediction=prediction["id"])

    def redraw(self, task: PlacedTask, instances: Sequence[DrawnInstance]) -> None:
        results = [brushed(number, one) for number, one in enumerate(instances, start=1)]
        self.api.ask("PATCH", f"/api/annotations/{self._first(task)}/", json={"result": results})

    def withdraw(self, task: PlacedTask) -> None:
        self.api.ask("DELETE", f"/api/annotations/{self._first(task)}/")

    def delete(self, task: PlacedTask) -> None:
        self.api.ask("DELETE", f"/api/tasks/{task.task_id}/")

    def _first(self, task: PlacedTask) -> str:
        return min(one.annotation_id for one in self.tool.pull([task]))

    def _project(self) -> int:
        return int(self.tool.find_project().rpartition("/")[2])

    def _annotate(self, task: PlacedTask, **content: Any) -> None:
        self.api.post(f"/api/tasks/{task.task_id}/annotations/", json={"lead_time": 3.2, **content})


@dataclass
class CvatBench:
    """People who use the editor of CVAT, as its HTTP interface sees them: each has jobs and finishes them."""

    tool: Cvat
    api: CvatApi

    def submit(self, task: PlacedTask, instances: Sequence[DrawnInstance], *, by: int = 1) -> None:
        number, frame = map(int, task.task_id.split("-"))
        if by == 1:
            job = self._job_of(task)
        else:
            asked = {"type": "ground_truth", "task_id": number, "frames": [frame]}
            job = self.api.post("/api/jobs", json={**asked, "frame_selection_method": "manual"})["id"]
        self._draw(job, frame, instances)
        self._finish(job, by)

    def accept(self, task: PlacedTask) -> None:
        self._finish(self._job_of(task))

    def redraw(self, task: PlacedTask, instances: Sequence[DrawnInstance]) -> None:
        self._draw(self._job_of(task), int(task.task_id.partition("-")[2]), instances)

    def withdraw(self, task: PlacedTask) -> None:
        self._change(self._job_of(task), state="in progress")

    def delete(self, task: PlacedTask) -> None:
        number, frame = map(int, task.task_id.split("-"))
        path = f"/api/tasks/{number}/data/meta"
        gone = [*self.api.get(path)["deleted_frames"], frame]
        self.api.ask("PATCH", path, json={"deleted_frames": gone})

    def _job_of(self, task: PlacedTask) -> int:
        number, frame = map(int, task.task_id.split("-"))
        jobs = self.api.get("/api/jobs", {"task_id": number})["results"]
        own = [one for one in jobs if one["type"] == "annotation" and one["start_frame"] <= frame]
        return max(int(one["id"]) for one in own)

    def _finish(self, job: int, by: int = 1) -> None:
        self._change(job, assignee=by)
        self._change(job, state="completed")

    def _change(self, job: int, **content: Any) -> None:
        self.api.ask("PATCH", f"/api/jobs/{job}", json=content)

    def _draw(self, job: int, frame: int, instances: Sequence[DrawnInstance]) -> None:
        """Replace the shapes of a frame, as the editor saves them; the rest stays."""
        path = f"/api/jobs/{job}/annotations/"
        held = self.api.get(path)
        project = self.tool.find_project().rpartition("/")[2]
        labels = self.api.get("/api/labels", {"project_id": project, "page_size": 100})["results"]
        shapes = [one for one in held["shapes"] if one["frame"] != frame]
        shapes += [masked(one, frame, labels) for one in instances]
        self.api.ask("PUT", path, json={**held, "shapes": shapes})


def masked(one: DrawnInstance, frame: int, labels: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return an object as the editor of CVAT saves a mask: the box ends with the last row and column."""
    pixels = decode_masks([one.mask])[0]
    rows, columns = np.where(pixels.any(axis=1))[0], np.where(pixels.any(axis=0))[0]
    left, top, right, bottom = (int(side) for side in (columns[0], rows[0], columns[-1], rows[-1]))
    runs = runs_by_row(pixels[top : bottom + 1, left : right + 1])
    (label,) = [each for each in labels if each["name"] == one.class_name]
    crowd = {"spec_id": label["attributes"][0]["id"], "value": "true" if one.is_crowd else "false"}
    return {
        "type": "mask",
        "frame": frame,
        "label_id": label["id"],
        "points": [*runs, left, top, right, bottom],
        "occluded": False,
        "source": "manual",
        "attributes": [crowd],
    }


def brushed(number: int, one: DrawnInstance) -> dict[str, Any]:
    """Return an object as the editor of Label Studio submits a brush."""
    return {
        "id": f"r{number}",
        "type": "brushlabels",
        "from_name": "brush",
        "to_name": "image",
        "origin": "manual",
        "original_width": one.mask.width_px,
        "original_height": one.mask.height_px,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": write_brush(one.mask), "brushlabels": [one.class_name]},
    }
