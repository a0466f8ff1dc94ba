"""`data/`: what a data version put there may be replaced; anything else belongs to the user and stays.

Only files that differ between two versions are touched. What a version no longer has is moved into a
journal, ``.maskloop/replaced``, beside the old pin (`data.dvc`) and the new one. Whatever ends a replacement
before its version is committed, the old files come back.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from dataset.storage.dvc_objects import find_md5, is_intact, manifest, object_file, pinned_md5
from dataset.storage.known_files import KnownFiles
from dataset.storage.looks import ALL_LOOKS, Looks
from maskloop.errors import RefusedError, StorageError
from maskloop.files import storage_error, write_text
from maskloop.workspace import Workspace

_LEFT_BY_DESKTOPS: Final = (".DS_Store", "Thumbs.db", "desktop.ini")
_NUM_NAMED: Final = 5
_PICTURES: Final = "images/"


class DataFolder:
    """The workspace's `data/` and its pin.

    Args:
        workspace: Whose.
        objects: The ``files/md5`` folder of DVC's cache, where versions list their files.
        known: What files hold, as far as that is known.
    """

    def __init__(self, workspace: Workspace, objects: Path, known: KnownFiles) -> None:
        self._data, self._pin = workspace.data_dir, workspace.root / "data.dvc"
        self._journal = workspace.state_dir / "replaced"
        self._trash = workspace.state_dir / "staging"
        self._objects, self._known = objects, known

    def refuse_to_lose(self, looks: Looks = ALL_LOOKS) -> None:
        """Make sure that `data/` could be replaced without losing anything.

        Args:
            looks: Which pictures may not have been edited. Any other stays where it is: `replaced` looks at
                every file that it takes away.

        Raises:
            RefusedError: naming the files that no data version put there, or that were edited since.
        """
        if self._data.is_symlink():
            raise RefusedError(
                "data/ is a link, and maskloop replaces the folder when the data change",
                where=str(self._data),
                hint="Move the link out of the workspace and run the same command again",
            )
        known = self._versions(self._pin, self._journal / "next.dvc")
        self._refuse(self._data, known, _not_due(known, looks))

    @contextmanager
    def replaced(self, pin: str, looks: Looks = ALL_LOOKS) -> Iterator[None]:
        """Make `data/` what ``pin`` pins, whose objects lie in the cache; undone if the body raises.

        Args:
            pin: The text of the new `data.dvc`.
            looks: Which of the pictures that stay may not have been edited.

        Raises:
            RefusedError: if `data/` holds something of the user's.
            StorageError: if a file could not be moved or copied.
        """
        self._open_journal(pin)
        try:
            before, after = self._versions(self._pin), manifest(self._objects, find_md5(pin))
            found = self._refuse(self._data, before, _not_due([*before, after], looks))
            self._set_aside(name for name, md5 in found.items() if after.get(name) != md5)
            self._refuse(self._journal / "data", before)  # nobody can edit them from here on
            self._clear_left_by_desktops()
            self._fill({name: md5 for name, md5 in after.items() if found.get(name) != md5})
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

    def _set_aside(self, names: Iterable[str]) -> None:
        for name in names:
            _move(self._data, self._journal / "data", name)

    def _clear_left_by_desktops(self) -> None:
        for name in _names(self._data):
            if name.rpartition("/")[2] in _LEFT_BY_DESKTOPS:
                (self._data / name).unlink()

    def _fill(self, files: Mapping[str, str]) -> None:
        """Copy objects to `data/`, each in one step."""
        beside = self._journal / "copied"
        self._data.mkdir(exist_ok=True)
        for name, md5 in files.items():
            shutil.copyfile(object_file(self._objects, md5), beside)
            if self._known.read(beside) != md5:
                raise StorageError("a file was altered while it was copied", where=str(self._data / name))
            target = self._data / name
            target.parent.mkdir(parents=True, exist_ok=True)
            beside.replace(target)

    def _put_back(self) -> None:
        """Bring every file back that was set aside, and take out what only the new version has."""
        aside, pin = self._journal / "data", self._journal / "data.dvc"
        before, after = self._versions(pin), self._versions(self._journal / "next.dvc")
        if pinned_md5(pin) and not before:
            raise StorageError(
                "an interrupted change of data/ cannot be undone: the list of its files is gone",
                where=str(object_file(self._objects, pinned_md5(pin))),
                hint="Bring that file back from the DVC remote, where it has the same name, and run the same "
                "command again",
            )
        found = self._refuse(self._data, [*before, *after])
        for name in _names(aside):
            _move(aside, self._data, name)
            found.pop(name, None)
        old = {name for version in before for name in version}
        for name in found.keys() - old:
            (self._data / name).unlink()
            _remove_empty(self._data, (self._data / name).parent)
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

    def _versions(self, *pins: Path) -> list[dict[str, str]]:
        """Return the files of the versions that are pinned and whose lists are there."""
        md5s = [pinned_md5(pin) for pin in pins]
        return [manifest(self._objects, md5) for md5 in md5s if md5 and is_intact(self._objects, md5)]

    def _refuse(
        self,
        folder: Path,
        known: Sequence[Mapping[str, str]],
        unasked: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, str]:
        """Return the md5 of each file in a folder by its name, if every one is of a version.

        Files that are ``unasked`` are taken to hold what is given there, if they are files.
        """
        found = self._list_files(folder, known, unasked)
        foreign, edited = sort_out(found, known)
        if foreign or edited:
            raise RefusedError(
                _describe(foreign, edited),
                where=str(self._data),
                hint="Move them out of data/, which maskloop alone writes, and run the same command again",
            )
        return found

    def _list_files(
        self, folder: Path, known: Sequence[Mapping[str, str]], unasked: Mapping[str, str]
    ) -> dict[str, str]:
        """Map what lies in a folder to its md5, or to an empty string if it is not known by name."""
        names = set[str]().union(*known)
        found: dict[str, str] = {}
        for name, entry in _walk(folder):
            if entry.name in _LEFT_BY_DESKTOPS:
                continue
            if not entry.is_file():
                found[name] = ""
            elif name in unasked:
                found[name] = unasked[name]
            else:
                found[name] = self._known.md5(entry.path) if name in names else ""
        return found


def _not_due(versions: Sequence[Mapping[str, str]], looks: Looks) -> dict[str, str]:
    """Return the pictures, with their md5, that all versions have and that are not due."""
    if not versions:
        return {}
    due = looks.due(versions[-1].values())
    shared: Collection[tuple[str, str]] = versions[0].items()
    for files in versions[1:]:
        shared = files.items() & shared
    return {name: md5 for name, md5 in shared if md5 not in due and name.startswith(_PICTURES)}


def _walk(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the name of everything in a folder that is no folder."""
    below = [("", str(folder))] if folder.is_dir() else []
    while below:
        above, path = below.pop()
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    below.append((f"{above}{entry.name}/", entry.path))
                else:
                    yield f"{above}{entry.name}", entry


def _names(folder: Path) -> list[str]:
    return [name for name, _ in _walk(folder)]


def _move(source: Path, target: Path, name: str) -> None:
    """Move a file between folders, and leave no empty folder behind."""
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    (source / name).replace(target / name)
    _remove_empty(source, (source / name).parent)


def _remove_empty(root: Path, folder: Path) -> None:
    while folder != root:
        try:
            folder.rmdir()
        except OSError:  # something is in it
            return
        folder = folder.parent


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
    unknown: Collection[tuple[str, str]] = found.items()
    for each in known:
        unknown = set(unknown) - each.items()
    lost = sorted(name for name, _ in unknown)
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
