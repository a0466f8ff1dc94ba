"""Records of which a test gives only what it is about."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

_Record = TypeVar("_Record", bound=BaseModel)


def with_only(kind: type[_Record], **fields: Any) -> _Record:
    """Make a record, unchecked, with these fields and the defaults; any other is missing altogether."""
    return kind.model_construct(**fields)
