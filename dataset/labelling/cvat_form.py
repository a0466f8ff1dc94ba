"""What CVAT is told and tells: the labels of a project, a model's answers as masks, and what people drew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from dataset.formats.collecting import Collector, Part
from dataset.formats.filled_shapes import draw_ellipse
from dataset.labelling.drawings import Drawing, digest_labels, list_drawings
from dataset.labelling.port import DrawnInstance, LabelTask
from dataset.readers.cvat import place_runs
from maskloop.errors import DataError, MaskError
from maskloop.masks import Rle, crop_mask
from maskloop.pages.class_colours import class_colour

TAG: Final = "maskloop"
"""The tag of each picture: why it was chosen."""
_CROWD: Final = "is_crowd"
_TOLD: Final = ("reason", "cause", "source", "sample", "model", "answer")
_MAX_VALUE_CHARACTERS: Final = 4096
_MAX_LABEL_CHARACTERS: Final = 64
_BOX_NUMBERS: Final = 4
_FROM_MODEL: Final = "auto"


@dataclass(frozen=True)
class ProjectLabels:
    """The labels of a project.

    Attributes:
        numbers: Of the classes, by name.
        crowd_attributes: Number of the attribute that marks a crowd region, by class.
        tag: Number of the tag; None if the project lacks it.
        tag_attributes: Numbers of its attributes, by name.
    """

    numbers: Mapping[str, int]
    crowd_attributes: Mapping[str, int]
    tag: int | None
    tag_attributes: Mapping[str, int]

    @property
    def names(self) -> dict[int, str]:
        """Classes by number."""
        return {number: name for name, number in self.numbers.items()}


def read_labels(labels: Sequence[Mapping[str, Any]]) -> ProjectLabels:
    """Read the labels of a project, as CVAT lists them."""
    numbers: dict[str, int] = {}
    crowds: dict[str, int] = {}
    tag, told = None, {}
    for label in labels:
        attributes = {one["name"]: one["id"] for one in label.get("attributes", ())}
        if label["name"] == TAG and label.get("type") == "tag":
            tag, told = label["id"], attributes
        elif not label.get("has_parent"):
            numbers[label["name"]] = label["id"]
            if _CROWD in attributes:
                crowds[label["name"]] = attributes[_CROWD]
    return ProjectLabels(numbers, crowds, tag, told)


def write_labels(class_names: Sequence[str], known: ProjectLabels | None = None) -> list[dict[str, Any]]:
    """Return the labels that a project lacks: each class for any shape, and the tag.

    Args:
        class_names: In the order of the data.
        known: Those of a project that people began; None for a new one.

    Raises:
        DataError: if CVAT cannot hold the name of a class.
    """
    long = [name for name in class_names if len(name) > _MAX_LABEL_CHARACTERS or name == TAG]
    if long:
        raise DataError(
            f"CVAT cannot hold the class {long[0][:80]!r}",
            hint=f"names have at most {_MAX_LABEL_CHARACTERS} characters and are not {TAG!r}; "
            "`maskloop data classes` renames classes",
        )
    written: list[dict[str, Any]] = []
    kind: dict[str, Any]
    for index, name in enumerate(class_names):
        number = known.numbers.get(name) if known else None
        if known is None or name not in known.crowd_attributes:
            crowd = _attribute(_CROWD, "checkbox", "false")
            colour = f"#{bytes(class_colour(index)).hex()}"
            kind = {"type": "any", "color": colour} if number is None else {"id": number}
            written.append({"name": name, **kind, "attributes": [crowd]})
    told = [name for name in _TOLD if known is None or name not in known.tag_attributes]
    if told:
        kind = {"id": known.tag} if known and known.tag is not None else {"type": "tag"}
        written.append({"name": TAG, **kind, "attributes": [_attribute(name, "text", "") for name in told]})
    return written


def _attribute(name: str, kind: str, default: str) -> dict[str, Any]:
    return {
        "name": name,
        "mutable": False,
        "input_type": kind,
        "values": [default],
        "default_value": default,
    }


@dataclass(frozen=True)
class PreLabels:
    """What stands in a picture when people open it.

    Attributes:
        size_hw: Height and width in px that CVAT has to show the picture in.
        told: Values of the tag, by attribute.
        instances: The model's answer.
    """

    size_hw: tuple[int, int]
    told: Mapping[str, str]
    instances: tuple[DrawnInstance, ...]


def pre_labels_of(task: LabelTask) -> PreLabels:
    """Return what is to stand in a picture."""
    answer = digest_labels(task.pre_labels) if task.pre_labels else ""
    values = (task.reason, task.cause, task.source, task.sample_id, task.model_version, answer)
    told = {name: value[:_MAX_VALUE_CHARACTERS] for name, value in zip(_TOLD, values, strict=True)}
    return PreLabels(task.size_hw, told, task.pre_labels)


def write_annotations(frames: Mapping[int, PreLabels], labels: ProjectLabels) -> dict[str, Any]:
    """Return the annotations of a job: a tag and a mask for each instance, by frame.

    Raises:
        DataError: if somebody took a label out of the project.
    """
    tags, shapes = [], []
    try:
        for frame, one in sorted(frames.items()):
            told = [{"spec_id": labels.tag_attributes[key], "value": text} for key, text in one.told.items()]
            head = {"frame": frame, "group": 0, "source": _FROM_MODEL}
            tags.append({**head, "label_id": labels.tag, "attributes": told})
            shapes += [{**head, **_shape(each, labels)} for each in one.instances]
    except KeyError as error:
        raise DataError(f"the project of CVAT lost {error}", hint="push again") from error
    return {"version": 0, "tags": tags, "shapes": shapes, "tracks": []}


def _shape(one: DrawnInstance, labels: ProjectLabels) -> dict[str, Any]:
    crowd = {"spec_id": labels.crowd_attributes[one.class_name], "value": str(one.is_crowd).lower()}
    return {
        "type": "mask",
        "label_id": labels.numbers[one.class_name],
        "points": write_runs(one.mask),
        "occluded": False,
        "outside": False,
        "z_order": 0,
        "attributes": [crowd],
        **({} if one.score is None else {"score": round(min(max(one.score, 0.0), 1.0), 4)}),
    }


def write_runs(mask: Rle) -> list[int]:
    """Return a mask as CVAT's points: runs row by row through its box, background first, and the box.

    The box is left, top, right and bottom in px; its last column and row belong to it. An empty mask is a
    box of one pixel of background.
    """
    left, top, pixels_hw = crop_mask(mask)
    if not pixels_hw.size:
        return [1, 0, 0, 0, 0]
    height, width = pixels_hw.shape
    ends = np.flatnonzero(np.diff(pixels_hw.ravel(), prepend=False))
    runs = np.diff([0, *ends.tolist(), pixels_hw.size])
    return [*(int(run) for run in runs), left, top, left + width - 1, top + height - 1]


def read_runs(points: Sequence[float], height_px: int, width_px: int) -> Rle:
    """Read what `write_runs` writes. Raises MaskError if it is broken, or does not lie in the picture."""
    numbers = [int(one) for one in points if float(one).is_integer()]
    if len(numbers) != len(points) or len(numbers) <= _BOX_NUMBERS:
        raise MaskError("a mask's points are not whole numbers: runs, left, top, right, bottom")
    *runs, left, top, right, bottom = numbers
    box = (left, top, right - left + 1, bottom - top + 1)
    return place_runs(runs, box, height_px, width_px)


@dataclass(frozen=True)
class Frame:
    """A picture of a job.

    Attributes:
        number: In its task.
        size_hw: Height and width in px.
    """

    number: int
    size_hw: tuple[int, int]


def read_annotations(
    content: Mapping[str, Any], frames: Sequence[Frame], labels: ProjectLabels
) -> Iterator[tuple[int, Drawing, bool]]:
    """Yield what a job holds: each frame with its drawing, and whether it is the model's answer, untouched.

    Args:
        content: Annotations of a job, as CVAT answers.
        frames: The pictures that are asked for.
        labels: Of the project.
    """
    collector = Collector("CVAT", "CVAT")
    collector.declare_classes(labels.numbers)
    names = labels.names
    for frame in frames:
        own = [one for one in content.get("shapes", ()) if one["frame"] == frame.number]
        own = [one for one in own if not one.get("outside")]
        try:
            if any(track["frame"] <= frame.number for track in content.get("tracks", ())):
                raise MaskError("an object was drawn as a track, as in films; draw it as a shape")
            parts = [_part(one, frame, names, labels) for one in own]
        except MaskError as error:
            collector.add_picture(str(frame.number), frame.size_hw)
            where = f"frame {frame.number}"
            collector.refuse(str(frame.number), "bad-shape", where, error.headline, error.hint)
        else:
            collector.add_picture(str(frame.number), frame.size_hw, parts, frame="upright")
    drawings = list_drawings(collector.finish(Path("CVAT"), None))
    for frame in frames:
        drawing = drawings[str(frame.number)]
        yield frame.number, drawing, _is_untouched(drawing, content, frame.number, labels)


def _part(shape: Mapping[str, Any], frame: Frame, names: Mapping[int, str], labels: ProjectLabels) -> Part:
    kind, name = str(shape["type"]), names.get(shape["label_id"], "")
    attributes = {one["spec_id"]: one["value"] for one in shape.get("attributes", ())}
    is_crowd = attributes.get(labels.crowd_attributes.get(name, -1), "") == "true"
    group = shape.get("group") or None
    where = f"frame {frame.number}, {kind} {name}"
    return Part(name, _draw(kind, shape, frame.size_hw), where, kind, is_crowd, group)


def _draw(kind: str, shape: Mapping[str, Any], size_hw: tuple[int, int]) -> list[list[float]] | Rle | None:
    points = shape.get("points") or []
    if kind == "mask":
        return read_runs(points, *size_hw)
    if kind == "polygon":
        return [list(points)]
    if kind == "ellipse" and len(points) == _BOX_NUMBERS:
        centre_x, centre_y, right, top = points
        radii, turned_deg = (right - centre_x, centre_y - top), float(shape.get("rotation") or 0)
        return draw_ellipse((centre_x, centre_y), radii, *size_hw, turned_deg=turned_deg)
    return None


def _is_untouched(drawing: Drawing, content: Mapping[str, Any], frame: int, labels: ProjectLabels) -> bool:
    """Compare with the digest in the tag; without the tag, believe what CVAT says of each shape's source."""
    if drawing.trouble or not drawing.instances:
        return False
    spec = labels.tag_attributes.get("answer")
    for tag in content.get("tags", ()):
        if tag["frame"] == frame and tag["label_id"] == labels.tag:
            values = {one["spec_id"]: one["value"] for one in tag.get("attributes", ())}
            return values.get(spec) == digest_labels(drawing.instances)
    own = [one for one in content.get("shapes", ()) if one["frame"] == frame]
    return all(one.get("source") == _FROM_MODEL for one in own)
