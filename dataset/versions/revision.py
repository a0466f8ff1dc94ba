"""Data versions: `data.dvc` in git, content in the DVC remote, a tag ``data-vN`` on top. DVC's only home.

A version comes about in this order: content, push, verify by re-hashing, commit, tag. DVC's exit codes say
nothing about a full disk or a damaged remote, so every step is judged by re-reading what it left behind. A
kill between any two steps leaves the previous version current, and the same command completes the next time.
"""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from dataset.labelled_pictures import DatasetVersion
from dataset.storage.dvc_objects import (
    find_md5,
    find_size,
    forget,
    is_intact,
    make_pin,
    manifest,
    md5_of,
    not_intact,
    object_file,
    pinned_md5,
    refill,
    store_file,
    write_manifest,
)
from dataset.storage.dvc_remote import DvcRemote
from dataset.storage.git import environment, git, run
from dataset.storage.known_files import KnownFiles
from dataset.storage.looks import MOST_DUE, Looks
from dataset.version_store import DatasetStore as DatasetStore
from dataset.version_store import next_tag, tag_number
from dataset.versions.catalog import (
    Catalog,
    catalog_file,
    fingerprint,
    in_order,
    read_catalog,
    write_catalog,
)
from dataset.versions.data_folder import DataFolder
from dataset.versions.releases import Recorded, Release, Releases
from dataset.versions.repository import init_workspace_repository, refuse_tracked_data
from dataset.versions.shelf import Shelf
from maskloop.errors import IntegrityError, MaskloopError, StorageError, UnavailableError
from maskloop.files import locked, storage_error, write_bytes
from maskloop.wording import count
from maskloop.workspace import Workspace


