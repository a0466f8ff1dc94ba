"""A small head and arrays in one .npz file, replaced as a whole and checked when it is read."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from maskloop.digest import canonical_json, digest_bytes
from maskloop.errors import IntegrityError
from maskloop.files import write_bytes
from maskloop.schema import refuse_newer

Arrays = Mapping[str, NDArray[Any]]
Held = TypeVar("Held")
_HEAD: Final = "head"
_DIGEST: Final = "content_digest"
_DAMAGED: Final = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What NumPy and `zipfile` raise on files that were altered; RuntimeError if one then looks encrypted."""


def write_array_file(file: Path, head: Mapping[str, Any], arrays: Arrays) -> None:
    """Write arrays with a head of plain data that names its ``schema_version``, atomically.

    Raises:
        StorageError: if it cannot be written.
    """
    told = canonical_json({**head, _DIGEST: _digest(head, arrays)})
    named: dict[str, Any] = {_HEAD: np.array(told), **arrays}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **named)
    write_bytes(file, buffer.getvalue())


def read_array_file(
    file: Path,
    build: Callable[[Mapping[str, Any], Arrays], Held],
    *,
    known: int,
    what: str,
    hint: str = "",
) -> Held:
    """Read what `write_array_file` wrote, and return what is built from it.

    Args:
        file: That there is.
        build: Makes the value of head and arrays. Raises ValueError or KeyError where they do not fit.
        known: The newest ``schema_version`` that ``build`` can read.
        what: It is, such as ``the baseline``.
        hint: What to do if it is damaged.

    Raises:
        ConfigurationError: if a newer maskloop has written it.
        IntegrityError: if it is damaged.
    """
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as found:
            head = json.loads(str(found[_HEAD]))
            arrays = {name: found[name] for name in found.files if name != _HEAD}
        refuse_newer(head["schema_version"], known, what=what, where=str(file))
        written = head.pop(_DIGEST, None)  # earlier files have none
        if written is not None and written != _digest(head, arrays):
            raise ValueError("its digest does not match")
        return build(head, arrays)
    except _DAMAGED as error:
        raise IntegrityError(f"{what} cannot be read: {error}", where=str(file), hint=hint) from error


def _digest(head: Mapping[str, Any], arrays: Arrays) -> str:
    described = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    parts = (np.ascontiguousarray(arrays[name]).tobytes() for name in sorted(arrays))
    return digest_bytes(canonical_json([dict(head), described]).encode() + b"".join(parts))
