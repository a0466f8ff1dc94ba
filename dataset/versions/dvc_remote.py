"""The DVC remote, judged by what it gives back: DVC calls a remote in sync while objects are gone from it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from dataset.versions.dvc import local_remote, run_dvc, run_python, throwaway_repository
from dataset.versions.dvc_objects import damaged_objects, forget, is_intact, manifest
from dataset.versions.git import read_complaint
from maskloop.errors import StorageError, UnavailableError
from maskloop.wording import count
from maskloop.workspace import Workspace

_FORGET: Final = """
import sys
from dvc.repo import Repo

with Repo(".") as repository:
    objects = repository.cloud.get_remote_odb(command="push")
    for name in sys.argv[1:]:
        path = objects.oid_to_path(name)
        if objects.fs.exists(path):
            objects.fs.remove(path)
"""
"""DVC has no command that takes single objects out of a remote."""
_AT_ONCE: Final = 500


class DvcRemote:
    """The remote the settings name: a folder, or anything DVC can reach."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def damage(self, dvc_md5: str) -> tuple[str, ...]:
        """Re-hash a version's objects in the remote; return those that are missing or altered.

        Raises:
            UnavailableError: if the remote gives nothing at all.
        """
        folder = local_remote(self._workspace)
        if folder is not None:
            return damaged_objects(folder / "files" / "md5", dvc_md5)
        with throwaway_repository(self._workspace, Path("cache")) as repository:
            cache = repository / ".dvc" / "cache"
            self._fetch_into(repository, dvc_md5, cache)
            damage = damaged_objects(cache / "files" / "md5", dvc_md5)
            own = self._workspace.root / ".dvc" / "cache" / "files" / "md5"
            if damage == (dvc_md5,) and is_intact(
                own, dvc_md5
            ):  # DVC brings no list of files it cannot bring
                listed = sorted(set(manifest(own, dvc_md5).values()))
                damage = tuple(m for m in listed if not is_intact(cache / "files" / "md5", m)) or damage
            return damage

    def fetch(self, dvc_md5: str, cache: Path) -> None:
        """Bring a version's objects into a cache folder, as far as the remote has them.

        Raises:
            UnavailableError: if the remote gives nothing at all.
        """
        with throwaway_repository(self._workspace, cache) as repository:
            self._fetch_into(repository, dvc_md5, cache)

    def mend(self, dvc_md5: str, cache: Path) -> None:
        """Push a version again, as far as a cache folder has what the remote lacks. Raises like `push`."""
        with throwaway_repository(self._workspace, cache) as repository:
            _pin(repository, dvc_md5)
            self.push(repository, dvc_md5)

    def push(self, repository: Path, dvc_md5: str) -> None:
        """Push `data.dvc` of a repository until the remote gives back every object; mend it once.

        Raises:
            StorageError: if objects are missing or altered in the remote afterwards.
            UnavailableError: if the remote does not answer.
        """
        damage: tuple[str, ...] = ()
        for _ in range(2):
            run_dvc(self._workspace, repository, "push", "data.dvc")
            damage = self.damage(dvc_md5)
            if not damage:
                return
            self._forget(repository, (*damage, dvc_md5))  # DVC skips a push when it sees the .dir
        raise StorageError(
            f"{count(len(damage), 'file')} did not arrive in the DVC remote, or not whole",
            where=self._workspace.settings.data.remote,
            hint="See whether it has space left and may be written, and run the same command again",
        )

    def _fetch_into(self, repository: Path, dvc_md5: str, cache: Path) -> None:
        _pin(repository, dvc_md5)
        before = _num_files(cache)
        with suppress(StorageError):  # judged by what arrived, not by what DVC says
            run_dvc(self._workspace, repository, "fetch", "data.dvc")
        if local_remote(self._workspace) is None and _num_files(cache) == before:
            raise UnavailableError(
                "nothing could be fetched from the DVC remote", where=self._workspace.settings.data.remote
            )

    def _forget(self, repository: Path, names: Sequence[str]) -> None:
        folder = local_remote(self._workspace)
        if folder is not None:
            forget(folder / "files" / "md5", names)
            return
        for first in range(0, len(names), _AT_ONCE):
            some = names[first : first + _AT_ONCE]
            if said := run_python(self._workspace, repository, "-c", _FORGET, *some):
                reason, advice = read_complaint("DVC", said)
                raise StorageError(
                    f"damaged files could not be taken out of the DVC remote to be pushed again: {reason}",
                    where=self._workspace.settings.data.remote,
                    hint=advice,
                )


def _pin(repository: Path, dvc_md5: str) -> None:
    (repository / "data.dvc").write_text(f"outs:\n- md5: {dvc_md5}\n  hash: md5\n  path: data\n")


def _num_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))