class DvcDatasetStore:
    """Data versions of one workspace, through git and DVC.

    Args:
        workspace: Whose.
        read_recorded: Says what versions other hosts have made; None if there is only this one.
        writing_alone: Keeps other hosts from making versions.
        most_due: About so many old files are looked at in each place when a version is made.
    """

    def __init__(
        self,
        workspace: Workspace,
        read_recorded: Callable[[], Recorded] | None = None,
        writing_alone: Callable[[], AbstractContextManager[object]] = nullcontext,
        most_due: int = MOST_DUE,
    ) -> None:
        self._workspace, self._writing_alone = workspace, writing_alone
        self._most_due = most_due
        self._root = workspace.root
        self._releases = Releases(workspace.root, read_recorded)
        self._cache_dir = self._root / ".dvc" / "cache"
        self._cache = self._cache_dir / "files" / "md5"
        self._known = KnownFiles(workspace.state_dir / "known-files.json")
        self._shelf = Shelf(workspace.datasets_dir, self._cache, self._known)
        self._folder = DataFolder(workspace, self._cache, self._known)
        self._remote = DvcRemote(workspace, self._known)
        self._opened: dict[str, DatasetVersion] = {}
        self._held = threading.local()
        self._has_looked = False

    def current(self) -> DatasetVersion | None:
        """Return the newest version that `data.dvc` pins; if it pins none, the newest of all."""
        releases = self._releases.all()
        pinned = pinned_md5(self._root / "data.dvc")
        matching = [tag for tag, release in releases.items() if release.dvc_md5 == pinned]
        found = self._releases.current_elsewhere() or [*releases, *matching][-1:]
        return self.open(*found) if found else None

    def versions(self) -> tuple[str, ...]:
        """Return all tags, oldest first."""
        return tuple(self._releases.all())

    def open(self, tag: str) -> DatasetVersion:
        """Return a version, its files lying read-only in the workspace's datasets folder.

        Raises:
            NotFoundError: if there is no such tag.
            IntegrityError: if what the tag names is not what was tagged.
            UnavailableError: if content has to be fetched and the remote does not answer.
        """
        release = self._releases.named(tag)
        opened = self._opened.get(tag)
        if opened and opened.fingerprint == release.fingerprint and opened.root.is_dir():
            return opened
        folder = self._lay_out(release)
        self._opened[tag] = version = _version(release, folder, _read_catalog(release, folder))
        return version

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Be the only writer, with an empty folder; what an interrupted writer left is cleared away."""
        with self._writing():
            self._releases.refuse_if_behind()
            staging_dir = self._workspace.state_dir / "staging"
            shutil.rmtree(staging_dir, ignore_errors=True)
            folder = staging_dir / uuid.uuid4().hex[:8]
            folder.mkdir(parents=True)
            try:
                yield folder
            finally:
                shutil.rmtree(staging_dir, ignore_errors=True)

    def refuse_to_lose(self) -> None:
        """Make sure that `data/` can be replaced. Raises RefusedError, naming what the user keeps there."""
        refuse_tracked_data(self._root)
        self._bring_lists()  # without its list of files all would look foreign
        self._folder.refuse_to_lose(self._looks_of(next_tag(self.versions())))
        self._has_looked = True

    def commit(self, staged_dir: Path, catalog: Catalog, message: str) -> DatasetVersion:
        """Make a catalog the next version: store what is new, push, verify, change `data/`, commit, tag.

        `data/` is not touched before the remote holds everything; after a failure it is as it was.

        Raises:
            RefusedError: if `data/` holds anything of the user's.
            StorageError: if not every byte arrived in the cache or the remote; the version does not exist.
            UnavailableError: if another writer, or the remote, keeps us waiting.
        """
        with self._writing():
            current = self.current()
            catalog = in_order(catalog, current.pictures if current else ())
            content = fingerprint(catalog.class_names, catalog.pictures)
            if current and current.fingerprint == content:
                return current
            catalog = write_catalog(staged_dir, catalog, before=current.catalog if current else None)
            pin = self._store(staged_dir, catalog, current)
            tag = next_tag(self.versions())
            looks = self._looks_of(tag)
            self._remote.push(find_md5(pin), self._cache, looks=looks)
            release = Release(tag, content, find_md5(pin), " ".join(message.split()))
            with self._folder.replaced(pin, looks):
                self._releases.commit(release)
            self._releases.tag(release, "HEAD")
            release = self._releases.named(tag)
            self._opened[tag] = version = _version(release, self._lay_out(release), catalog)
            return version

    def restore(self, tag: str) -> DatasetVersion:
        """Bring `data/` and `data.dvc` to a version; the next ingest builds on it. Raises like `open`.

        Raises:
            RefusedError: if `data/` holds anything of the user's.
        """
        version = self.open(tag)
        with self._writing():
            self._releases.refuse_if_behind()
            self._bring(self._releases.named(tag))
            pin = git(self._root, "show", f"{version.git_commit}:data.dvc")
            with self._folder.replaced(pin):
                pass
        return version

    def verify(self, tag: str, *, sample: int | None = None) -> tuple[str, ...]:
        """Re-hash what the version has in the remote, all or a sample; return what is missing or altered."""
        return self._remote.damage(self._releases.named(tag).dvc_md5, sample=sample)

    def mend(self, tag: str) -> None:
        """Make a version whole: in the remote, in DVC's cache and where it lies ready, all of it read again.

        Raises:
            NotFoundError: if there is no such version.
            StorageError: if files are missing or altered in the remote afterwards.
        """
        release = self._releases.named(tag)
        dvc_md5 = release.dvc_md5
        with self._writing():
            self._known.forget()
            altered = self._remote.damage(dvc_md5)
            with suppress(IntegrityError, UnavailableError):  # the push says what is missing in the end
                self._bring(release)
            if not is_intact(self._cache, dvc_md5):
                raise StorageError(
                    f"the list of the files of {tag} is lost",
                    where=str(object_file(self._cache, dvc_md5)),
                    hint="Bring the remote back from a backup",
                )
            self._remote.push(dvc_md5, self._cache, altered=altered)
            self._shelf.put_right(self._shelf.lacking(manifest(self._cache, dvc_md5)))

    def files_of(self, tag: str) -> dict[str, str]:
        """Map the md5 of each file of a version to its name, as far as DVC's cache tells."""
        dvc_md5 = self._releases.named(tag).dvc_md5
        if not is_intact(self._cache, dvc_md5):
            return {}
        return {md5: name for name, md5 in manifest(self._cache, dvc_md5).items()}

    def _prepare(self) -> None:
        init_workspace_repository(self._workspace)
        self._finish_interrupted()
        if not self._has_looked:  # just before; `DataFolder.replaced` looks again before it touches a file
            self.refuse_to_lose()
        self._has_looked = False

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if getattr(self._held, "writing", False):
            yield
            return
        with locked(self._workspace.locks_dir / "data.lock", what="the data set"), self._writing_alone():
            self._held.writing = True
            try:
                self._prepare()
                yield
            finally:
                self._held.writing = False
                self._known.save()

    def _finish_interrupted(self) -> None:
        """Undo a change of `data/` that was not committed, and tag a version that was."""
        committed = run(("git", "show", "HEAD:data.dvc"), self._root, environment()).stdout
        self._bring_lists()
        self._folder.undo_interrupted(find_md5(committed))
        self._releases.tag_committed()

    def _store(self, staged_dir: Path, catalog: Catalog, current: DatasetVersion | None) -> str:
        """Put what a version has and the current one has not into the cache; return its pin."""
        old: Mapping[str, str] = {}
        if current:
            self._bring(self._releases.named(current.tag), ())
            old = manifest(self._cache, current.dvc_md5)
        lists = [catalog_file(number) for number in range(len(catalog.files))]
        written = [name for name in lists if (staged_dir / name).exists()]
        names = [picture.file for picture in catalog.pictures]
        files = {name: old[name] for name in (*names, *lists) if name in old and name not in written}
        pin = self._root / "data.dvc"
        told = pin.read_text() if pin.exists() else ""
        size_bytes = _kept_bytes(current, old, files, told) if current else 0
        for name in (*written, *(name for name in names if name not in old)):
            try:
                staged = staged_dir / name
                files[name] = md5_of(staged)
                size_bytes += staged.stat().st_size
                store_file(self._cache, staged, files[name], is_moved=True)
            except OSError as error:
                raise storage_error(error, staged_dir / name) from error
        dvc_md5 = write_manifest(self._cache, files)
        stored = [md5 for name, md5 in files.items() if old.get(name) != md5]
        if damage := not_intact(self._cache, (*stored, dvc_md5), self._known.read):
            forget(self._cache, (*damage, dvc_md5))
            raise StorageError(
                f"{count(len(damage), 'file')} did not arrive in DVC's cache",
                where=str(self._cache),
                hint="free some space and run the same command again",
            )
        return make_pin(dvc_md5, num_files=len(files), size_bytes=size_bytes)

    def _lay_out(self, release: Release) -> Path:
        """Return a version's folder, its files lying ready."""
        with locked(self._workspace.locks_dir / "datasets.lock", what="the folder of data versions"):
            folder = self._workspace.datasets_dir / release.tag
            if not folder.is_dir():
                self._bring(release, ())
                files = manifest(self._cache, release.dvc_md5)
                lacking = self._shelf.lacking(files, self._looks_of(release.tag))
                self._bring(release, lacking.values())
                self._shelf.lay_out(release.tag, lacking)
                self._known.save()
            return folder

    def _looks_of(self, tag: str) -> Looks:
        return Looks(tag_number(tag), self._most_due)

    def _bring(self, release: Release, hashes: Collection[str] | None = None) -> None:
        """Make sure of objects in DVC's cache: from `data/`, or from the remote.

        Args:
            release: The version they belong to. Its list of files is brought in any case.
            hashes: None for all of its files.

        Raises:
            IntegrityError: if the remote has not got them either.
            UnavailableError: if it does not answer.
        """

        def find_damage() -> tuple[str, ...]:
            if not is_intact(self._cache, release.dvc_md5):
                return (release.dvc_md5,)
            wanted = manifest(self._cache, release.dvc_md5).values() if hashes is None else hashes
            return not_intact(self._cache, sorted(set(wanted)), self._known.md5)

        damage = find_damage()
        if damage:
            forget(self._cache, damage)
            refill(self._cache, release.dvc_md5, self._workspace.data_dir)
            damage = find_damage()
        if damage:
            list_file = object_file(self._cache, release.dvc_md5)
            kept = list_file.read_bytes() if release.dvc_md5 not in damage else b""
            forget(self._cache, (*damage, release.dvc_md5))  # DVC asks for no file of a list that it has
            try:
                self._remote.fetch(release.dvc_md5, self._cache_dir)
            finally:
                if kept and not list_file.exists():
                    write_bytes(list_file, kept)
            damage = find_damage()
        if damage:
            raise IntegrityError(
                f"{count(len(damage), 'file')} of {release.tag} are missing or altered in the DVC remote",
                where=self._workspace.settings.data.remote,
                hint="Bring the remote back from a backup, or go on from an older version with "
                "`maskloop data restore`. A workspace that still has the files mends it by "
                f"`maskloop data verify {release.tag} --mend`",
            )

    def _bring_lists(self) -> None:
        """Fetch the lists of files that a change of `data/` is judged by, where the cache has lost them."""
        journal = self._workspace.state_dir / "replaced"
        pins = (self._root / "data.dvc", journal / "data.dvc", journal / "next.dvc")
        for dvc_md5 in filter(None, map(pinned_md5, pins)):
            if not is_intact(self._cache, dvc_md5):
                with suppress(MaskloopError):
                    self._remote.fetch(dvc_md5, self._cache_dir)


