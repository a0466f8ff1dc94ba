"""Labels parsed so that a large COCO file costs little: outlines and boxes stay text until asked for."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, Final, TypedDict

import msgspec

from maskloop.memory import collector_paused

COCO_LISTS: Final = ("images", "annotations", "categories")
OUTLINE: Final = "segmentation"
BOX: Final = "bbox"


class _Annotation(TypedDict, total=False):
    """What anything here reads of an annotation; what else it holds may be left out."""

    segmentation: msgspec.Raw
    id: Any
    image_id: Any
    category_id: Any
    bbox: msgspec.Raw
    area: Any
    iscrowd: Any
    attributes: Any
    group_id: Any
    group: Any
    instance_id: Any
    track_id: Any
    object_id: Any
    origin: Any
    tool: Any
    task: Any
    task_id: Any
    job_id: Any
    updated_at: Any
    annotated_at: Any
    created_at: Any
    annotator: Any
    annotator_id: Any
    annotated_by: Any
    labeled_by: Any
    created_by: Any
    creator: Any


class _Coco(msgspec.Struct, forbid_unknown_fields=True):
    """A file as the format has it; others with these lists are parsed part by part."""

    images: list[Any]
    annotations: list[_Annotation]
    categories: list[Any]
    info: Any = None
    licenses: Any = None
    type: Any = None


_parse_as_it_should_be: Final = msgspec.json.Decoder(_Coco).decode
_parse: Final = msgspec.json.Decoder().decode
_parse_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_parse_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


@collector_paused()
def parse_labels(data: bytes) -> Any:
    """Parse JSON as `json.loads` does; in a COCO file each ``segmentation`` and ``bbox`` is left for
    `unfolded`.

    Annotations may lose what nothing here reads.

    What msgspec refuses and `json` reads, such as NaN, is parsed by that.

    Args:
        data: UTF-8, with or without a mark.

    Raises:
        ValueError: if it is not JSON, or not UTF-8.
        RecursionError: if it is nested too deeply.
    """
    try:
        if not data.isascii():
            data.decode()  # msgspec does not look at text that it leaves out
        return _parse_coco(data) if data.lstrip()[:1] == b"{" else _parse(data)
    except (ValueError, RecursionError):
        return parse_json(data)


def parse_json(data: bytes) -> Any:
    """Parse UTF-8, with or without a mark, whole. Raises ValueError, RecursionError."""
    return json.loads(data.decode("utf-8-sig"))


def unfolded(value: Any) -> Any:
    """Return a value that `parse_labels` may have left as text; text if it makes no sense."""
    if not isinstance(value, msgspec.Raw):
        return value
    try:
        return _parse(value)
    except (ValueError, RecursionError):
        text = bytes(value).decode("utf-8", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _parse_coco(data: bytes) -> Any:
    with suppress(msgspec.ValidationError):
        coco = _parse_as_it_should_be(data)
        return {name: getattr(coco, name) for name in coco.__struct_fields__}
    parts = _parse_object(data)
    if not all(name in parts and memoryview(parts[name])[0] == ord("[") for name in COCO_LISTS):
        return _parse(data)
    annotations: list[Any] = _parse_list(parts["annotations"])
    for number, annotation in enumerate(annotations):  # one by one: all of it at once takes the memory twice
        annotations[number] = _parse_annotation(annotation)
    return {name: annotations if name == "annotations" else _parse(part) for name, part in parts.items()}


def _parse_annotation(text: msgspec.Raw) -> Any:
    try:
        record: dict[str, Any] = _parse_object(text)
    except msgspec.ValidationError:  # it is no object
        return _parse(text)
    for name, value in record.items():
        if name not in (OUTLINE, BOX):
            record[name] = _parse(value)
    return record
