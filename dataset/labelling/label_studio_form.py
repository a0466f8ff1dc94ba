"""What Label Studio is told: the labelling interface of a project, and tasks with a model's answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal
from xml.etree import ElementTree

from dataset.exports.edges import trace_outline
from dataset.exports.label_studio import write_controls, write_line
from dataset.formats.brushes import write_brush
from dataset.labelling.port import DrawnInstance, LabelTask
from maskloop.errors import DataError

Outlines = Literal["brush", "polygon"]
_BRUSH: Final = "brush"
_POLYGON: Final = "polygon"
_IMAGE: Final = "image"
_DRAWING_TAGS: Final = ("BrushLabels", "PolygonLabels")
_MAX_CONFIG_CHARACTERS: Final = 1_000_000


def write_interface(class_names: Sequence[str]) -> str:
    """Return the labelling interface: the reason, then what people draw with, and the picture.

    A server takes uploads only while one named tag shows task data: here the picture; headers have no name.
    """
    told = f"{write_line('Why this picture: $reason')}{write_line('Why labels are asked for: $cause')}"
    return f"<View>{told}{write_controls(class_names)}</View>"


def read_classes(interface: str) -> frozenset[str]:
    """Return the classes that can be drawn with an interface.

    Raises:
        DataError: if it is no interface.
    """
    if len(interface) > _MAX_CONFIG_CHARACTERS or "<!" in interface.replace("<!--", ""):
        raise DataError("the labelling interface of the project is too large, or declares a document type")
    try:
        root = ElementTree.fromstring(interface)  # noqa: S314 - without a document type nothing is expanded
    except ElementTree.ParseError as error:
        raise DataError(f"the labelling interface of the project is not XML: {error}") from error
    tags = (tag for name in _DRAWING_TAGS for tag in root.iter(name))
    return frozenset(label.get("value", "") for tag in tags for label in tag.iter("Label"))


def write_task(task: LabelTask, address: str, outlines: Outlines) -> dict[str, Any]:
    """Return a task with its prediction, as Label Studio imports it.

    Args:
        task: What is to be labelled.
        address: Of the uploaded picture.
        outlines: ``polygon`` sends masks of one part without a hole as polygons, the others as brushes.
    """
    data = {
        _IMAGE: address,
        "reason": task.reason,
        "cause": task.cause,
        "source": task.source,
        "sample_id": task.sample_id,
        "picture_digest": task.picture_digest,
        "request_id": task.request_id,
    }
    drawn = [one for one in task.pre_labels if not one.is_crowd]
    if not drawn:
        return {"data": data}
    scores = [one.score for one in drawn if one.score is not None]
    prediction = {
        "model_version": f"version {task.model_version}",
        "result": [write_region(number, one, outlines) for number, one in enumerate(drawn, start=1)],
        **({"score": sum(scores) / len(scores)} if scores else {}),
    }
    return {"data": data, "predictions": [prediction]}


def write_region(number: int, one: DrawnInstance, outlines: Outlines) -> dict[str, Any]:
    """Return one object as a region of a task; ``number`` tells it from the others."""
    height_px, width_px = one.mask.height_px, one.mask.width_px
    corners = trace_outline(one.mask) if outlines == _POLYGON else None
    kind = _BRUSH if corners is None else _POLYGON
    value: dict[str, Any] = (
        {"format": "rle", "rle": write_brush(one.mask)}
        if corners is None
        else {"points": [[100 * x / width_px, 100 * y / height_px] for x, y in corners], "closed": True}
    )
    result = {
        "id": f"region-{number}",
        "type": f"{kind}labels",
        "from_name": kind,
        "to_name": _IMAGE,
        "original_width": width_px,
        "original_height": height_px,
        "image_rotation": 0,
        "value": {**value, f"{kind}labels": [one.class_name]},
    }
    return result if one.score is None else {**result, "score": round(one.score, 4)}
