"""Reading COCO files as people really export them. Nothing here trusts a type, an id or a number."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from maskloop.errors import DataError

MAX_FILE_BYTES: Final = 2 * 2**30
_REACH_OUTSIDE_PX: Final = 2.0
_CROWD_FLAGS: Final = {"0": False, "1": True, "false": False, "true": True}

Identifier = int | str


@dataclass(frozen=True)
class CocoFile:
    """A COCO file's three lists, exactly as they stand in it.

    Attributes:
        path: Where it was read from.
        images: Anything, usually dictionaries with ``id``, ``file_name``, ``width`` and ``height``.
        annotations: Anything, usually dictionaries with ``image_id``, ``category_id`` and ``segmentation``.
        categories: Anything, usually dictionaries with ``id`` and ``name``.
    """

    path: Path
    images: tuple[Any, ...]
    annotations: tuple[Any, ...]
    categories: tuple[Any, ...]


def read_coco(annotations: Path) -> CocoFile:
    """Read a COCO file without judging what is in its lists.

    NaN and Infinity are read as the numbers they are, for the validation to report.

    Raises:
        DataError: if the file is missing, empty, larger than `MAX_FILE_BYTES`, not JSON, or lacks a list.
    """
    content = _read_json(annotations)
    if not isinstance(content, dict):
        raise DataError("a COCO file is a JSON object", where=str(annotations))
    lists = {name: content.get(name) for name in ("images", "annotations", "categories")}
    missing = [name for name, values in lists.items() if not isinstance(values, list)]
    if missing:
        raise DataError(
            f"the COCO file has no list of {' and '.join(missing)}",
            where=str(annotations),
            hint="export it again as COCO instance segmentation",
        )
    return CocoFile(annotations, *(tuple(values or ()) for values in lists.values()))


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DataError("the annotation file is too large", where=str(path), hint="split the batch")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError("the annotation file does not exist", where=str(path)) from error
    except OSError as error:
        raise DataError(f"the annotation file cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise DataError("the annotation file is not UTF-8 text", where=str(path)) from error
    if not text.strip():
        raise DataError("the annotation file is empty", where=str(path), hint="export it again")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the annotation file is not JSON: {error}", where=str(path)) from error


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
    return len(numbers) == 4 and all(math.isfinite(side) and side >= -_REACH_OUTSIDE_PX for side in numbers)


def reaches_outside(segmentation: Any, height_px: int, width_px: int) -> bool:
    """Say whether a checked polygon list leaves its picture by more than 2 px (less is rounding)."""
    if not isinstance(segmentation, list):
        return False
    low = -_REACH_OUTSIDE_PX
    right, bottom = width_px - low, height_px - low
    return any(
        not (low <= min(polygon[0::2]) and max(polygon[0::2]) <= right)
        or not (low <= min(polygon[1::2]) and max(polygon[1::2]) <= bottom)
        for polygon in segmentation
    )


def is_safe_name(name: str) -> bool:
    """Say whether a picture's file name stays inside its folder.

    >>> is_safe_name("left/a.png"), is_safe_name("../a.png"), is_safe_name("/etc/passwd"), is_safe_name("")
    (True, False, False, False)
    """
    path = PurePosixPath(name.replace("\\", "/"))
    return bool(name) and "\0" not in name and not path.is_absolute() and ".." not in path.parts
