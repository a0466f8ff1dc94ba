"""Versions that lie ready: a folder for each with its catalog, and one with the pictures of them all.

A picture's file is called by its digest, so versions that hold the same picture share the file. A version's
folder has a link ``images`` to those of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dataset.storage.dvc_objects import link_or_copy, object_file
from dataset.storage.known_files import KnownFiles
from dataset.storage.looks import ALL_LOOKS, Looks, list_divided
from maskloop.files import directory_written_atomically, storage_error

_PICTURES: Final = "images"
_BELOW: Final = f"{_PICTURES}/"


class Shelf:
    """The workspace's folder of opened versions.

    Args:
        root: The folder.
        objects: The ``files/md5`` folder of DVC's cache.
        known: What files hold, as far as that is known.
    """

    def __init__(self, root: Path, objects: Path, known: KnownFiles) -> None:
        self._root, self._objects, self._known = root, objects, known

    def lacking(self, files: Mapping[str, str], looks: Looks = ALL_LOOKS) -> dict[str, str]:
        """Return those files of a version, with their md5, that do not lie ready and unaltered.

        Their objects have to be in the cache before they can be put there.

        Args:
            files: The md5 of each file by its name.
            looks: Which pictures may not be altered; the others only have to be there, since whoever reads a
                picture compares its digest.
        """
        due = looks.due(files.values())
        there = list_divided(self._root / _PICTURES) if len(due) < len(files) else set[str]()
        return {
            name: md5
            for name, md5 in files.items()
            if not _is_picture(name)
            or not (self._is_ready(name, md5) if md5 in due else name.removeprefix(_BELOW) in there)
        }

    def lay_out(self, tag: str, lacking: Mapping[str, str]) -> None:
        """Make a version's folder in one step, from what `lacking` returned for its files.

        Raises:
            StorageError: if it could not be written.
        """
        self.put_right(lacking)
        (self._root / _PICTURES).mkdir(parents=True, exist_ok=True)
        with directory_written_atomically(self._root / tag) as folder:
            (folder / _PICTURES).symlink_to(Path("..") / _PICTURES, target_is_directory=True)
            for name, md5 in lacking.items():
                if not _is_picture(name):
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    link_or_copy(object_file(self._objects, md5), folder / name)
                    (folder / name).chmod(0o444)

    def put_right(self, lacking: Mapping[str, str]) -> None:
        """Put pictures there that `lacking` returned. Raises StorageError."""
        for name, md5 in lacking.items():
            if _is_picture(name):
                self._put(self._root / name, md5)

    def _is_ready(self, name: str, md5: str) -> bool:
        try:
            return self._known.md5(f"{self._root}/{name}") == md5
        except OSError:
            return False

    def _put(self, target: Path, md5: str) -> None:
        beside = target.with_name(f".{target.name}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            beside.unlink(missing_ok=True)
            link_or_copy(object_file(self._objects, md5), beside)
            beside.chmod(0o444)
            beside.replace(target)
        except OSError as error:
            raise storage_error(error, target) from error


def _is_picture(name: str) -> bool:
    return name.startswith(_BELOW)
