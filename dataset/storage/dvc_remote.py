"""The DVC remote, judged by what it gives back: DVC calls a remote in sync while objects are gone from it.

A push sends what the remote lacks and reads that back. Objects that were there are not read again: those in a
folder count as whole while the file is as it was when it was read (`KnownFiles`), others while the remote
lists them with their size. `damage` reads everything.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from dataset.storage.dvc import ask_dvc, local_remote, run_dvc, throwaway_repository
from dataset.storage.dvc_objects import (
    damaged_objects,
    is_intact,
    manifest,
    not_intact,
    object_file,
    store_file,
)
from dataset.storage.known_files import KnownFiles
from maskloop.errors import StorageError, UnavailableError
from maskloop.files import storage_error
from maskloop.wording import count
from maskloop.workspace import Workspace

_EXCHANGE: Final = """
import json, os, sys
from dvc.repo import Repo
from dvc_objects.fs.local import LocalFileSystem

asked = json.load(sys.stdin)
sizes, altered = asked["sizes"], set(asked["altered"])
with Repo(".") as repository:
    objects = repository.cloud.get_remote_odb(command="push")
    try:
        listed = objects.fs.fs.find(objects.path, detail=True)
        if not isinstance(listed, dict):  # DVC's own file system tells no details here
            listed = {path: objects.fs.info(path) for path in listed}
        there = {objects.path_to_oid(path): one["size"] for path, one in listed.items()}
    except FileNotFoundError:
        there = {}
    except (NotImplementedError, ValueError):  # a remote of this kind cannot be listed
        there = {name: sizes.get(name) for name in objects.list_oids_exists(asked["names"])}
    lacking = [
        name for name in asked["names"]
        if name in altered or name not in there or there[name] not in (None, sizes.get(name, there[name]))
    ]
    sent = [name for name in lacking if name in sizes]
    for name in sent:
        if name in there:
            objects.fs.remove(objects.oid_to_path(name))
    for is_list in (False, True):  # the list of files comes last
        if names := [name for name in sent if name.endswith(".dir") == is_list]:
            files, back = (
                [os.path.join(asked[place], name[:2], name[2:]) for name in names]
                for place in ("cache", "back")
            )
            objects.add(files, LocalFileSystem(), names, check_exists=False)
            for file in back:
                os.makedirs(os.path.dirname(file), exist_ok=True)
            objects.fs.get([objects.oid_to_path(name) for name in names], back)
    print()
    print(json.dumps(lacking))
"""
"""DVC has no command that takes single objects out of a remote, or pushes some without asking for others."""
_ATTEMPTS: Final = 2


class DvcRemote:
    """The remote the settings name: a folder, or anything DVC can reach.

    Args:
        workspace: Whose.
        known: What its files hold, as far as that is known.
    """

    def __init__(self, workspace: Workspace, known: KnownFiles) -> None:
        self._workspace, self._known = workspace, known

    def damage(self, dvc_md5: str) -> tuple[str, ...]:
        """Re-hash a version's objects in the remote; return those that are missing or altered.

        Raises:
            UnavailableError: if the remote gives nothing at all.
        """
        folder = local_remote(self._workspace)
        if folder is not None:
            return damaged_objects(folder / "files" / "md5", dvc_md5, self._known.read)
        with throwaway_repository(self._workspace, Path("cache")) as repository:
            cache = repository / ".dvc" / "cache"
            self._fetch_into(repository, dvc_md5, cache)
            damage = damaged_objects(cache / "files" / "md5", dvc_md5)
            own = self._workspace.root / ".dvc" / "cache" / "files" / "md5"
            if damage == (dvc_md5,) and is_intact(
                own, dvc_md5
            ):  # DVC brings no list of files it cannot bring
                listed = sorted(set(manifest(own, dvc_md5).values()))
                damage = not_intact(cache / "files" / "md5", listed) or damage
            return damage

    def fetch(self, dvc_md5: str, cache: Path) -> None:
        """Bring a version's objects into a cache folder, as far as the remote has them.

        Raises:
            UnavailableError: if the remote gives nothing at all.
        """
        with throwaway_repository(self._workspace, cache) as repository:
            self._fetch_into(repository, dvc_md5, cache)

    def push(self, dvc_md5: str, cache: Path, *, altered: Collection[str] = ()) -> None:
        """Send what the remote lacks of a version until it gives that back; a failure is mended once.

        Args:
            dvc_md5: The version's list of files, which lies in the cache.
            cache: The ``files/md5`` folder of DVC's cache.
            altered: Objects that are known to be damaged in the remote.

        Raises:
            StorageError: if objects are missing or altered in the remote afterwards.
            UnavailableError: if the remote does not answer.
        """
        names = (*sorted(set(manifest(cache, dvc_md5).values())), dvc_md5)
        folder = local_remote(self._workspace)
        damage: tuple[str, ...] = ()
        for _ in range(_ATTEMPTS):
            if folder is not None:
                damage = self._send_to_folder(folder / "files" / "md5", names, cache)
            else:
                damage = self._exchange(names, cache, altered)
            if not damage:
                return
            altered = damage
        raise StorageError(
            f"{count(len(damage), 'file')} did not arrive in the DVC remote, or not whole",
            where=self._workspace.settings.data.remote,
            hint="See whether it has space left and may be written, and run the same command again",
        )

    def _send_to_folder(self, objects: Path, names: Sequence[str], cache: Path) -> tuple[str, ...]:
        """Copy what a folder lacks; return what is missing or altered there afterwards."""
        lacking = not_intact(objects, names, self._known.md5)
        lost = not_intact(cache, lacking, self._known.md5)
        for name in lacking:
            if name in lost or (lost and name == names[-1]):  # the list of files comes when they are there
                continue
            try:
                store_file(objects, object_file(cache, name), name)
            except OSError as error:
                raise storage_error(error, object_file(objects, name)) from error
        return not_intact(objects, lacking, self._known.md5)

    def _exchange(self, names: Sequence[str], cache: Path, altered: Collection[str]) -> tuple[str, ...]:
        """Send what a remote lacks and read that back; return what is missing or altered there afterwards."""
        files = ((name, object_file(cache, name)) for name in names)
        sizes = {name: file.stat().st_size for name, file in files if file.is_file()}
        with throwaway_repository(self._workspace, Path("cache")) as repository:
            back = repository / "back"
            question = {
                "names": names,
                "sizes": sizes,
                "altered": [*altered],
                "cache": str(cache),
                "back": str(back),
            }
            return not_intact(back, ask_dvc(self._workspace, repository, _EXCHANGE, question))

    def _fetch_into(self, repository: Path, dvc_md5: str, cache: Path) -> None:
        _pin(repository, dvc_md5)
        before = _num_files(cache)
        with suppress(StorageError):  # judged by what arrived, not by what DVC says
            run_dvc(self._workspace, repository, "fetch", "data.dvc")
        if local_remote(self._workspace) is None and _num_files(cache) == before:
            raise UnavailableError(
                "nothing could be fetched from the DVC remote", where=self._workspace.settings.data.remote
            )


def _pin(repository: Path, dvc_md5: str) -> None:
    (repository / "data.dvc").write_text(f"outs:\n- md5: {dvc_md5}\n  hash: md5\n  path: data\n")


def _num_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))
