"""Label Studio behind the port: one project for a workspace, one task for a picture.

One project holds all requests, so that a picture chosen twice is one task, people have one queue, and its
interface is set up once; every task tells the request it was pushed for.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from dataset.formats.port import LabelSource, own_name
from dataset.labelling.drawings import Drawing, is_unchanged, list_drawings
from dataset.labelling.label_studio_api import LabelStudioApi
from dataset.labelling.label_studio_form import Outlines, read_classes, write_interface, write_task
from dataset.labelling.port import Annotation, LabelTask, PlacedTask, count_crowds
from dataset.readers.label_studio import READER
from maskloop.digest import digest_bytes
from maskloop.errors import ConfigurationError, DataError, NotFoundError, StorageError, UnavailableError
from maskloop.wording import count

NAME: Final = "label-studio"
MAX_TITLE_CHARACTERS: Final = 50
"""A server refuses a project with a longer title, or one of fewer than three."""
_TASKS_AT_ONCE: Final = 100
_UPLOADS: Final = "/data/upload/"
_NUM_LISTINGS: Final = 3
_MEDIA_TYPES: Final = {".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


class LabelStudio:
    """Pictures are uploaded, so that the server needs no access to the workspace.

    Args:
        api: The server.
        title: Of the project, 3 to `MAX_TITLE_CHARACTERS` characters.
        outlines: How a model's answers are drawn.
    """

    name = NAME

    def __init__(self, api: LabelStudioApi, *, title: str, outlines: Outlines = "brush") -> None:
        self._api, self._title, self._outlines = api, title, outlines

    def open_project(self, class_names: Sequence[str]) -> str:
        """Find the project, or begin it. Raises DataError if it has other classes."""
        found = self._find()
        if found is None:
            interface = write_interface(class_names)
            description = "Pictures for which maskloop asks for labels"
            content = {"title": self._title, "label_config": interface, "description": description}
            self._api.post("/api/projects", json=content)
            found = self._find()
            if found is None:
                raise UnavailableError("Label Studio does not list the project it began", where=self._api.url)
        self._refuse_other_classes(found, class_names)
        return self._address(found)

    def find_project(self) -> str:
        """Return the project's address; empty if there is none."""
        found = self._find()
        return self._address(found) if found else ""

    def list_tasks(self) -> tuple[PlacedTask, ...]:
        """Return all tasks of the project."""
        found = self._find()
        if found is None:
            return ()
        before = self._count_tasks(found)
        for _ in range(_NUM_LISTINGS):  # a task deleted between two pages hides another one
            tasks = {
                task["id"]: _placed(task)
                for task in self._api.pages("/api/tasks", "tasks", {"project": found["id"]})
            }
            after = self._count_tasks(found)
            if before == after == len(tasks):
                return tuple(tasks.values())
            before = after
        raise UnavailableError("the tasks of Label Studio change while they are listed", where=self._api.url)

    def tell_losses(self, task: LabelTask) -> tuple[str, ...]:
        """Say what a task of Label Studio cannot hold: crowds."""
        num_crowds = count_crowds(task.pre_labels)
        regions = count(num_crowds, "crowd region")
        lost = (f"Label Studio has no crowds: {regions} of {task.sample_id} not sent",)
        return lost if num_crowds else ()

    def add_tasks(self, tasks: Iterable[LabelTask]) -> Iterator[LabelTask]:
        """Upload each picture, unless an interrupted push has done so, and make a task of it."""
        found = self._find()
        if found is None:
            raise NotFoundError(f"Label Studio has no project {self._title!r}", hint="push again")
        uploaded = self._list_uploads(found["id"])
        for task in tasks:
            known = uploaded.get((_name_upload(task), len(task.picture)))
            address = known or self._upload(found["id"], task)
            content = [write_task(task, address, self._outlines)]
            self._api.post(f"/api/projects/{found['id']}/import", json=content)
            yield task

    def pull(self, tasks: Sequence[PlacedTask]) -> Iterator[Annotation]:
        """Yield the submitted annotations of these tasks; skipped ones, drafts and predictions are none."""
        found = self._find()
        if found is None:
            return
        people: dict[int, str] | None = None
        path = f"/api/projects/{found['id']}/export"
        for start in range(0, len(tasks), _TASKS_AT_ONCE):
            ids = [task.task_id for task in tasks[start : start + _TASKS_AT_ONCE]]
            entries = self._api.get(path, {"exportType": "JSON", "ids[]": ids})
            if not isinstance(entries, list):
                raise DataError("the export is not one of Label Studio", where=f"{self._api.url}{path}")
            if entries and people is None:
                people = self._list_people()
            yield from read_export([one for one in entries if str(one["id"]) in ids], people or {})

    def tell_warnings(self, tasks: Sequence[PlacedTask]) -> tuple[str, ...]:
        """Return nothing: tasks that maskloop did not push are listed, and `label status` counts them."""
        return ()

    def fetch_picture(self, task: PlacedTask) -> bytes | None:
        """Download the picture that was uploaded for a task."""
        try:
            address = self._api.get(f"/api/tasks/{task.task_id}")["data"]["image"]
            if not str(address).startswith(_UPLOADS):  # people can write any server's address into a task
                return None
            data = self._api.ask("GET", address).content
        except (NotFoundError, DataError, KeyError, TypeError):
            return None
        return data if digest_bytes(data) == task.picture_digest else None

    def _find(self) -> Mapping[str, Any] | None:
        """Return the oldest project of this title."""
        listed = self._api.pages("/api/projects", "results", {"title": self._title})
        return min(
            (one for one in listed if one["title"] == self._title), key=lambda one: one["id"], default=None
        )

    def _count_tasks(self, project: Mapping[str, Any]) -> Any:
        return self._api.get("/api/tasks", {"project": project["id"], "page_size": 1}).get("total")

    def _address(self, project: Mapping[str, Any]) -> str:
        return f"{self._api.url}/projects/{project['id']}"

    def _refuse_other_classes(self, project: Mapping[str, Any], class_names: Sequence[str]) -> None:
        theirs = read_classes(project["label_config"])
        missing, more = sorted(set(class_names) - theirs), sorted(theirs - set(class_names))
        if not missing and not more:
            return
        parts = [f"it lacks {', '.join(missing)}"] if missing else []
        parts += [f"it has {', '.join(more)} besides"] if more else []
        raise DataError(
            f"the project {self._title!r} has other classes than the data: {' and '.join(parts)}",
            where=self._address(project),
            hint="change its labels under Settings > Labeling Interface, or name a new project in "
            "labelling.project",
        )

    def _list_uploads(self, project: int) -> dict[tuple[str, int], str]:
        """Return the addresses of the pictures that were uploaded, by name and size in bytes.

        The server puts a random prefix before each name.
        """
        listed = self._api.get(f"/api/projects/{project}/file-uploads", {"all": "true"})
        return {
            (own_name(one["file"]).rpartition("-")[2], one.get("size")): _data_path(one["file"])
            for one in (listed if isinstance(listed, list) else ())
        }

    def _upload(self, project: int, task: LabelTask) -> str:
        """Upload a picture and return its address."""
        media_type = _MEDIA_TYPES.get(task.extension, f"image/{task.extension.removeprefix('.')}")
        answer = self._api.post(
            f"/api/projects/{project}/import",
            query={"commit_to_project": "false"},
            files={"file": (_name_upload(task), task.picture, media_type)},
        )
        number = answer["file_upload_ids"][0]
        upload = self._api.get(f"/api/import/file-upload/{number}")
        if upload.get("size", len(task.picture)) != len(task.picture):
            raise StorageError("Label Studio did not store the picture as it is", where=self._api.url)
        return _data_path(upload["file"])

    def _list_people(self) -> dict[int, str]:
        """Return the addresses of people by number; none if the token may not see them."""
        try:
            listed = self._api.get("/api/users")
        except (ConfigurationError, DataError, NotFoundError):
            return {}
        return {one["id"]: one.get("email", "") for one in listed} if isinstance(listed, list) else {}


