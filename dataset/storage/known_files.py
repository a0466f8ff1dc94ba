"""What files held when they were last read: a file is hashed again only after it has changed.

A file counts as unchanged while its device, inode, size and time of change are those that were recorded, as
git and DVC have it. Of many old files an ingest asks about some at a time (`Looks`). A disk that alters bytes
by itself is not found this way: `maskloop data verify` reads everything, and a training reads every picture
it learns from and compares its digest.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from dataset.storage.dvc_objects import md5_of
from maskloop.files import write_bytes
from maskloop.memory import collector_paused

_Known = tuple[int, int, str]
"""Size in bytes, time of change in ns, md5."""
_KnownByPlace = dict[int, dict[int, _Known]]
"""By device and inode."""
_Row = tuple[int, int, int, int, str]
"""As the version before wrote one: device, inode and the rest."""


class KnownFiles:
    """The md5 of files by what the file system says of them.

    Args:
        file: Where they are kept between commands; nothing is lost with it but time.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._md5s: _KnownByPlace | None = None
        self._is_changed = False

    def md5(self, path: str | Path) -> str:
        """Return a file's md5, read only if the file is not as it was. Raises OSError."""
        seen = os.stat(path)  # noqa: PTH116 - asked for each of 100,000 files, a Path costs as much again
        known = self._known.get(seen.st_dev, {}).get(seen.st_ino)
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
            of_device = self._known.setdefault(after.st_dev, {})
            of_device[after.st_ino] = (after.st_size, after.st_mtime_ns, md5)
            self._is_changed = True
        return md5

    def forget(self) -> None:
        """Read every file again that is asked for."""
        self._md5s, self._is_changed = {}, True

    def save(self) -> None:
        """Keep what is known for the next command. Raises StorageError."""
        if self._is_changed:
            write_bytes(self._file, msgspec.json.encode(self._known))
            self._is_changed = False

    @property
    def _known(self) -> _KnownByPlace:
        if self._md5s is None:
            self._md5s = _read_known(self._file)
        return self._md5s


@collector_paused()
def _read_known(file: Path) -> _KnownByPlace:
    """Return what was kept; nothing if there is none, or none that can be read."""
    try:
        kept = msgspec.json.decode(file.read_bytes(), type=_KnownByPlace | list[_Row])
    except (OSError, msgspec.DecodeError):
        return {}
    if isinstance(kept, dict):
        return kept
    known: _KnownByPlace = {}
    for device, inode, size_bytes, time_ns, md5 in kept:
        known.setdefault(device, {})[inode] = (size_bytes, time_ns, md5)
    return known
