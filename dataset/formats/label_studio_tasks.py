"""Label Studio's tasks with their annotations, out of each JSON that it writes, JSON-MIN too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from dataset.formats.port import LabelSource
from dataset.formats.typed_json import as_dict, as_list, as_side, as_text

_ANNOTATION_LISTS: Final = ("annotations", "completions")
_MINIMAL: Final = ("annotation_id", "lead_time")
"""Keys of each record of JSON-MIN, which no other of its formats has both of at the top."""
_SIZES: Final = ("original_width", "original_height")

Task = dict[str, Any]


def has_tasks(source: LabelSource, name: str) -> bool:
    """Tell whether a JSON file holds tasks that somebody may have annotated."""
    keys = (*(("data", each) for each in _ANNOTATION_LISTS), ("task", "result"), _MINIMAL)
    return any(source.mentions(name, *each) for each in keys) and bool(tasks_of(source.peek_json(name)))


def tasks_of(content: Any) -> list[Task]:
    """Return the tasks of an export, of JSON-MIN, of one task alone, or of an annotation with its task."""
    if is_minimal(content):
        return _tasks_of_minimal(content)
    tasks = []
    for entry in map(as_dict, content if isinstance(content, list) else [content]):
        if isinstance(entry.get("task"), dict) and isinstance(entry.get("result"), list):
            tasks.append({**entry["task"], "annotations": [entry]})
        elif isinstance(entry.get("data"), dict) and any(
            isinstance(entry.get(name), list) for name in _ANNOTATION_LISTS
        ):
            tasks.append(entry)
    return tasks


def is_minimal(content: Any) -> bool:
    """Tell whether this is JSON-MIN: a flat record for each annotation."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(each, dict) and all(key in each for key in _MINIMAL) for each in content)
    )


def finished_annotations(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the annotations of a task that somebody submitted and nobody cancelled."""
    listed = next(filter(None, (as_list(task.get(name)) for name in _ANNOTATION_LISTS)), [])
    return [
        each
        for each in map(as_dict, listed)
        if isinstance(each.get("result"), list) and not (each.get("was_cancelled") or each.get("skipped"))
    ]


def rank_annotations(task: Mapping[str, Any], annotator: str = "") -> list[Mapping[str, Any]]:
    """Return the finished annotations, the one that counts first.

    That is one by the annotator a person named, else one marked as ground truth, else the newest.
    """
    return sorted(
        finished_annotations(task),
        key=lambda each: (
            bool(annotator) and is_by(each, annotator),
            bool(each.get("ground_truth")),
            time_of(each),
            as_side(each.get("id")),
        ),
        reverse=True,
    )


def is_by(annotation: Mapping[str, Any], annotator: str) -> bool:
    """Tell whether a person means this annotation's annotator, by number, mail address or name."""
    return annotator.strip().lower() in {name.lower() for name in _names(annotation)}


def annotator_of(annotation: Mapping[str, Any]) -> str:
    """Return what people call the annotator: the mail address, else the number; empty if neither is told."""
    return next(_names(annotation), "")


def annotator_id(annotation: Mapping[str, Any]) -> str:
    """Return the annotator's number in Label Studio, which is no name; the mail address if there is none."""
    person = annotation.get("completed_by")
    return (as_text(person.get("id")) if isinstance(person, dict) else "") or annotator_of(annotation)


def time_of(annotation: Mapping[str, Any]) -> str:
    """Return when an annotation was last changed, ISO 8601; empty if it does not tell."""
    told = annotation.get("updated_at") or annotation.get("created_at")
    return told.replace(" ", "T") if isinstance(told, str) else ""


def _names(annotation: Mapping[str, Any]) -> Iterator[str]:
    person = annotation.get("completed_by")
    if not isinstance(person, dict):
        person = {"id": person}
    full = " ".join(filter(None, (as_text(person.get(key)) for key in ("first_name", "last_name"))))
    told = (as_text(person.get("email")), as_text(person.get("id")), as_text(person.get("username")), full)
    yield from filter(None, told)


def _tasks_of_minimal(records: Sequence[Mapping[str, Any]]) -> list[Task]:
    """Return the tasks of JSON-MIN, whose records of one task have its number."""
    tasks: dict[Any, Task] = {}
    for number, record in enumerate(records):
        key = as_text(record.get("id")) or ("record", number)
        data = {name: value for name, value in record.items() if isinstance(value, str)}
        task = tasks.setdefault(key, {"id": record.get("id"), "data": data, "annotations": []})
        if record["annotation_id"] is not None:
            task["annotations"].append(
                {
                    "id": record["annotation_id"],
                    "completed_by": record.get("annotator"),
                    "created_at": record.get("created_at"),
                    "updated_at": record.get("updated_at"),
                    "result": [*_regions_of_minimal(record)],
                }
            )
    return [*tasks.values()]


def _regions_of_minimal(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what was drawn. Values of one shape, which each control repeats, are one region."""
    for values in record.values():
        for value in map(as_dict, as_list(values)):
            if all(as_side(value.get(size)) for size in _SIZES):
                shape = {key: each for key, each in value.items() if not key.endswith("labels")}
                kind = next((key for key in value if key.endswith("labels")), "")
                sizes = {size: shape.pop(size) for size in _SIZES}
                yield {"id": json.dumps(shape, sort_keys=True), "type": kind, "value": value, **sizes}