def read_export(entries: Sequence[Mapping[str, Any]], people: Mapping[int, str]) -> Iterator[Annotation]:
    """Yield the submitted annotations in Label Studio's JSON export.

    The reader of the format takes one annotation of a task; here each is handed to it as a task of its own,
    and the prediction that it began with as another.

    Args:
        entries: Tasks.
        people: The addresses of people by their number.
    """
    alone: list[dict[str, Any]] = []
    found: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = []
    for task in entries:
        for one in task.get("annotations", ()):
            name = f"{task['id']}-{one['id']}"
            began_with = one.get("prediction") or {}
            person = people.get(one.get("completed_by"), "")
            drawn = {**one, **({"completed_by": {"email": person}} if person else {})}
            alone.append(_task_alone(task, f"{name}.png", drawn))
            alone.append(_task_alone(task, f"{name}-model.png", {"result": began_with.get("result", [])}))
            found.append((name, task, drawn))
    if not alone:
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tasks.json"
        file.write_text(json.dumps(alone), encoding="utf-8")
        drawings = list_drawings(READER.read(LabelSource(file)))
    for name, task, one in found:
        if (drawing := drawings.get(f"{name}.png")) is not None:
            yield _annotation(task, one, drawing, drawings.get(f"{name}-model.png"))


def _annotation(
    task: Mapping[str, Any], one: Mapping[str, Any], drawing: Drawing, model: Drawing | None
) -> Annotation:
    person = one.get("completed_by")
    return Annotation(
        task_id=str(task["id"]),
        annotation_id=str(one["id"]),
        annotator=str(person.get("email", "") if isinstance(person, dict) else person or ""),
        at=str(one.get("updated_at") or one.get("created_at") or ""),
        size_hw=drawing.size_hw,
        instances=tuple(drawing.instances),
        is_ground_truth=bool(one.get("ground_truth")),
        is_unchanged=model is not None and is_unchanged(drawing, model),
        trouble=drawing.trouble.removeprefix(f"task {task['id']}, "),
    )


def _task_alone(task: Mapping[str, Any], picture: str, annotation: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": task["id"], "data": {"image": picture}, "annotations": [annotation]}


def _placed(task: Mapping[str, Any]) -> PlacedTask:
    data = task.get("data") or {}
    told = (data.get(name) for name in ("picture_digest", "request_id"))
    digest, request_id = (value if isinstance(value, str) else "" for value in told)
    return PlacedTask(
        task_id=str(task["id"]),
        picture_digest=digest,
        request_id=request_id,
        num_finished=int(task.get("total_annotations") or 0),
        version=str(task.get("updated_at") or ""),
    )


def _name_upload(task: LabelTask) -> str:
    return f"{task.picture_digest}{task.extension}"


def _data_path(file: str) -> str:
    return file if file.startswith("/") else f"/data/{file}"
