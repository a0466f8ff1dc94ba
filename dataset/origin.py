"""Where a label comes from: the tool, the task in it, the annotator and the time, as far as a format tells.

Data versions are copied to remotes and are never rewritten, so they hold no mail addresses: an annotator is
the tool's user id or login, and a mail address becomes the beginning of its digest.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final

_FIELDS: Final = ("tool", "task", "annotator", "time")
_MOST_CHARACTERS: Final = 200
_DIGEST_CHARACTERS: Final = 12


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a label comes from; empty text is not known.

    Attributes:
        tool: What it was drawn with.
        task: The tool's name or number of the task, job or data set.
        annotator: Who drew it, see `annotator_key`.
        time: When it was last changed, as the tool writes it, usually ISO 8601.
    """

    tool: str = ""
    task: str = ""
    annotator: str = ""
    time: str = ""

    def to_json(self) -> dict[str, str]:
        """Return what is known."""
        return {name: text for name, text in asdict(self).items() if text}


def read_origin(told: Any) -> Origin | None:
    """Return the origin that a record tells, None if it tells nothing. Equal ones are one object.

    >>> read_origin({"tool": "CVAT", "annotator": "ada"}) is read_origin({"annotator": "ada", "tool": "CVAT"})
    True
    >>> read_origin({"tool": None}) is None, read_origin("CVAT") is None
    (True, True)
    """
    if not isinstance(told, Mapping):
        return None
    tool, task, annotator, time = (_text(told.get(name)) for name in _FIELDS)
    return (
        _one_object(tool, task, annotator_key(annotator), time) if tool or task or annotator or time else None
    )


def annotator_key(name: str) -> str:
    """Return what a data version calls an annotator: a mail address becomes a digest, anything else stays.

    >>> annotator_key("17"), annotator_key("ada"), annotator_key("Ada@Example.com ")
    ('17', 'ada', 'mail-b5fc85e55755')
    """
    name = name.strip()
    if "@" not in name:
        return name
    digest = hashlib.sha256(name.lower().encode()).hexdigest()
    return f"mail-{digest[:_DIGEST_CHARACTERS]}"


def most_frequent(origins: Iterable[Origin | None]) -> Origin | None:
    """Return the origin that most labels have, the first of several; None if none is known."""
    counted = Counter(one for one in origins if one is not None)
    return counted.most_common(1)[0][0] if counted else None


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).strip()[:_MOST_CHARACTERS]


@lru_cache(maxsize=65536)
def _one_object(tool: str, task: str, annotator: str, time: str) -> Origin:
    return Origin(tool, task, annotator, time)
