"""A Label Studio server in memory: projects, uploads, tasks and annotations, over its HTTP interface.

What it answers was measured with label-studio 1.23.2; the contract suite runs against both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import httpx

LEGACY_TOKEN: Final = "0123456789abcdef0123456789abcdef01234567"
PERSONAL_TOKEN: Final = "header.refresh.signature"
PEOPLE: Final = {1: "a@example.org", 2: "b@example.org"}
_NAMED_DATA: Final = re.compile(r'<\w+ name="[^"]*" (?:toName="[^"]*" )?value="\$')
_FILE_IN_FORM: Final = re.compile(rb'filename="([^"]+)".*?\r\n\r\n(.*)\r\n--', re.DOTALL)


@dataclass
class FakeLabelStudio:
    """One server. It may be told to fail.

    Attributes:
        fails_at: Numbers of requests, from 1, that are answered with status 502 after they were done.
        is_away: Nothing is answered.
        allows_legacy_tokens: As `--enable-legacy-api-token` does.
    """

    fails_at: set[int] = field(default_factory=set)
    is_away: bool = False
    allows_legacy_tokens: bool = True
    projects: dict[int, dict[str, Any]] = field(default_factory=dict)
    uploads: dict[int, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)
    predictions: dict[int, dict[str, Any]] = field(default_factory=dict)
    annotations: dict[int, dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers, self._seconds = count(1), count(1)
        self._access = ""

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.is_away:
            raise httpx.ConnectError("connection refused", request=request)
        self.requests.append(f"{request.method} {request.url.path}")
        answer = self._dispatch(request)
        return httpx.Response(502) if len(self.requests) in self.fails_at else answer

    def _dispatch(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.rstrip("/")
        if path == "/api/token/refresh":
            return self._refresh(request)
        if not self._is_known(request.headers.get("Authorization", "")):
            return _refuse(401, "Invalid token.")
        for method, pattern, work in self._table():
            found = re.fullmatch(pattern, path)
            if method == request.method and found:
                return work(request, *found.groups())
        return _refuse(404, "Not found.")

    def _table(self) -> list[tuple[str, str, Callable[..., httpx.Response]]]:
        return [
            ("POST", "/api/token", lambda _: _json({"token": PERSONAL_TOKEN}, 201)),
            ("GET", "/api/projects", self._list_projects),
            ("GET", r"/api/projects/(\d+)", self._show_project),
            ("POST", "/api/projects", self._begin_project),
            ("GET", r"/api/projects/(\d+)/file-uploads", self._list_uploads),
            ("POST", r"/api/projects/(\d+)/import", self._import),
            ("GET", r"/api/import/file-upload/(\d+)", self._show_upload),
            ("GET", r"/api/projects/(\d+)/export", self._export),
            ("GET", "/api/tasks", self._list_tasks),
            ("GET", r"/api/tasks/(\d+)", self._show_task),
            ("PATCH", r"/api/tasks/(\d+)", self._change_task),
            ("DELETE", r"/api/tasks/(\d+)", self._delete_task),
            ("POST", r"/api/tasks/(\d+)/annotations", self._annotate),
            ("PATCH", r"/api/annotations/(\d+)", self._change_annotation),
            ("DELETE", r"/api/annotations/(\d+)", self._remove_annotation),
            ("GET", "/api/users", lambda _: _json([{"id": n, "email": e} for n, e in PEOPLE.items()])),
            ("GET", "/data/(upload/.+)", self._download),
        ]

    # --- tokens --------------------------------------------------------------------------------------

    def expire(self) -> None:
        """Let the short-lived token end."""
        self._access = ""

    def _refresh(self, request: httpx.Request) -> httpx.Response:
        if json.loads(request.content).get("refresh") != PERSONAL_TOKEN:
            return _refuse(401, "Token is invalid")
        self._access = f"access-{next(self._numbers)}"
        return _json({"access": self._access})

    def _is_known(self, told: str) -> bool:
        if told.startswith("Token "):
            return self.allows_legacy_tokens and told == f"Token {LEGACY_TOKEN}"
        return bool(self._access) and told == f"Bearer {self._access}"

    # --- projects and uploads ------------------------------------------------------------------------

    def _list_projects(self, request: httpx.Request) -> httpx.Response:
        title = request.url.params.get("title", "").casefold()
        found = [one for one in self.projects.values() if title in one["title"].casefold()]
        return _page(request, found, "results", {"count": len(found)})

    def _show_project(self, _request: httpx.Request, number: str) -> httpx.Response:
        project = self.projects.get(int(number))
        return _json(project) if project else _refuse(404, "No Project matches the given query.")

    def _begin_project(self, request: httpx.Request) -> httpx.Response:
        number = next(self._numbers)
        self.projects[number] = {"id": number, "maximum_annotations": 1, **json.loads(request.content)}
        return _json(self.projects[number], 201)

    def _list_uploads(self, _request: httpx.Request, project: str) -> httpx.Response:
        own = [one for one in self.uploads.values() if one["project"] == int(project)]
        return _json([{name: one[name] for name in ("id", "file", "size")} for one in own])

    def _show_upload(self, _request: httpx.Request, number: str) -> httpx.Response:
        one = self.uploads.get(int(number))
        return _json({name: one[name] for name in ("id", "file", "size")}) if one else _refuse(404, "No.")

    def _download(self, _request: httpx.Request, file: str) -> httpx.Response:
        found = [one for one in self.uploads.values() if one["file"] == file]
        return httpx.Response(200, content=found[0]["data"]) if found else _refuse(404, "No.")

    def _import(self, request: httpx.Request, project: str) -> httpx.Response:
        if int(project) not in self.projects:
            return _refuse(404, "No Project matches the given query.")
        if request.headers["Content-Type"].startswith("multipart/"):
            return self._upload(request, int(project))
        for content in json.loads(request.content):
            self._add_task(int(project), content)
        return _json({"task_count": len(json.loads(request.content))}, 201)

    def _upload(self, request: httpx.Request, project: int) -> httpx.Response:
        shown = _NAMED_DATA.findall(self.projects[project]["label_config"])
        if len(shown) > 1:  # without commit_to_project too
            return _refuse(400, "Your label config has more than one data key")
        found = _FILE_IN_FORM.search(request.content)
        assert found, "the form holds no file"
        number, data = next(self._numbers), found[2]
        file = f"upload/{project}/{number:08x}-{found[1].decode()}"
        self.uploads[number] = {
            "id": number,
            "file": file,
            "size": len(data),
            "data": data,
            "project": project,
        }
        return _json({"task_count": 1, "file_upload_ids": [number]}, 201)

    # --- tasks and annotations -----------------------------------------------------------------------

    def _add_task(self, project: int, content: dict[str, Any]) -> None:
        number = next(self._numbers)
        data = {"id": number, "project": project, "data": content["data"], "meta": {}}
        self.tasks[number] = {**data, "updated_at": self._now()}
        for prediction in content.get("predictions", []):
            own = next(self._numbers)
            self.predictions[own] = {"id": own, "task": number, **prediction}

    def _annotations_of(self, task: int) -> list[dict[str, Any]]:
        return [one for one in self.annotations.values() if one["task"] == task]

    def _shown(self, task: dict[str, Any], *, is_whole: bool = False) -> dict[str, Any]:
        own = self._annotations_of(task["id"])
        num_cancelled = sum(one["was_cancelled"] for one in own)
        counts = {
            "total_annotations": len(own) - num_cancelled,
            "cancelled_annotations": num_cancelled,
        }
        found = [one for one in self.predictions.values() if one["task"] == task["id"]]
        predictions = found if is_whole else [one["id"] for one in found]
        return {**task, **counts, "is_labeled": bool(own), "predictions": predictions}

    def _list_tasks(self, request: httpx.Request) -> httpx.Response:
        project = int(request.url.params["project"])
        if project not in self.projects:
            return _refuse(404, "No Project matches the given query.")
        is_whole = request.url.params.get("fields") == "all"
        tasks = [one for one in self.tasks.values() if one["project"] == project]
        own = [self._shown(one, is_whole=is_whole) for one in tasks]
        return _page(request, own, "tasks", {"total": len(own)})

    def _show_task(self, _request: httpx.Request, number: str) -> httpx.Response:
        task = self.tasks.get(int(number))
        return _json(self._shown(task)) if task else _refuse(404, "No Task matches the given query.")

    def _change_task(self, request: httpx.Request, number: str) -> httpx.Response:
        self.tasks[int(number)] |= json.loads(request.content)
        return _json(self.tasks[int(number)])

    def _delete_task(self, _request: httpx.Request, number: str) -> httpx.Response:
        self.tasks.pop(int(number), None)
        return httpx.Response(204)

    def _annotate(self, request: httpx.Request, task: str) -> httpx.Response:
        number, at = next(self._numbers), self._now()
        given = json.loads(request.content)
        self.annotations[number] = {
            "id": number,
            "task": int(task),
            "completed_by": 1,
            "was_cancelled": False,
            "ground_truth": False,
            "parent_prediction": None,
            "created_at": at,
            "updated_at": at,
            **given,
        }
        self._touch(int(task))
        return _json(self.annotations[number], 201)

    def _change_annotation(self, request: httpx.Request, number: str) -> httpx.Response:
        one = self.annotations[int(number)]
        one |= {**json.loads(request.content), "updated_at": self._now()}
        self._touch(one["task"])
        return _json(one)

    def _remove_annotation(self, _request: httpx.Request, number: str) -> httpx.Response:
        self._touch(self.annotations.pop(int(number))["task"])
        return httpx.Response(204)

    def _touch(self, task: int) -> None:
        self.tasks[task]["updated_at"] = self._now()

    def _export(self, request: httpx.Request, project: str) -> httpx.Response:
        wanted = {int(number) for number in request.url.params.get_list("ids[]")}
        found = []
        for task in self.tasks.values():
            own = self._annotations_of(task["id"])
            if task["project"] == int(project) and own and (not wanted or task["id"] in wanted):
                found.append({**self._shown(task), "annotations": [self._exported(one) for one in own]})
        return _json(found)

    def _exported(self, annotation: dict[str, Any]) -> dict[str, Any]:
        return {**annotation, "prediction": self.predictions.get(annotation["parent_prediction"], {})}

    def _now(self) -> str:
        return f"2026-03-02T09:00:{next(self._seconds):02d}.000000Z"


def _page(
    request: httpx.Request, entries: list[dict[str, Any]], key: str, more: dict[str, Any]
) -> httpx.Response:
    size, page = int(request.url.params.get("page_size", 30)), int(request.url.params.get("page", 1))
    shown = entries[(page - 1) * size : page * size]
    return _json({key: shown, **more}) if shown or page == 1 else _refuse(404, "Invalid page.")


def _json(content: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=content)


def _refuse(status: int, detail: str) -> httpx.Response:
    return httpx.Response(status, json={"status_code": status, "detail": detail})
