"""CVAT behind the port: one project for a workspace, one task for a push of a request, a picture a frame.

A task cannot be given more pictures once it has some, so that those of a later push are another task. It is
complete once it has its final name; before, its name says that it is being pushed, and the next push goes on.
People finish jobs: `pictures_per_job` pictures of a task each.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePosixPath
from typing import Any, Final, Literal

from dataset.labelling.cvat_api import CvatApi
from dataset.labelling.cvat_form import (
    Frame,
    PreLabels,
    ProjectLabels,
    pre_labels_of,
    read_annotations,
    read_labels,
    write_annotations,
    write_labels,
)
from dataset.labelling.port import Annotation, LabelTask, PlacedTask
from maskloop.digest import digest_bytes, digest_value
from maskloop.errors import DataError, NotFoundError, StorageError, UnavailableError

NAME: Final = "cvat"
MAX_TITLE_CHARACTERS: Final = 256
Stage = Literal["annotation", "validation", "acceptance"]
_STAGES: Final[tuple[Stage, ...]] = ("annotation", "validation", "acceptance")
_GROUND_TRUTH: Final = "ground_truth"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_TASK_NAME: Final = re.compile(r"maskloop (\w+):")
_BEING_PUSHED: Final = "is being pushed, do not label it yet"
_IMAGE_QUALITY: Final = 95


@dataclass(frozen=True)
class _Task:
    """A task of the project with its pictures.

    Attributes:
        number: CVAT's.
        request_id: As its name tells; empty if it tells none.
        frames: Those that nobody deleted, by their number.
        digests: Of the pictures, by frame; empty for a picture that maskloop did not push.
        jobs: With the frames that each covers.
    """

    number: int
    request_id: str
    frames: Mapping[int, Frame]
    digests: Mapping[int, str]
    jobs: Sequence[tuple[Mapping[str, Any], frozenset[int]]]


class Cvat:
    """Pictures are uploaded, so that the server needs no access to the workspace.

    Args:
        api: The server.
        title: Of the project, at most `MAX_TITLE_CHARACTERS` characters.
        pictures_per_job: How many pictures one person finishes at once.
        finished_stage: A job that is completed in an earlier stage is not finished.
    """

    name = NAME

    def __init__(
        self,
        api: CvatApi,
        *,
        title: str,
        pictures_per_job: int = 10,
        finished_stage: Stage = "annotation",
    ) -> None:
        self._api, self._title, self._pictures_per_job = api, title, pictures_per_job
        self._stages = _STAGES[_STAGES.index(finished_stage) :]

    def open_project(self, class_names: Sequence[str]) -> str:
        """Find the project, or begin it, and give it what it lacks to tell why a picture was chosen.

        Raises:
            DataError: if it has other classes, or CVAT cannot hold the name of one.
        """
        found = self._find()
        if found is None:
            self._api.post("/api/projects", json={"name": self._title, "labels": write_labels(class_names)})
            found = self._find()
            if found is None:
                raise UnavailableError("CVAT does not list the project it began", where=self._api.url)
        labels = self._labels(found)
        self._refuse_other_classes(found, labels, class_names)
        if lacking := write_labels(class_names, labels):
            self._api.ask("PATCH", f"/api/projects/{found['id']}", json={"labels": lacking})
        return self._address(found)

    def find_project(self) -> str:
        """Return the project's address; empty if there is none."""
        found = self._find()
        return self._address(found) if found else ""

    def list_tasks(self) -> tuple[PlacedTask, ...]:
        """Return all pictures of the project; those of a task that is being pushed are not there yet."""
        return tuple(
            PlacedTask(
                task_id=f"{task.number}-{frame}",
                picture_digest=task.digests[frame],
                request_id=task.request_id,
                num_finished=sum(self._is_finished(job) for job, covered in task.jobs if frame in covered),
                version=digest_value([_state(job) for job, covered in task.jobs if frame in covered]),
            )
            for task in self._tasks()
            for frame in task.frames
        )

    def tell_losses(self, task: LabelTask) -> tuple[str, ...]:
        """Return nothing: masks and crowd regions are held to the pixel."""
        return ()

    def add_tasks(self, tasks: Iterable[LabelTask]) -> Iterator[LabelTask]:
        """Upload pictures into a new task, draw the model's answers, and give the task its final name.

        What an interrupted push has begun is completed where CVAT has the pictures, and else removed.
        """
        project = self._find()
        if project is None:
            raise NotFoundError(f"CVAT has no project {self._title!r}", hint="push again")
        waiting = iter(tasks)
        first = next(waiting, None)
        if first is None:
            return
        request, cause = first.request_id, first.cause
        begun = self._take_up(project, request)
        known = {digest: number for number, names in begun.items() for digest in names}
        pre_labels: dict[int, dict[str, PreLabels]] = {number: {} for number in begun}
        names: list[str] = []
        number = 0
        for task in chain([first], waiting):
            at = known.get(task.picture_digest, 0)
            if not at:
                if not number:
                    number = self._begin_task(project, request)
                names.append(self._upload(number, task))
            pre_labels.setdefault(at or number, {})[task.picture_digest] = pre_labels_of(task)
            yield task
        if number:
            self._finish_upload(number, names)
        for each, own in pre_labels.items():
            self._complete(project, each, own, f"maskloop {request}: {cause}"[:MAX_TITLE_CHARACTERS])

    def pull(self, tasks: Sequence[PlacedTask]) -> Iterator[Annotation]:
        """Yield what finished jobs hold of these pictures."""
        found = self._find() if tasks else None
        if found is None:
            return
        wanted = {task.task_id for task in tasks}
        numbers = {int(task.task_id.partition("-")[0]) for task in tasks}
        labels: ProjectLabels | None = None
        for task in self._tasks(numbers):
            for job, covered in task.jobs:
                frames = [
                    frame
                    for number, frame in task.frames.items()
                    if number in covered and f"{task.number}-{number}" in wanted
                ]
                if frames and self._is_finished(job):
                    labels = labels or self._labels(found)
                    yield from self._pull_job(task, job, frames, labels)

    def tell_warnings(self, tasks: Sequence[PlacedTask]) -> tuple[str, ...]:
        """Return nothing: tasks that maskloop did not push are listed, and `label status` counts them."""
        return ()

    def fetch_picture(self, task: PlacedTask) -> bytes | None:
        """Download a picture. CVAT keeps a photograph that EXIF turns only upright, which is another file."""
        number, _, frame = task.task_id.partition("-")
        asked = {"type": "frame", "quality": "original", "number": frame}
        try:
            data = self._api.ask("GET", f"/api/tasks/{number}/data/", params=asked).content
        except (NotFoundError, DataError):
            return None
        return data if digest_bytes(data) == task.picture_digest else None

    # --- reading ---------------------------------------------------------------------------------

    def _find(self) -> Mapping[str, Any] | None:
        """Return the oldest project of this title."""
        listed = self._api.list_all("/api/projects", {"name": self._title})
        own = [one for one in listed if one["name"] == self._title]
        return min(own, key=lambda one: one["id"], default=None)

    def _address(self, project: Mapping[str, Any]) -> str:
        return f"{self._api.url}/projects/{project['id']}"

    def _labels(self, project: Mapping[str, Any]) -> ProjectLabels:
        return read_labels(self._api.list_all("/api/labels", {"project_id": project["id"]}))

    def _refuse_other_classes(
        self, project: Mapping[str, Any], labels: ProjectLabels, class_names: Sequence[str]
    ) -> None:
        missing = sorted(set(class_names) - set(labels.numbers))
        more = sorted(set(labels.numbers) - set(class_names))
        if not missing and not more:
            return
        parts = [f"it lacks {', '.join(missing)}"] if missing else []
        parts += [f"it has {', '.join(more)} besides"] if more else []
        raise DataError(
            f"the project {self._title!r} has other classes than the data: {' and '.join(parts)}",
            where=self._address(project),
            hint="change its labels on the project's page, or name a new project in labelling.project",
        )

    def _list_tasks(self) -> list[Mapping[str, Any]]:
        found = self._find()
        return self._api.list_all("/api/tasks", {"project_id": found["id"]}) if found else []

    def _tasks(self, numbers: Iterable[int] = ()) -> Iterator[_Task]:
        """Yield the tasks that are complete, or some of them; one that is deleted meanwhile is none."""
        listed = [one for one in self._list_tasks() if one.get("size") and not _is_being_pushed(one)]
        only = set(numbers) or {one["id"] for one in listed}
        jobs: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        if listed:
            for job in self._api.list_all("/api/jobs", {"project_id": listed[0]["project_id"]}):
                jobs[job["task_id"]].append(job)
        for one in listed:
            try:
                if one["id"] in only:
                    yield self._read_task(one, jobs[one["id"]])
            except NotFoundError:
                continue

    def _read_task(self, task: Mapping[str, Any], jobs: Sequence[Mapping[str, Any]]) -> _Task:
        meta = self._api.get(f"/api/tasks/{task['id']}/data/meta")
        frames = self._frames(meta)
        covered = [(job, frozenset(self._cover(job))) for job in jobs]
        named = _TASK_NAME.match(task["name"])
        digests = {number: _digest_in(meta["frames"][number]["name"]) for number in frames}
        return _Task(task["id"], named[1] if named else "", frames, digests, covered)

    def _frames(self, meta: Mapping[str, Any]) -> dict[int, Frame]:
        deleted = set(meta.get("deleted_frames") or ())
        return {
            number: Frame(number, (one["height"], one["width"]))
            for number, one in enumerate(meta["frames"])
            if number not in deleted
        }

    def _cover(self, job: Mapping[str, Any]) -> Iterable[int]:
        """Return the frames of a job; one of ground truth has some here and there."""
        if job.get("type") != _GROUND_TRUTH:
            return range(job["start_frame"], job["stop_frame"] + 1)
        included: list[int] | None = self._api.get(f"/api/jobs/{job['id']}/data/meta").get("included_frames")
        return included or ()

    def _is_finished(self, job: Mapping[str, Any]) -> bool:
        return job["state"] == "completed" and job["stage"] in self._stages

    def _pull_job(
        self, task: _Task, job: Mapping[str, Any], frames: Sequence[Frame], labels: ProjectLabels
    ) -> Iterator[Annotation]:
        try:
            content = self._api.get(f"/api/jobs/{job['id']}/annotations/")
        except NotFoundError:
            return
        person = job.get("assignee") or {}
        for number, drawing, is_untouched in read_annotations(content, frames, labels):
            yield Annotation(
                task_id=f"{task.number}-{number}",
                annotation_id=str(job["id"]),
                annotator=str(person.get("username", "")),
                at=str(job.get("updated_date") or ""),
                size_hw=drawing.size_hw,
                instances=tuple(drawing.instances),
                is_ground_truth=job.get("type") == _GROUND_TRUTH,
                is_unchanged=is_untouched,
                trouble=drawing.trouble,
            )

    # --- pushing ---------------------------------------------------------------------------------

    def _take_up(self, project: Mapping[str, Any], request: str) -> dict[int, list[str]]:
        """Return the tasks that an interrupted push of a request began, with the digests of their pictures.

        One whose pictures CVAT does not have is removed: nobody can have drawn anything there.
        """
        begun: dict[int, list[str]] = {}
        for task in self._api.list_all("/api/tasks", {"project_id": project["id"]}):
            if task["name"] != _begun_name(request):
                continue
            asked = {"task_id": task["id"], "action": "create", "target": "task"}
            for work in self._api.list_all("/api/requests", asked):
                if work["status"] in ("queued", "started"):
                    self._api.wait_for(work["id"])
            try:
                frames = self._api.get(f"/api/tasks/{task['id']}/data/meta")["frames"]
            except (DataError, NotFoundError):  # it has no pictures
                frames = []
            if frames:
                begun[task["id"]] = [_digest_in(one["name"]) for one in frames]
            else:
                self._api.ask("DELETE", f"/api/tasks/{task['id']}")
        return begun

    def _begin_task(self, project: Mapping[str, Any], request: str) -> int:
        content = {
            "name": _begun_name(request),
            "project_id": project["id"],
            "segment_size": self._pictures_per_job,
        }
        number: int = self._api.post("/api/tasks", json=content)["id"]
        self._api.ask("POST", f"/api/tasks/{number}/data/", headers={"Upload-Start": "true"})
        return number

    def _upload(self, number: int, task: LabelTask) -> str:
        name = f"{task.picture_digest}{task.extension}"
        self._api.ask(
            "POST",
            f"/api/tasks/{number}/data/",
            headers={"Upload-Multiple": "true"},
            data={"image_quality": str(_IMAGE_QUALITY)},
            files={"client_files[0]": (name, task.picture)},
        )
        return name

    def _finish_upload(self, number: int, names: Sequence[str]) -> None:
        content = {
            "image_quality": _IMAGE_QUALITY,
            "use_cache": True,
            "sorting_method": "predefined",
            "upload_file_order": list(names),
        }
        headers = {"Upload-Finish": "true"}
        answer = self._api.ask("POST", f"/api/tasks/{number}/data/", headers=headers, json=content).json()
        self._api.wait_for(answer["rq_id"])

    def _complete(
        self, project: Mapping[str, Any], number: int, pre_labels: Mapping[str, PreLabels], name: str
    ) -> None:
        """Draw the model's answers into each job that holds nothing yet, then name the task."""
        meta = self._api.get(f"/api/tasks/{number}/data/meta")
        frames = self._frames(meta)
        wanted: dict[int, PreLabels] = {}
        for at, frame in frames.items():
            own = pre_labels.get(_digest_in(meta["frames"][at]["name"]))
            if own is not None and own.size_hw != frame.size_hw:
                raise StorageError(
                    f"CVAT shows a picture as {frame.size_hw[1]} x {frame.size_hw[0]} px that has "
                    f"{own.size_hw[1]} x {own.size_hw[0]} px",
                    where=f"{self._api.url}/tasks/{number}",
                )
            if own is not None:
                wanted[at] = own
        labels = self._labels(project)
        for job in self._api.list_all("/api/jobs", {"task_id": number}):
            own_frames = {at: wanted[at] for at in self._cover(job) if at in wanted}
            path = f"/api/jobs/{job['id']}/annotations/"
            held = self._api.get(path)
            if own_frames and not any(held.get(kind) for kind in ("tags", "shapes", "tracks")):
                self._api.ask("PUT", path, json=write_annotations(own_frames, labels))
        self._api.ask("PATCH", f"/api/tasks/{number}", json={"name": name})


def _begun_name(request: str) -> str:
    return f"maskloop {request} {_BEING_PUSHED}"


def _is_being_pushed(task: Mapping[str, Any]) -> bool:
    return str(task["name"]).endswith(_BEING_PUSHED)


def _digest_in(name: str) -> str:
    stem = PurePosixPath(name).stem
    return stem if _DIGEST.fullmatch(stem) else ""


def _state(job: Mapping[str, Any]) -> list[Any]:
    person = (job.get("assignee") or {}).get("username", "")
    return [job["id"], job["state"], job["stage"], person, job.get("updated_date")]
