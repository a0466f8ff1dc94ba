"""MLflow's names for what has a name of the user's in it: a class `screw (M6)` must not stop a training.

MLflow takes letters, digits and a few signs in a metric's name, reads it as a path, and takes at most 250
characters. A part of the path within these rules stays as it is. Any other has its characters replaced, and a
short digest of the true part at its end. The result depends on the true name alone: two names never meet, and
the curves of two runs are compared under one name, whatever else was logged before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from maskloop.digest import digest_bytes

MAX_CHARACTERS: Final = 250
_REFUSED: Final = re.compile(r"[^\w.\- :]")
_DIGEST_DIGITS: Final = 6


def to_metric_name(name: str) -> str:
    """Return the name MLflow is given.

    >>> to_metric_name("validation/iou/nut")
    'validation/iou/nut'
    >>> to_metric_name("validation/iou/screw (M6)"), to_metric_name("screw (M6)")
    ('validation/iou/screw _M6_ 4b334c', 'screw _M6_ 4b334c')
    """
    given = "/".join(_to_part(part) for part in name.split("/"))
    if len(given) <= MAX_CHARACTERS:
        return given
    return _ending(given[: MAX_CHARACTERS - _DIGEST_DIGITS - 1], name)


def translated(names: Iterable[str]) -> dict[str, str]:
    """Return MLflow's name of each that it would not take as it is, by the true name."""
    return {name: given for name in names if (given := to_metric_name(name)) != name}


def _to_part(part: str) -> str:
    """Return one part of a path; an empty one, `.` and `..` would lead elsewhere."""
    allowed = "_" if part in ("", ".", "..") else _REFUSED.sub("_", part)
    return part if allowed == part else _ending(allowed, part)


def _ending(given: str, true_name: str) -> str:
    return f"{given} {digest_bytes(true_name.encode('utf-8', 'surrogatepass'))[:_DIGEST_DIGITS]}"
