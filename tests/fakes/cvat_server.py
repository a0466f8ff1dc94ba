"""A CVAT server in memory: projects, tasks with pictures, jobs and annotations, over its HTTP interface.

Its answers are those of CVAT's published schema (`make test-cvat` compares them with cvat-sdk's models); what
the schema does not say is as the server's source has it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import httpx

from tests.fakes.cvat_records import (
    meta_of,
    new_job,
    new_label,
    new_project,
    new_task,
    person,
    upright,
    work_of,
)

ACCESS_TOKEN: Final = "abcdefgh.0123456789ABCDEFGHIJKLMNOPQRSTUV"
_FILE_IN_FORM: Final = re.compile(rb'filename="([^"]+)".*?\r\n\r\n(.*?)\r\n--', re.DOTALL)
_EMPTY: Final = {"version": 0, "tags": [], "shapes": [], "tracks": []}


@dataclass
class FakeCvat:
    """One server. It may be told to fail.

    Attributes:
        fails_at: Numbers of requests, from 1, that are answered with status 502 after they were done.
        is_away: Nothing is answered.
        num_polls: So often work in the background is asked for until it is done.
        refuses_pictures: Why it cannot prepare pictures; empty: it can.
        exchanges: Requests and answers that hold JSON, in order.
    """

    fails_at: set[int] = field(default_factory=set)
    is_away: bool = False
    num_polls: int = 1
    refuses_pictures: str = ""
    projects: dict[int, dict[str, Any]] = field(default_factory=dict)
    labels: dict[int, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[int, dict[str, Any]] = field(default_factory=dict)
    pictures: dict[int, dict[str, bytes]] = field(default_factory=dict)
    """By task: what was uploaded, in order."""
    annotations: dict[int, dict[str, Any]] = field(default_factory=dict)
    """By job."""
    works: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    exchanges: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers, self._seconds = count(1), count(1)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.is_away:
            raise httpx.ConnectError("connection refused", request=request)
        self.requests.append(f"{request.method} {request.url.path}")
        answer = self._dispatch(request)
        self.exchanges.append(_as_record(request, answer))
        return httpx.Response(502) if len(self.requests) in self.fails_at else answer

    def _dispatch(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/api/server/about":
            return _json({"name": "CVAT", "description": "a fake", "version": "2.80.0"} | _ABOUT)
        if request.headers.get("Authorization", "") != f"Bearer {ACCESS_TOKEN}":
            return _refuse(401, "Invalid token.")
        for method, pattern, work in self._table():
            found = re.fullmatch(pattern, path)
            if method == request.method and found:
                return work(request, *(int(part) if part.isdecimal() else part for part in found.groups()))
        return _refuse(404, "Not found.")

    def _table(self) -> list[tuple[str, str, Callable[..., httpx.Response]]]:
        return [
            ("GET", "/api/projects", self._list_projects),
            ("POST", "/api/projects", self._begin_project),
            ("GET", r"/api/projects/(\d+)", self._show_project),
            ("PATCH", r"/api/projects/(\d+)", self._change_project),
            ("GET", "/api/labels", self._list_labels),
            ("GET", "/api/tasks", self._list_tasks),
            ("POST", "/api/tasks", self._begin_task),
            ("GET", r"/api/tasks/(\d+)", self._show_task),
            ("PATCH", r"/api/tasks/(\d+)", self._change_task),
            ("DELETE", r"/api/tasks/(\d+)", self._delete_task),
            ("POST", r"/api/tasks/(\d+)/data/", self._upload),
            ("GET", r"/api/tasks/(\d+)/data/", self._show_picture),
            ("GET", r"/api/tasks/(\d+)/data/meta", self._show_meta),
            ("PATCH", r"/api/tasks/(\d+)/data/meta", self._change_meta),
            ("GET", "/api/requests", self._list_works),
            ("GET", "/api/requests/(.+)", self._show_work),
            ("GET", "/api/jobs", self._list_jobs),
            ("POST", "/api/jobs", self._begin_ground_truth),
            ("GET", r"/api/jobs/(\d+)", lambda _, number: _json(self._job(self.jobs[number]))),
            ("PATCH", r"/api/jobs/(\d+)", self._change_job),
            ("GET", r"/api/jobs/(\d+)/data/meta", self._show_job_meta),
            ("GET", r"/api/jobs/(\d+)/annotations/", self._show_annotations),
            ("PUT", r"/api/jobs/(\d+)/annotations/", self._put_annotations),
        ]

    # --- projects and labels -------------------------------------------------------------------------

    def _list_projects(self, request: httpx.Request) -> httpx.Response:
        name = request.url.params.get("name")
        found = [one for one in self.projects.values() if name in (None, one["name"])]
        return _page(request, [self._project(one) for one in found])

    def _show_project(self, _request: httpx.Request, number: int) -> httpx.Response:
        return _json(self._project(self.projects[number])) if number in self.projects else _refuse(404, "No.")

    def _project(self, one: dict[str, Any]) -> dict[str, Any]:
        number = sum(task["project_id"] == one["id"] for task in self.tasks.values())
        return {
            **one,
            "tasks": {"count": number, "url": f"/api/tasks?project_id={one['id']}"},
            "labels": {"url": f"/api/labels?project_id={one['id']}"},
        }

    def _begin_project(self, request: httpx.Request) -> httpx.Response:
        content, number = json.loads(request.content), next(self._numbers)
        self.projects[number] = new_project(number, content["name"], self._now())
        for label in content.get("labels", ()):
            self._take_label(number, label)
        return _json(self._project(self.projects[number]), 201)

    def _change_project(self, request: httpx.Request, number: int) -> httpx.Response:
        for label in json.loads(request.content).get("labels", ()):
            self._take_label(number, label)
        return _json(self._project(self.projects[number]))

    def _take_label(self, project: int, told: dict[str, Any]) -> None:
        attributes = [{"id": next(self._numbers), **one} for one in told.get("attributes", ())]
        if "id" in told:
            self.labels[told["id"]]["attributes"] += attributes
            return
        number = next(self._numbers)
        self.labels[number] = new_label(number, project, told, attributes)

    def _list_labels(self, request: httpx.Request) -> httpx.Response:
        return _page(request, _chosen(request, self.labels.values()))

    # --- tasks and pictures --------------------------------------------------------------------------

    def _list_tasks(self, request: httpx.Request) -> httpx.Response:
        return _page(request, [self._task(one) for one in _chosen(request, self.tasks.values())])

    def _show_task(self, _request: httpx.Request, number: int) -> httpx.Response:
        return _json(self._task(self.tasks[number])) if number in self.tasks else _refuse(404, "No.")

    def _task(self, one: dict[str, Any]) -> dict[str, Any]:
        own = [job for job in self.jobs.values() if job["task_id"] == one["id"]]
        done = sum(job["state"] == "completed" for job in own)
        summary = {"count": len(own), "completed": done, "validation": 0}
        return {
            **{key: value for key, value in one.items() if not key.startswith("_")},
            "jobs": {**summary, "url": f"/api/jobs?task_id={one['id']}"},
            "labels": {"url": f"/api/labels?task_id={one['id']}"},
        }

    def _begin_task(self, request: httpx.Request) -> httpx.Response:
        content, number = json.loads(request.content), next(self._numbers)
        project = self.projects[content["project_id"]]
        self.tasks[number] = new_task(number, content, project, self._now())
        self.pictures[number] = {}
        return _json(self._task(self.tasks[number]), 201)

    def _change_task(self, request: httpx.Request, number: int) -> httpx.Response:
        self.tasks[number] |= json.loads(request.content)
        return _json(self._task(self.tasks[number]))

    def _delete_task(self, _request: httpx.Request, number: int) -> httpx.Response:
        self.tasks.pop(number)
        for job in [one for one, job in self.jobs.items() if job["task_id"] == number]:
            del self.jobs[job]
        return httpx.Response(204)

    def _upload(self, request: httpx.Request, number: int) -> httpx.Response:
        if number not in self.tasks:
            return _refuse(404, "Not found.")
        if "Upload-Multiple" in request.headers:
            held = self.pictures[number]
            for path, data in _FILE_IN_FORM.findall(request.content):
                name = path.decode().rpartition("/")[2]
                held[name] = held.get(name, b"") + data  # the server appends, too
            return httpx.Response(200)
        if "Upload-Finish" not in request.headers:
            return httpx.Response(202)
        if self.tasks[number]["size"]:
            return _refuse(400, "Adding more data is not supported")
        order = json.loads(request.content).get("upload_file_order") or sorted(self.pictures[number])
        self.pictures[number] = {name: self.pictures[number][name] for name in order}
        work = f"action=create&target=task&target_id={number}"
        self.works[work] = {"task": number, "left": self.num_polls, "at": self._now()}
        return _json({"rq_id": work}, 202)

    def _prepare(self, number: int) -> None:
        """Make the task's jobs, as the server does in the background."""
        task, names = self.tasks[number], list(self.pictures[number])
        task |= {"size": len(names), "data": number, "mode": "annotation", "image_quality": 95}
        step = task["segment_size"] or len(names)
        for start in range(0, len(names), step):
            self._add_job(task, "annotation", start, min(start + step, len(names)) - 1)

    def _show_picture(self, request: httpx.Request, number: int) -> httpx.Response:
        if number not in self.tasks:
            return _refuse(404, "Not found.")
        name = list(self.pictures[number])[int(request.url.params["number"])]
        return httpx.Response(200, content=upright(self.pictures[number][name]))

    def _show_meta(self, _request: httpx.Request, number: int) -> httpx.Response:
        if number not in self.tasks:
            return _refuse(404, "Not found.")
        if not self.tasks[number]["size"]:
            return _refuse(400, "The task has no media")
        return _json(self._meta(number))

    def _meta(self, number: int) -> dict[str, Any]:
        return meta_of(self.pictures[number], self.tasks[number])

    def _change_meta(self, request: httpx.Request, number: int) -> httpx.Response:
        self.tasks[number]["_deleted"] = json.loads(request.content)["deleted_frames"]
        return _json(self._meta(number))

    # --- work in the background ----------------------------------------------------------------------

    def _list_works(self, request: httpx.Request) -> httpx.Response:
        number = int(request.url.params["task_id"])
        return _page(request, [self._work(key) for key, one in self.works.items() if one["task"] == number])

    def _show_work(self, _request: httpx.Request, key: str) -> httpx.Response:
        one = self.works[key]
        one["left"] -= 1
        if one["left"] == 0 and not self.refuses_pictures:
            self._prepare(one["task"])
        return _json(self._work(key))

    def _work(self, key: str) -> dict[str, Any]:
        return work_of(key, self.works[key], self.refuses_pictures)

    # --- jobs and annotations ------------------------------------------------------------------------

    def _add_job(self, task: dict[str, Any], kind: str, start: int, stop: int) -> dict[str, Any]:
        number = next(self._numbers)
        self.annotations[number] = dict(_EMPTY)
        self.jobs[number] = new_job(number, task, kind, (start, stop), self._now())
        return self.jobs[number]

    def _list_jobs(self, request: httpx.Request) -> httpx.Response:
        return _page(request, [self._job(one) for one in _chosen(request, self.jobs.values())])

    def _job(self, one: dict[str, Any]) -> dict[str, Any]:
        told = {key: value for key, value in one.items() if not key.startswith("_")}
        issues = {"url": f"/api/issues?job_id={one['id']}", "count": 0}
        return {**told, "issues": issues, "labels": {"url": f"/api/labels?job_id={one['id']}"}}

    def _begin_ground_truth(self, request: httpx.Request) -> httpx.Response:
        content = json.loads(request.content)
        task = self.tasks[content["task_id"]]
        job = self._add_job(task, content["type"], 0, task["size"] - 1)
        job |= {"_frames": content["frames"], "frame_count": len(content["frames"])}
        return _json(self._job(job), 201)

    def _change_job(self, request: httpx.Request, number: int) -> httpx.Response:
        content, job = json.loads(request.content), self.jobs[number]
        if "assignee" in content:
            job["assignee"] = person(content.pop("assignee"))
        if "stage" in content:
            content = {"state": "new", **content}  # a new stage begins anew
        job |= {**content, "updated_date": self._now()}
        return _json(self._job(job))

    def _show_job_meta(self, _request: httpx.Request, number: int) -> httpx.Response:
        job = self.jobs[number]
        return _json({**self._meta(job["task_id"]), "included_frames": job["_frames"]})

    def _show_annotations(self, _request: httpx.Request, number: int) -> httpx.Response:
        return _json(self.annotations[number]) if number in self.jobs else _refuse(404, "Not found.")

    def _put_annotations(self, request: httpx.Request, number: int) -> httpx.Response:
        content = json.loads(request.content)
        held = {
            kind: [self._held(one) for one in content.get(kind, ())] for kind in ("tags", "shapes", "tracks")
        }
        self.annotations[number] = {"version": 0, **held}
        self.jobs[number]["updated_date"] = self._now()
        return httpx.Response(200)  # the schema promises nothing

    def _held(self, one: dict[str, Any]) -> dict[str, Any]:
        """Return a shape as the server stores it: points are decimal numbers, defaults are filled in."""
        usual = {"group": 0, "source": "manual", "attributes": []}
        if "points" in one:
            usual |= {"occluded": False, "outside": False, "z_order": 0, "rotation": 0.0, "elements": []}
            one = {**one, "points": [float(value) for value in one["points"]]}
        return {**usual, **one, "id": next(self._numbers)}

    def _now(self) -> str:
        second = next(self._seconds)
        return f"2026-03-02T{9 + second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.000000Z"


