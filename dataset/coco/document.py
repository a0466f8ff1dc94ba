"""Reading COCO files as people really export them. Nothing here trusts a type, an id or a number."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from dataset.coco.annotation_files import advise, describe_foreign_bytes, describe_foreign_json
from dataset.label_json import COCO_LISTS, parse_json, parse_labels
from dataset.problems import DataProblem
from maskloop.errors import DataError, NotFoundError

MAX_FILE_BYTES: Final = 2 * 2**30
_ROUNDING_PX: Final = 2.0
_CROWD_FLAGS: Final = {"0": False, "1": True, "false": False, "true": True}

Identifier = int | str
COCO: Final = "COCO"


@dataclass(frozen=True)
class CocoFile:
    """A COCO file's three lists, exactly as they stand in it; other label formats are read into the same.

    An annotation may have an ``origin``, a dictionary of text: ``tool``, ``task``, ``annotator``, ``time``.

    Attributes:
        path: Where it was read from.
        images: Anything, usually dictionaries with ``id``, ``file_name``, ``width`` and ``height``.
        annotations: Anything, usually dictionaries with ``image_id``, ``category_id`` and ``segmentation``,
            which `dataset.label_json.unfolded` parses if it was left as text, as it does ``bbox``.
        categories: Anything, usually dictionaries with ``id`` and ``name``.
        tool: Which tool wrote it, as far as its content tells; empty if it tells nothing.
        format: What the format is called.
        declares_classes: Whether the categories are all classes there are, not only those that were drawn.
        images_dir: The folder its file names are relative to, where the reader knows it.
        images_place: What to call that folder where it only exists while the labels are read; else None.
        problems: What was found while it was read. An error costs the picture it names.
    """

    path: Path
    images: tuple[Any, ...]
    annotations: tuple[Any, ...]
    categories: tuple[Any, ...]
    tool: str = ""
    format: str = COCO
    declares_classes: bool = True
    images_dir: Path | None = None
    images_place: Path | None = None
    problems: tuple[DataProblem, ...] = ()

    @property
    def is_label_studio(self) -> bool:
        """Whether this is COCO as Label Studio exports it, where sizes may not be those of the outlines."""
        return self.format == COCO and self.tool.casefold() == "label studio"

    @property
    def read_as(self) -> str:
        """The format, and the tool where that is another.

        >>> CocoFile(Path("a.json"), (), (), (), "Label Studio").read_as
        'COCO, written by Label Studio'
        """
        told = self.tool and not self.format.startswith(self.tool)
        return f"{self.format}, written by {self.tool}" if told else self.format


def read_coco(annotations: Path) -> CocoFile:
    """Read a COCO file without judging what is in its lists.

    NaN and Infinity are read as the numbers they are, for the validation to report.

    Raises:
        NotFoundError: if there is no such file.
        DataError: if it is empty, larger than `MAX_FILE_BYTES`, not JSON, or lacks a list.
    """
    return coco_from(read_json(annotations, parse=parse_labels), annotations)


def coco_from(content: Any, path: Path) -> CocoFile:
    """Take the three lists out of JSON that was read already.

    Raises:
        DataError: if it lacks a list.
    """
    lists: dict[str, Any] = content if isinstance(content, dict) else {}
    missing = [name for name in COCO_LISTS if not isinstance(lists.get(name), list)]
    if missing:
        what = describe_foreign_json(content)
        said = f"it looks like {what}" if what else f"it has no list of {' and '.join(missing)}"
        raise DataError(f"this is no COCO file: {said}", where=str(path), hint=advise(what))
    info = content.get("info")
    contributor = info.get("contributor") if isinstance(info, dict) else None
    images, records, categories = (tuple(lists[name]) for name in COCO_LISTS)
    tool = contributor.strip() if isinstance(contributor, str) else ""
    return CocoFile(path, images, records, categories, tool)


def read_json(path: Path, *, place: Path | None = None, parse: Callable[[bytes], Any] = parse_json) -> Any:
    """Read a JSON file of labels.

    Args:
        path: Where it lies.
        place: What messages call it, if not that.
        parse: `dataset.label_json.parse_labels` leaves the outlines of a COCO file as text.

    Raises:
        NotFoundError: if there is no such file.
        DataError: if it is empty, larger than `MAX_FILE_BYTES`, not JSON, or cannot be read.
    """
    where = str(place or path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DataError("the annotation file is too large", where=where, hint="split the batch")
        data = path.read_bytes()
    except FileNotFoundError as error:
        hint = "name the COCO file, or the folder it is in"
        raise NotFoundError("the annotation file does not exist", where=where, hint=hint) from error
    except OSError as error:
        raise DataError(f"the annotation file cannot be read: {error.strerror}", where=where) from error
    if not data or data.isspace():
        raise DataError("the annotation file is empty", where=where, hint="export it again")
    try:
        return parse(data)
    except (ValueError, RecursionError) as error:
        what = describe_foreign_bytes(data)
        reason = "UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"JSON: {error}"
        said = (
            f"this is no COCO file: it looks like {what}" if what else f"the annotation file is not {reason}"
        )
        raise DataError(said, where=where, hint=advise(what)) from error


def identifier(value: Any) -> Identifier | None:
    """Return a comparable id, or None if it cannot be one. Digits in quotes count as the number.

    >>> identifier("12"), identifier(12), identifier(0), identifier(True), identifier(3.0), identifier(None)
    (12, 12, 0, None, 3, None)
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else text or None
    return value if isinstance(value, int) else None


def crowd_flag(annotation: dict[str, Any]) -> bool | None:
    """Return ``iscrowd`` however it is spelled, False if it is missing, None if it makes no sense.

    >>> [crowd_flag({"iscrowd": value}) for value in (1, "1", False, 7)]
    [True, True, False, None]
    """
    value = annotation.get("iscrowd", 0)
    if value is None:
        return False
    if isinstance(value, str):
        return _CROWD_FLAGS.get(value.strip().lower())
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None


def box_is_sound(box: Any) -> bool:
    """Say whether a COCO box ``[x, y, w, h]`` is four finite numbers with x, y, w, h of at least 0 px.

    >>> box_is_sound([0, 0, 5, 5]), box_is_sound([float("inf"), 0, 1, 1]), box_is_sound([0, 0, -5, 5])
    (True, False, False)
    """
    if not isinstance(box, list) or len(box) != 4:
        return False
    numbers = [side for side in box if isinstance(side, int | float) and not isinstance(side, bool)]
    return len(numbers) == 4 and all(math.isfinite(side) and side >= -_ROUNDING_PX for side in numbers)


def is_safe_name(name: str) -> bool:
    """Say whether a picture's file name stays inside its folder.

    >>> is_safe_name("left/a.png"), is_safe_name("../a.png"), is_safe_name("/etc/passwd"), is_safe_name("")
    (True, False, False, False)
    """
    path = PurePosixPath(name.replace("\\", "/"))
    return bool(name) and "\0" not in name and not path.is_absolute() and ".." not in path.parts
