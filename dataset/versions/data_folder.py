"""`data/`: what a data version put there may be replaced; anything else belongs to the user and stays.

A replacement is kept in a journal, ``.maskloop/replaced``: the old folder, the old pin (`data.dvc`) and the
new one. Whatever ends a replacement before its version is committed, the old folder comes back.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dataset.versions.dvc_objects import is_intact, manifest, md5_of, pinned_md5
from maskloop.errors import RefusedError
from maskloop.files import storage_error, write_text
from maskloop.workspace import Workspace

_LEFT_BY_DESKTOPS: Final = (".DS_Store", "Thumbs.db", "desktop.ini")
_NUM_NAMED: Final = 5


class DataFolder:
    """The workspace's `data/` and its pin.

    Args:
        workspace: Whose.
        objects: The ``files/md5`` folder of DVC's cache, where versions list their files.
    """

    def __init__(self, workspace: Workspace, objects: Path) -> None:
        self._data, self._pin = workspace.data_dir, workspace.root / "data.dvc"
        self._journal = workspace.state_dir / "replaced"
        self._trash = workspace.state_dir / "staging"
        self._objects = objects
        self._md5s: dict[tuple[int, int, int, int], str] = {}

    def refuse_to_lose(self) -> None:
        """Make sure that `data/` could be replaced without losing anything.

        Raises:
            RefusedError: naming the files that no data version put there, or that were edited since.
        """
        if self._data.is_symlink():
            raise RefusedError(
                "data/ is a link, and maskloop replaces the folder when the data change",
                where=str(self._data),
                hint="Move the link out of the workspace and run the same command again",
            )
        pins = [self._pin, self._journal / "next.dvc"]
        self._refuse(self._data, [pinned_md5(pin) for pin in pins])

    @contextmanager
    def replaced(self, folder: Path, pin: str) -> Iterator[None]:
        """Replace `data/` by a folder, pinned by ``pin``; undone if the body raises.

        Raises:
            RefusedError: if `data/` holds something of the user's.
            StorageError: if a file or folder could not be moved.
        """
        self._open_journal(pin)
        try:
            before = pinned_md5(self._pin)
            self._data.mkdir(exist_ok=True)
            self._data.rename(self._journal / "data")
            self._refuse(self._journal / "data", [before])  # no file can be added from here on
            folder.rename(self._data)
            write_text(self._pin, pin)
            yield
        except BaseException as error:
            self._put_back()
            if isinstance(error, OSError):
                raise storage_error(error, self._data) from error
            raise
        self._close_journal()

    def undo_interrupted(self, committed_md5: str) -> None:
        """Finish what a killed process left: keep a replacement that was committed, undo any other.

        Args:
            committed_md5: What the `data.dvc` of the newest commit pins.

        Raises:
            RefusedError: if files were put into `data/` in the meantime.
        """
        if not self._journal.exists():
            return
        new = pinned_md5(self._journal / "next.dvc")
        if new == pinned_md5(self._pin) == committed_md5:
            self._close_journal()
        else:
            self._put_back()

    def _open_journal(self, pin: str) -> None:
        beside = self._journal.with_name(f"replaced-{uuid.uuid4().hex[:8]}.tmp")
        beside.mkdir(parents=True)
        write_text(beside / "next.dvc", pin)
        if self._pin.exists():
            write_text(beside / "data.dvc", self._pin.read_text())
        beside.rename(self._journal)

    def _put_back(self) -> None:
        old, pin = self._journal / "data", self._journal / "data.dvc"
        if old.exists():
            if self._data.exists():
                self._refuse(self._data, [pinned_md5(self._journal / "next.dvc")])
                shutil.rmtree(self._data)
            old.rename(self._data)
        if pin.exists():
            write_text(self._pin, pin.read_text())
        else:
            self._pin.unlink(missing_ok=True)
        self._close_journal()

    def _close_journal(self) -> None:
        """Remove the journal with one rename: deleting a folder takes many steps."""
        self._trash.mkdir(parents=True, exist_ok=True)
        gone = self._journal.rename(self._trash / f"replaced-{uuid.uuid4().hex[:8]}")
        shutil.rmtree(gone, ignore_errors=True)

    def _refuse(self, folder: Path, dvc_md5s: Sequence[str]) -> None:
        known = [manifest(self._objects, md5) for md5 in dvc_md5s if md5 and is_intact(self._objects, md5)]
        found = self._list_files(folder, {name for each in known for name in each})
        foreign, edited = sort_out(found, known)
        if foreign or edited:
            raise RefusedError(
                _describe(foreign, edited),
                where=str(self._data),
                hint="Move them out of data/, which maskloop alone writes, and run the same command again",
            )

    def _list_files(self, folder: Path, known: set[str]) -> dict[str, str]:
        """Map what lies in a folder to its md5, or to an empty string if it is not known by name."""
        found: dict[str, str] = {}
        for above, folders, files in os.walk(folder):
            links = [name for name in folders if (Path(above) / name).is_symlink()]
            for path in (Path(above) / name for name in (*files, *links)):
                name = path.relative_to(folder).as_posix()
                if path.name not in _LEFT_BY_DESKTOPS:
                    found[name] = self._md5(path) if name in known and path.is_file() else ""
        return found

    def _md5(self, path: Path) -> str:
        """Return a file's md5, read once as long as the file stays as it is."""
        seen = path.stat()
        key = (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_dev)
        if key not in self._md5s:
            self._md5s[key] = md5_of(path)
        return self._md5s[key]


def sort_out(
    found: Mapping[str, str], known: Sequence[Mapping[str, str]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the files that no version put there, and those a version put there with other content. Pure.

    Args:
        found: File name to md5.
        known: The same, of each version that may have been put there.

    >>> sort_out({"a": "1", "b": "2", "c": "3"}, [{"a": "1", "b": "9", "d": "4"}])
    (('c',), ('b',))
    """
    lost = sorted(name for name, md5 in found.items() if all(each.get(name) != md5 for each in known))
    edited = tuple(name for name in lost if any(name in each for each in known))
    return tuple(name for name in lost if name not in edited), edited


def _describe(foreign: Sequence[str], edited: Sequence[str]) -> str:
    said = []
    if foreign:
        said.append(f"{_count(foreign)} that no data version put there: {_name(foreign)}")
    if edited:
        said.append(f"{_count(edited)} edited since a data version put it there: {_name(edited)}")
    return f"data/ holds {'; and '.join(said)}"


def _count(names: Sequence[str]) -> str:
    return "1 file" if len(names) == 1 else f"{len(names)} files"


def _name(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(names[:_NUM_NAMED]) + more