def _kept_bytes(
    current: DatasetVersion, old: Collection[str], kept: Collection[str], current_pin: str
) -> int:
    """Return the size of the files that are kept; only the others are looked at, if that is enough."""
    told_bytes = find_size(current_pin) if find_md5(current_pin) == current.dvc_md5 else None
    asked = kept if told_bytes is None else [name for name in old if name not in kept]
    asked_bytes = sum((current.root / name).stat().st_size for name in asked)
    return asked_bytes if told_bytes is None else told_bytes - asked_bytes


def _read_catalog(release: Release, folder: Path) -> Catalog:
    catalog = read_catalog(folder)
    if fingerprint(catalog.class_names, catalog.pictures) != release.fingerprint:
        raise IntegrityError(
            f"{release.tag} is not what was tagged: its fingerprint differs",
            where=str(folder),
            hint="delete this folder; it is made again from the DVC cache",
        )
    return catalog


def _version(release: Release, folder: Path, catalog: Catalog) -> DatasetVersion:
    return DatasetVersion(
        tag=release.tag,
        fingerprint=release.fingerprint,
        dvc_md5=release.dvc_md5,
        git_commit=release.git_commit,
        class_names=catalog.class_names,
        pictures=catalog.pictures,
        root=folder,
        conversion=catalog.conversion,
        difference_hashes=catalog.difference_hashes,
        catalog_files=catalog.files,
    )
