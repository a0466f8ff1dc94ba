"""What a CVAT server answers about projects, tasks, pictures and jobs, whole, as its schema has it."""

from __future__ import annotations

import io
from typing import Any, Final

from PIL import Image, ImageOps

PEOPLE: Final = {1: "anna", 2: "ben"}
_STORAGE: Final = {"target_storage": None, "source_storage": None}
_ORGANIZATION: Final = {"organization": None, "organization_id": None}


def new_project(number: int, name: str, now: str) -> dict[str, Any]:
    return {
        "id": number,
        "url": f"/api/projects/{number}",
        "name": name,
        "owner": person(1),
        "assignee": None,
        "guide_id": None,
        "bug_tracker": "",
        "task_subsets": [],
        "status": "annotation",
        "dimension": None,
        "created_date": now,
        "updated_date": now,
        "assignee_updated_date": None,
        **_ORGANIZATION,
        **_STORAGE,
    }


def new_task(number: int, content: dict[str, Any], project: dict[str, Any], now: str) -> dict[str, Any]:
    return {
        "id": number,
        "url": f"/api/tasks/{number}",
        "name": content["name"],
        "project_id": project["id"],
        "project_name": project["name"],
        "owner": person(1),
        "assignee": None,
        "bug_tracker": "",
        "created_date": now,
        "updated_date": now,
        "assignee_updated_date": None,
        "overlap": None,
        "segment_size": content.get("segment_size", 0),
        "initial_replicas": 0,
        "status": "annotation",
        "guide_id": None,
        "size": 0,
        "data": None,
        "dimension": "2d",
        "mode": "",
        "subset": "",
        "validation_mode": None,
        **_ORGANIZATION,
        **_STORAGE,
        "_deleted": [],
    }


def new_job(
    number: int, task: dict[str, Any], kind: str, frames: tuple[int, int], now: str
) -> dict[str, Any]:
    start, stop = frames
    return {
        "id": number,
        "url": f"/api/jobs/{number}",
        "task_id": task["id"],
        "task_name": task["name"],
        "project_id": task["project_id"],
        "project_name": task["project_name"],
        "assignee": None,
        "guide_id": None,
        "dimension": "2d",
        "mode": "annotation",
        "bug_tracker": None,
        "status": "annotation",
        "stage": "annotation",
        "state": "new",
        "frame_count": stop - start + 1,
        "start_frame": start,
        "stop_frame": stop,
        "created_date": now,
        "updated_date": now,
        "assignee_updated_date": None,
        "type": kind,
        "organization": None,
        "parent_job_id": None,
        "replicas_count": 0,
        **_STORAGE,
        "_frames": None,
    }


def new_label(number: int, project: int, told: dict[str, Any], attributes: list[Any]) -> dict[str, Any]:
    return {
        "id": number,
        "name": told["name"],
        "color": "#aabbcc",
        "attributes": attributes,
        "type": told.get("type", "any"),
        "sublabels": [],
        "project_id": project,
        "task_id": None,
        "parent_id": None,
        "has_parent": False,
    }


def meta_of(pictures: dict[str, bytes], task: dict[str, Any]) -> dict[str, Any]:
    frames = []
    for name, data in pictures.items():
        width, height = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).size
        size = {"name": name, "width": width, "height": height}
        frames.append({**size, "related_files": 0, "has_related_context": False})
    return {
        "chunks_updated_date": task["created_date"],
        "chunk_size": 36,
        "size": len(frames),
        "image_quality": 95,
        "start_frame": 0,
        "stop_frame": len(frames) - 1,
        "frame_filter": "",
        "frames": frames,
        "deleted_frames": task["_deleted"],
        "included_frames": None,
        "chapters": None,
        "storage": "local",
        "cloud_storage_id": None,
    }


def work_of(key: str, one: dict[str, Any], refusal: str) -> dict[str, Any]:
    operation = {"type": "create:task", "target": "task", "task_id": one["task"], "job_id": None}
    is_over = one["left"] <= 0
    return {
        "id": key,
        "status": ("failed" if refusal else "finished") if is_over else "started",
        "message": refusal if is_over else "Images are being processed",
        "operation": {**operation, "project_id": None, "format": None},
        "progress": None,
        "created_date": one["at"],
        "started_date": one["at"],
        "finished_date": None,
        "expiry_date": None,
        "owner": {"id": 1, "username": PEOPLE[1]},
    }


def person(number: int | None) -> dict[str, Any] | None:
    if number is None:
        return None
    named = {"id": number, "username": PEOPLE[number], "first_name": "", "last_name": ""}
    return {**named, "url": f"/api/users/{number}"}


def upright(data: bytes) -> bytes:
    """Return a picture as the server gives the original: as it is, or, if EXIF turns it, turned and anew."""
    picture = Image.open(io.BytesIO(data))
    if picture.getexif().get(0x0112, 1) == 1:
        return data
    buffer = io.BytesIO()
    ImageOps.exif_transpose(picture).save(buffer, picture.format, quality=100, subsampling=0)
    return buffer.getvalue()