_ABOUT: Final = {"logo_url": "http://cvat/logo.svg", "subtitle": ""}


def _chosen(request: httpx.Request, entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries of the project or task that is asked for."""
    wanted = {
        key: int(value) for key, value in request.url.params.items() if key in ("project_id", "task_id")
    }
    return [one for one in entries if wanted.items() <= one.items()]


def _page(request: httpx.Request, entries: list[dict[str, Any]]) -> httpx.Response:
    size, page = int(request.url.params.get("page_size", 10)), int(request.url.params.get("page", 1))
    shown = sorted(entries, key=lambda one: one["id"])[(page - 1) * size : page * size]
    if not shown and page > 1:
        return _refuse(404, "Invalid page.")
    following = f"{request.url.path}?page={page + 1}" if page * size < len(entries) else None
    before = f"{request.url.path}?page={page - 1}" if page > 1 else None
    return _json({"count": len(entries), "next": following, "previous": before, "results": shown})


def _as_record(request: httpx.Request, answer: httpx.Response) -> dict[str, Any]:
    """Return the JSON that was sent and answered; None for what is no JSON."""
    is_json = request.headers.get("Content-Type", "").startswith("application/json")
    told = answer.headers.get("Content-Type", "").endswith("json")
    return {
        "method": request.method,
        "path": request.url.path,
        "query": dict(request.url.params),
        "sent": json.loads(request.content) if is_json and request.content else None,
        "status": answer.status_code,
        "answered": json.loads(answer.content) if told else None,
    }


def _json(content: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(
        status, content=json.dumps(content), headers={"Content-Type": "application/vnd.cvat+json"}
    )


def _refuse(status: int, detail: str) -> httpx.Response:
    return _json({"detail": detail}, status)
