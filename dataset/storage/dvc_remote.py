"""The DVC remote, judged by what it gives back: DVC calls a remote in sync while objects are gone from it.

A push sends what the remote lacks and reads that back. Objects that were there are not read again: in a
folder they have to be there, and those that are due (`Looks`) as they were when they were read
(`KnownFiles`), and other remotes have to list them with their size. `damage` reads everything.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
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
from dataset.storage.looks import ALL_LOOKS, Looks, list_divided
from dataset.storage.remote_scripts import EXCHANGE, SAMPLE
from maskloop.errors import StorageError, UnavailableError
from maskloop.files import storage_error
from maskloop.wording import count
from maskloop.workspace import Workspace

_ATTEMPTS: Final = 2


class DvcRemote:
    """The remote the settings name: a folder, or anything DVC can reach.

    Args:
        workspace: Whose.
        known: What its files hold, as far as that is known.
    """

    def __init__(self, workspace: Workspace, known: KnownFiles) -> None:
        self._workspace, self._known = workspace, known

    def damage(self, dvc_md5: str, *, sample: int | None = None) -> tuple[str, ...]:
        """Re-hash a version's objects in the remote; return those that are missing or altered.

        Args:
            dvc_md5: The version's list of files.
            sample: So many are re-hashed, drawn at random, and the others judged by what the remote says of
                them: that they are there, their size, and in S3 the md5 they were sent with. None for all.

        Raises:
            UnavailableError: if the remote gives nothing at all.
        """
        folder = local_remote(self._workspace)
        if folder is not None:
            return self._damage_of_folder(folder / "files" / "md5", dvc_md5, sample)
        if sample is not None:
            return self._damage_of_sample(dvc_md5, sample)
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

    def _damage_of_folder(self, objects: Path, dvc_md5: str, sample: int | None) -> tuple[str, ...]:
        if sample is None or not is_intact(objects, dvc_md5):
            return damaged_objects(objects, dvc_md5, self._known.read)
        names = sorted(set(manifest(objects, dvc_md5).values()))
        drawn = SystemRandom().sample(names, min(sample, len(names)))
        damage = {*not_intact(objects, names, self._known.md5), *not_intact(objects, drawn, self._known.read)}
        return tuple(sorted(damage))

    def _damage_of_sample(self, dvc_md5: str, sample: int) -> tuple[str, ...]:
        """Judge a remote's objects by what it says of them, and read a sample of them."""
        own = self._workspace.root / ".dvc" / "cache" / "files" / "md5"
        names = sorted(set(manifest(own, dvc_md5).values())) if is_intact(own, dvc_md5) else []
        files = {name: object_file(own, name) for name in names}
        with throwaway_repository(self._workspace, Path("cache")) as repository:
            back = repository / "back"
            question = {
                "list": dvc_md5,
                "sizes": {name: file.stat().st_size for name, file in files.items() if file.is_file()},
                "sample": sample,
                "back": str(back),
            }
            answer = ask_dvc(self._workspace, repository, SAMPLE, question)
            return tuple(sorted({*answer["missing"], *not_intact(back, answer["read"])}))

    def fetch(self, dvc_md5: str, cache: Path) -> None:
        """Bring a version's objects into a cache folder, as far as the remote has them.

        Raises:
            UnavailableError: if the remote gives nothing at all.
        """
        with throwaway_repository(self._workspace, cache) as repository:
            self._fetch_into(repository, dvc_md5, cache)

    def push(
        self, dvc_md5: str, cache: Path, *, altered: Collection[str] = (), looks: Looks = ALL_LOOKS
    ) -> None:
        """Send what the remote lacks of a version until it gives that back; a failure is mended once.

        Args:
            dvc_md5: The version's list of files, which lies in the cache.
            cache: The ``files/md5`` folder of DVC's cache.
            altered: Objects that are known to be damaged in the remote.
            looks: Which objects in a folder are looked at; the others only have to be there.

        Raises:
            StorageError: if objects are missing or altered in the remote afterwards.
            UnavailableError: if the remote does not answer.
        """
        names = (*sorted(set(manifest(cache, dvc_md5).values())), dvc_md5)
        folder = local_remote(self._workspace)
        damage: tuple[str, ...] = ()
        for _ in range(_ATTEMPTS):
            if folder is not None:
                damage = self._send_to_folder(folder / "files" / "md5", names, cache, looks)
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

    def _send_to_folder(
        self, objects: Path, names: Sequence[str], cache: Path, looks: Looks
    ) -> tuple[str, ...]:
        """Copy what a folder lacks; return what is missing or altered there afterwards."""
        due = looks.due(names)
        there = list_divided(objects) if len(due) < len(names) else set[str]()
        lacking = tuple(
            name
            for name in names
            if not (
                is_intact(objects, name, self._known.md5)
                if name in due
                else f"{name[:2]}/{name[2:]}" in there
            )
        )
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
        """Send what a remote lacks and judge that; return what is missing or altered there afterwards."""
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
            answer = ask_dvc(self._workspace, repository, EXCHANGE, question)
            told = {*answer["told"]}
            return not_intact(back, [name for name in answer["lacking"] if name not in told])

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
