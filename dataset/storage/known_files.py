"""What files held when they were last read: a file is hashed again only after it has changed.

A file counts as unchanged while its device, inode, size and time of change are those that were recorded, as
git and DVC have it. A disk that alters bytes by itself is not found this way: `maskloop data verify` reads
everything, and a training reads every picture it learns from and compares its digest.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from dataset.storage.dvc_objects import md5_of
from maskloop.files import write_bytes

_Row = tuple[int, int, int, int, str]
"""Device, inode, size in bytes, time of change in ns, md5."""


class KnownFiles:
    """The md5 of files by what the file system says of them.

    Args:
        file: Where they are kept between commands; nothing is lost with it but time.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._md5s: dict[tuple[int, int], tuple[int, int, str]] | None = None
        self._is_changed = False

    def md5(self, path: str | Path) -> str:
        """Return a file's md5, read only if the file is not as it was. Raises OSError."""
        seen = os.stat(path)  # noqa: PTH116 - asked for each of 100,000 files, a Path costs as much again
        known = self._known.get((seen.st_dev, seen.st_ino))
        if known and known[0] == seen.st_size and known[1] == seen.st_mtime_ns:
            return known[2]
        return self.read(path)

    def read(self, path: str | Path) -> str:
        """Return a file's md5, read in any case. Raises OSError."""
        path = Path(path)
        before = path.stat()
        md5 = md5_of(path)
        after = path.stat()
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            self._known[after.st_dev, after.st_ino] = (after.st_size, after.st_mtime_ns, md5)
            self._is_changed = True
        return md5

    def forget(self) -> None:
        """Read every file again that is asked for."""
        self._md5s, self._is_changed = {}, True

    def save(self) -> None:
        """Keep what is known for the next command. Raises StorageError."""
        if self._is_changed:
            rows: list[_Row] = [(*key, *value) for key, value in self._known.items()]
            write_bytes(self._file, msgspec.json.encode(rows))
            self._is_changed = False

    @property
    def _known(self) -> dict[tuple[int, int], tuple[int, int, str]]:
        if self._md5s is None:
            self._md5s = {(one[0], one[1]): one[2:] for one in _read_rows(self._file)}
        return self._md5s


def _read_rows(file: Path) -> list[_Row]:
    """Return what was kept; nothing if there is none, or none that can be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[_Row])
    except (OSError, msgspec.DecodeError):
        return []
