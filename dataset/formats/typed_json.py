"""Taking values of a known type out of JSON that may hold anything."""

from __future__ import annotations

import math
from typing import Any

from maskloop.errors import MaskError


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
