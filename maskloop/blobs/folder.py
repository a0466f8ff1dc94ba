"""Blobs as files in a folder: on this machine, or on a disk that several hosts mount."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path

from maskloop.blobs.port import Blob
from maskloop.files import storage_error, write_bytes


class FolderBlobs:
    """A folder; a blob's name is its path in it. Other files may lie beside them.

    Args:
        root: Created with the first blob.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def where(self) -> str:
        """The folder."""
        return str(self._root)

    def put(self, name: str, data: bytes) -> None:
        """Write a file atomically; see `Blobs.put`. A file that holds the same stays as it is."""
        if self._read(name) != data:
            write_bytes(self._root / name, data)

    def get(self, name: str) -> bytes | None:
        """Read a file; see `Blobs.get`."""
        return self._read(name)

    def list(self, folder: str = "") -> tuple[Blob, ...]:
        """List files; see `Blobs.list`."""
        top = self._root / folder
        files = sorted([top] if top.is_file() else top.rglob("*"))
        found = []
        now_s = self._now_s() if files else 0.0
        for file in files:
            try:
                seen = file.stat()
            except FileNotFoundError:  # deleted since
                continue
            if file.is_file() and not file.name.endswith(".tmp"):  # being written
                name = file.relative_to(self._root).as_posix()
                found.append(Blob(name, seen.st_size, now_s - seen.st_mtime))
        return tuple(found)

    def delete(self, names: Iterable[str]) -> None:
        """Delete files; see `Blobs.delete`."""
        for name in names:
            try:
                (self._root / name).unlink(missing_ok=True)
            except OSError as error:
                raise storage_error(error, self._root / name) from error

    def below(self, folder: str) -> FolderBlobs:
        """Return a folder of this one; see `Blobs.below`."""
        return FolderBlobs(self._root / folder)

    def _read(self, name: str) -> bytes | None:
        try:
            return (self._root / name).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            raise storage_error(error, self._root / name) from error

    def _now_s(self) -> float:
        """Return the time by the clock of whoever keeps the disk, in s since 1970."""
        probe = self._root / f".{uuid.uuid4().hex[:8]}.tmp"
        try:
            probe.touch()
            return probe.stat().st_mtime
        except OSError as error:
            raise storage_error(error, probe) from error
        finally:
            probe.unlink(missing_ok=True)
