"""Gathering what a reader finds into the lists of a `CocoFile`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dataset.coco.document import CocoFile, is_safe_name
from dataset.formats.port import own_name
from dataset.problems import DataProblem, Severity
from maskloop.errors import MaskError
from maskloop.masks import Rle, rle_from_coco, unite_masks
from maskloop.wording import count

NO_MASK_HINT: Final = "draw its outline, or remove it; boxes, lines and points are no masks"


@dataclass(frozen=True)
class Part:
    """A shape as it stands in the labels.

    Attributes:
        class_name: As the labels have it.
        shape: Polygons along the edges of pixels, which are united; or a mask of the picture's size; None of
            what is no mask, such as a box.
        where: Its place.
        kind: What the labels call it, e.g. ``box``.
        is_crowd: It covers many objects.
        object_key: Parts of one class and picture with the same key are one object; None: it is one alone.
        origin: Tool, task, annotator and time, as far as the labels tell.
    """

    class_name: str
    shape: Sequence[Sequence[float]] | Rle | None
    where: str
    kind: str = "polygon"
    is_crowd: bool = False
    object_key: int | str | None = None
    origin: Mapping[str, str] = field(default_factory=dict)


_Object = tuple[int, list[Part], Any]
"""The picture's id, the parts, and their COCO segmentation."""


class Collector:
    """Gathers the classes, pictures and objects of one source.

    Args:
        format_name: What the format is called.
        tool: Which tool wrote it, as far as its content tells.
    """

    def __init__(self, format_name: str, tool: str = "") -> None:
        self._format, self._tool = format_name, tool
        self._declared: dict[str, None] = {}
        self._images: list[dict[str, Any]] = []
        self._objects: list[_Object] = []
        self._problems: list[DataProblem] = []

    def declare_classes(self, names: Iterable[str]) -> None:
        """Take names of classes, in order. If none are declared, they are those of the objects, sorted."""
        self._declared |= dict.fromkeys(names)

    def add_picture(
        self,
        name: str,
        size_hw: tuple[int, int] | None,
        parts: Iterable[Part] = (),
        *,
        frame: str = "",
        origin: Mapping[str, str] | None = None,
    ) -> None:
        """Add a picture with its objects. A part that cannot be used costs the picture, and that is told.

        Args:
            name: Its file, relative to the folder of the pictures.
            size_hw: Height and width in px, as the labels have them; None if they do not say.
            parts: All shapes in it.
            frame: ``upright`` or ``stored``, where the format settles on which picture is drawn.
            origin: Who labelled the picture as a whole; None: the tool is all that is known.
        """
        entry: dict[str, Any] = {"id": len(self._images) + 1, "file_name": name}
        if size_hw:
            entry |= {"height": size_hw[0], "width": size_hw[1]}
        if frame:
            entry["frame"] = frame
        if origin or self._tool:
            entry["origin"] = dict(origin or {"tool": self._tool})
        self._images.append(entry)
        objects: dict[Any, list[Part]] = defaultdict(list)
        for number, part in enumerate(parts):
            alone = part.object_key is None
            objects[number if alone else (part.class_name, part.object_key)].append(part)
        for each in objects.values():
            shapes = [part.shape for part in each if part.shape is not None]
            if not shapes:
                message = f"an object has no mask, only a {each[0].kind}"
                self.refuse(name, "no-mask", each[0].where, message, NO_MASK_HINT)
                continue
            try:
                self._objects.append((entry["id"], each, _joined(shapes)))
            except MaskError as error:
                self.refuse(name, "bad-mask", each[0].where, error.headline, error.hint)

    @property
    def picture_names(self) -> tuple[str, ...]:
        """The files of the pictures so far."""
        return tuple(entry["file_name"] for entry in self._images)

    def refuse(self, picture: str, code: str, where: str, message: str, hint: str = "") -> None:
        """Tell of an error that costs one picture, which need not be added, or, without one, the batch."""
        self._problems.append(DataProblem("error", code, where, message, hint, picture))

    def tell(
        self, severity: Severity, code: str, where: str, message: str, hint: str = "", *, example: str = ""
    ) -> None:
        """Tell of a warning or remark."""
        self._problems.append(DataProblem(severity, code, where, message, hint, example=example))

    def tell_of_unlabelled(self, pictures: Sequence[str], lacking: str) -> None:
        """Tell of pictures that nothing is said about, if there are any; ``lacking`` is what they lack."""
        if pictures:
            message = f"{count(len(pictures), 'picture')} without {lacking}: read as pictures without objects"
            hint = "take them out if they were not labelled yet"
            self.tell("info", "label-file-missing", pictures[0], message, hint, example=pictures[0])

    def finish(self, path: Path, images_dir: Path | None) -> CocoFile:
        """Return everything that was gathered, as read from ``path``."""
        listed = set(self.picture_names)
        for name in dict.fromkeys(p.picture for p in self._problems if p.picture):
            if name not in listed:
                self.add_picture(name, None)
        found = sorted({parts[0].class_name for _, parts, _ in self._objects} - {""})
        classes = {name: number for number, name in enumerate(self._declared or found, start=1)}
        known = [each for each in self._objects if self._has_class(each, classes)]
        self._tell_joined()
        return CocoFile(
            path,
            tuple(self._images),
            tuple(
                _annotation(number, picture_id, classes, parts, segmentation)
                for number, (picture_id, parts, segmentation) in enumerate(known, start=1)
            ),
            tuple({"id": number, "name": name} for name, number in classes.items()),
            tool=self._tool,
            format=self._format,
            declares_classes=bool(self._declared),
            images_dir=images_dir,
            problems=tuple(self._problems),
        )

    def _has_class(self, found: _Object, classes: Mapping[str, int]) -> bool:
        picture_id, (part, *_), _ = found
        if part.class_name in classes:
            return True
        if not part.class_name:
            hint = "give it a class, or remove it"
            self.refuse(self._name(picture_id), "no-class", part.where, "an object has no class", hint)
            return False
        message = f"the class {part.class_name!r} is not among those that the labels declare"
        hint = f"they declare {', '.join(classes)}"
        self.refuse(self._name(picture_id), "unknown-category", part.where, message, hint)
        return False

    def _tell_joined(self) -> None:
        joined = [
            (picture_id, parts)
            for picture_id, parts, _ in self._objects
            if sum(part.shape is not None for part in parts) > 1
        ]
        if joined:
            picture_id, parts = joined[0]
            told = f"shapes of one group and class are parts of one object: {count(len(joined), 'object')}"
            hint = "if each is an object of its own, take the group apart in the tool"
            example = self._name(picture_id)
            self.tell("info", "parts-joined", parts[0].where, told, hint, example=example)

    def _name(self, picture_id: int) -> str:
        name: str = self._images[picture_id - 1]["file_name"]
        return name


