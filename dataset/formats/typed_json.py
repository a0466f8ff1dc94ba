"""Taking values of a known type out of JSON that may hold anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from maskloop.errors import MaskError

_ORIGIN_KEYS: Final = {
    "tool": ("tool",),
    "task": ("task", "task_id", "job_id"),
    "annotator": ("annotator", "annotator_id", "annotated_by", "labeled_by", "created_by", "creator"),
    "time": ("updated_at", "annotated_at", "created_at"),
}
"""What programs call the fields of an origin, in a record or among its attributes."""


def as_dict(value: Any) -> dict[str, Any]:
    """Return a dictionary, empty if the value is none."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a list, empty if the value is none."""
    return value if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """Return text as it is and whole numbers as text; anything else is empty.

    >>> as_text("nut"), as_text(7), as_text(None), as_text(True)
    ('nut', '7', '', '')
    """
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def as_side(value: Any) -> int:
    """Return a picture's side in px, 0 if the value cannot be one.

    >>> as_side(5), as_side(5.0), as_side(0), as_side("5"), as_side(True)
    (5, 5, 0, 0, 0)
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and value > 0 else 0


def as_number(value: Any) -> float:
    """Return a finite number. Raises MaskError for anything else."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise MaskError(f"a shape holds {value!r} where a number is expected")
    return float(value)


def told_origin(record: Mapping[str, Any]) -> dict[str, str]:
    """Return tool, task, annotator and time of a record, as far as it or its attributes tell.

    >>> told_origin({"created_by": "ada", "attributes": {"task_id": 7}})
    {'task': '7', 'annotator': 'ada'}
    """
    sources = (record, as_dict(record.get("attributes")))
    told = {
        name: next((text for each in sources for key in keys if (text := as_text(each.get(key)))), "")
        for name, keys in _ORIGIN_KEYS.items()
    }
    return {name: text for name, text in told.items() if text}
