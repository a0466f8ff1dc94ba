"""The port of everything that keeps data versions, and how versions are counted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

from dataset.labelled_pictures import Catalog, DatasetVersion

_TAG: Final = re.compile(r"data-v([1-9][0-9]*)")


class DatasetStore(Protocol):
    """The port. `DvcDatasetStore` is the real one, `tests.fakes.FakeDatasetStore` keeps plain folders."""

    def current(self) -> DatasetVersion | None:
        """Return the version the workspace stands on, or None before the first."""
        ...

    def versions(self) -> tuple[str, ...]:
        """Return all tags, oldest first."""
        ...

    def open(self, tag: str) -> DatasetVersion:
        """Return a version, its files lying ready and verified. Raises NotFoundError, IntegrityError."""
        ...

    def refuse_to_lose(self) -> None:
        """Make sure that a commit or restore would overwrite nothing of the user's. Raises RefusedError."""
        ...

    def staging(self) -> AbstractContextManager[Path]:
        """Be the only writer, with an empty folder to fill for `commit`."""
        ...

    def commit(self, staged_dir: Path, catalog: Catalog, message: str) -> DatasetVersion:
        """Make a catalog the next version; the same content as the current one is no new version.

        Args:
            staged_dir: The folder of `staging`, with the files of those pictures that the current version has
                not; the catalog is written there.
            catalog: Everything the next version holds.
            message: For the record.
        """
        ...

    def restore(self, tag: str) -> DatasetVersion:
        """Make an older version the current one again, byte for byte."""
        ...

    def verify(self, tag: str, *, sample: int | None = None) -> tuple[str, ...]:
        """Re-hash everything the version stored; return what is missing or altered.

        Args:
            tag: Of the version.
            sample: Only so many files, drawn at random; the others are judged by what the store says of them.
        """
        ...

    def mend(self, tag: str) -> None:
        """Store again what `verify` finds missing or altered, from copies at hand. Raises StorageError."""
        ...

    def files_of(self, tag: str) -> dict[str, str]:
        """Map what `verify` returns to the names of a version's files, as far as they are known."""
        ...


def next_tag(versions: Sequence[str]) -> str:
    """Return the tag after the newest.

    >>> next_tag(()), next_tag(("data-v1", "data-v9", "data-v10"))
    ('data-v1', 'data-v11')
    """
    return f"data-v{max((tag_number(tag) for tag in versions), default=0) + 1}"


def tag_number(tag: str) -> int:
    """Return the N of ``data-vN``, 0 for any other name."""
    match = _TAG.fullmatch(tag)
    return int(match.group(1)) if match else 0