def _annotation(
    number: int, picture_id: int, classes: Mapping[str, int], parts: Sequence[Part], segmentation: Any
) -> dict[str, Any]:
    first = parts[0]
    entry = {
        "id": number,
        "image_id": picture_id,
        "category_id": classes[first.class_name],
        "segmentation": segmentation,
        "iscrowd": int(any(part.is_crowd for part in parts)),
    }
    return entry | ({"origin": dict(first.origin)} if first.origin else {})


def _joined(shapes: Sequence[Sequence[Sequence[float]] | Rle]) -> Any:
    """Return the COCO segmentation of an object's parts."""
    masks = [shape for shape in shapes if isinstance(shape, Rle)]
    polygons = [[*polygon] for shape in shapes if not isinstance(shape, Rle) for polygon in shape]
    if not masks:
        return polygons
    if polygons:
        masks.append(rle_from_coco(polygons, masks[0].height_px, masks[0].width_px))
    return unite_masks(masks).to_coco()


def name_in_subset(folder: Path, subset: str, name: str) -> str:
    """Return a picture's name relative to a folder: as it is there, below its subset's folder or alone.

    If it is nowhere, the name stays as it is. A ``\\`` in it means ``/``.
    """
    own, slashed = own_name(name), name.replace("\\", "/")
    candidates = [slashed, name, own]
    if subset:
        candidates = [f"{subset}/{slashed}", slashed, name, f"{subset}/{own}", own]
    there = (each for each in candidates if is_safe_name(each) and (folder / each).is_file())
    return next(there, name)
