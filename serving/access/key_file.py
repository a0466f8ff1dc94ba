"""Keys of earlier versions, in ``keys.json``: moved into the book once; the old program then refuses them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from maskloop.errors import IntegrityError
from maskloop.files import locked, written_atomically
from maskloop.schema import refuse_newer
from serving.access.key_book import ApiKey, KeyBook

_IN_A_FILE: Final = (1, 2)
_IN_THE_BOOK: Final = 3
"""The file's version once its keys are in the book: a program that looks for them in the file refuses it."""


def move_keys(file: Path, book: KeyBook) -> int:
    """Move the keys of ``keys.json`` into the book, in which those already there and revoked ones stay.

    The file is changed once the book has the keys. Killed in between, the next call does the same again.

    Returns:
        How many the book had not.

    Raises:
        ConfigurationError: if a newer maskloop has written the file.
        IntegrityError: if the file cannot be read; it is left as it is.
        MaskloopError: if the book cannot be used now.
    """
    if not file.exists() or _load(file) is None:
        return 0
    with locked(file.with_suffix(".lock"), what="the API keys", timeout_s=10.0):
        keys = _load(file)
        if keys is None:
            return 0
        num_moved = book.add(keys)
        with written_atomically(file) as beside:
            beside.touch(mode=0o600)
            beside.write_text(json.dumps({"schema_version": _IN_THE_BOOK, "keys": "moved to the database"}))
    return num_moved


def _load(file: Path) -> Sequence[ApiKey] | None:
    """Return the keys of a file, or None if they were moved."""
    try:
        content: Any = json.loads(file.read_text())
        version = content["schema_version"]
        refuse_newer(version, _IN_THE_BOOK, what="the API keys", where=str(file))
        if version not in _IN_A_FILE:
            return None
        return [ApiKey.model_validate(each) for each in content["keys"]]
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise IntegrityError(
            "the API keys of the version before cannot be read",
            where=str(file),
            hint="bring the file back from a backup, or remove it and make new keys",
        ) from error
