"""Data versions: `data.dvc` in git, content in the DVC remote, a tag ``data-vN`` on top. DVC's only home.

A version comes about in this order: content, push, verify by re-hashing, commit, tag. DVC's exit codes say
nothing about a full disk or a damaged remote, so every step is judged by re-reading what it left behind. A
kill between any two steps leaves the previous version current, and the same command completes the next time.
"""

from __future__ import annotations

import json
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataset.labelled_pictures import DatasetVersion
from dataset.version_store import DatasetStore as DatasetStore
from dataset.version_store import next_tag, tag_number
from dataset.versions.catalog import fingerprint, read_catalog
from dataset.versions.data_folder import DataFolder
from dataset.versions.dvc import prepare_repository, run_dvc, throwaway_repository
from dataset.versions.dvc_objects import (
    damaged_objects,
    find_md5,
    forget,
    is_intact,
    link_or_copy,
    manifest,
    object_file,
    pinned_md5,
    refill,
)
from dataset.versions.dvc_remote import DvcRemote
from dataset.versions.git import environment, git, identity, run
from maskloop.digest import canonical_json
from maskloop.errors import IntegrityError, MaskloopError, NotFoundError, RefusedError, StorageError
from maskloop.files import directory_written_atomically, locked, write_text
from maskloop.wording import count
from maskloop.workspace import Workspace

_RECORD_LINE: Final = "maskloop-data: "
_IGNORED: Final = ("/data", "/.maskloop/")
_COMMITTED: Final = ("data.dvc", ".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore")


@dataclass(frozen=True)
class _Release:
    """What a tag's message records, and the commit it names."""

    tag: str
    fingerprint: str
    dvc_md5: str
    message: str
    git_commit: str = ""

    def to_json(self) -> str:
        fields = ("tag", "fingerprint", "dvc_md5", "message")
        return canonical_json({name: getattr(self, name) for name in fields})


class DvcDatasetStore:
    """Data versions of one workspace, through git and DVC."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._root = workspace.root
        self._cache_dir = self._root / ".dvc" / "cache"
        self._cache = self._cache_dir / "files" / "md5"
        self._folder, self._remote = DataFolder(workspace, self._cache), DvcRemote(workspace)
        self._opened: dict[str, DatasetVersion] = {}
        self._held = threading.local()

    def current(self) -> DatasetVersion | None:
        """Return the newest version that `data.dvc` pins; if it pins none, the newest of all."""
        releases = self._releases()
        if not releases:
            return None
        pinned = pinned_md5(self._root / "data.dvc")
        matching = [tag for tag, release in releases.items() if release.dvc_md5 == pinned]
        return self.open(matching[-1] if matching else list(releases)[-1])

    def versions(self) -> tuple[str, ...]:
        """Return all tags, oldest first."""
        return tuple(self._releases())

    def open(self, tag: str) -> DatasetVersion:
        """Return a version, its files lying read-only in the workspace's datasets folder.

        Raises:
            NotFoundError: if there is no such tag.
            IntegrityError: if what the tag names is not what was tagged.
            UnavailableError: if content has to be fetched and the remote does not answer.
        """
        release = self._release(tag)
        known = self._opened.get(tag)
        if known and known.fingerprint == release.fingerprint and known.root.is_dir():
            return known
        folder = self._workspace.datasets_dir / tag
        with locked(self._workspace.locks_dir / "datasets.lock", what="the folder of data versions"):
            if not folder.is_dir():
                self._materialise(release, folder)
        version = _read_version(release, folder)
        self._opened[tag] = version
        return version

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Be the only writer, with an empty folder; what an interrupted writer left is cleared away."""
        with self._writing():
            staging_dir = self._workspace.state_dir / "staging"
            shutil.rmtree(staging_dir, ignore_errors=True)
            folder = staging_dir / uuid.uuid4().hex[:8]
            folder.mkdir(parents=True)
            try:
                self._prepare()
                yield folder
            finally:
                shutil.rmtree(staging_dir, ignore_errors=True)

    def refuse_to_lose(self) -> None:
        """Make sure that `data/` can be replaced. Raises RefusedError, naming what the user keeps there."""
        refuse_tracked_data(self._root)
        pinned = pinned_md5(self._root / "data.dvc")
        if pinned and not is_intact(self._cache, pinned):  # without its list of files all would look foreign
            with suppress(MaskloopError):
                self._remote.fetch(pinned, self._cache_dir)
        self._folder.refuse_to_lose()

    def commit(self, staged_dir: Path, message: str) -> DatasetVersion:
        """Make the staged folder the next version: add, push, verify, move to `data/`, commit, tag.

        `data/` is not touched before the remote holds everything; after a failure it is as it was.

        Raises:
            RefusedError: if `data/` holds anything of the user's.
            StorageError: if not every byte arrived in the cache or the remote; the version does not exist.
            UnavailableError: if another writer, or the remote, keeps us waiting.
        """
        with self._writing():
            self._prepare()
            catalog = read_catalog(staged_dir)
            content = fingerprint(catalog.class_names, catalog.pictures)
            current = self.current()
            if current and current.fingerprint == content:
                return current
            with throwaway_repository(self._workspace, self._cache_dir) as repository:
                staged_dir.rename(repository / "data")
                dvc_md5 = self._add(repository)
                self._remote.push(repository, dvc_md5)
                release = _Release(next_tag(self.versions()), content, dvc_md5, " ".join(message.split()))
                pin = (repository / "data.dvc").read_text()
                with self._folder.replaced(repository / "data", pin):
                    self._commit_files(release)
            self._tag(release, "HEAD")
            return self.open(release.tag)

    def restore(self, tag: str) -> DatasetVersion:
        """Bring `data/` and `data.dvc` to a version; the next ingest builds on it. Raises like `open`.

        Raises:
            RefusedError: if `data/` holds anything of the user's.
        """
        version = self.open(tag)
        with self.staging() as folder:
            restored = folder / "data"
            shutil.copytree(version.root, restored)
            pin = git(self._root, "show", f"{version.git_commit}:data.dvc")
            with self._folder.replaced(restored, pin):
                pass
        return version

    def verify(self, tag: str) -> tuple[str, ...]:
        """Re-hash everything the version has in the remote; return what is missing or altered."""
        return self._remote.damage(self._release(tag).dvc_md5)

    def mend(self, tag: str) -> None:
        """Push a version again from DVC's cache or from `data/`, where the remote has lost any of it.

        Raises:
            NotFoundError: if there is no such version.
            StorageError: if files are missing or altered in the remote afterwards.
        """
        dvc_md5 = self._release(tag).dvc_md5
        with self._writing():
            if damaged_objects(self._cache, dvc_md5):
                refill(self._cache, dvc_md5, self._workspace.data_dir)
            self._remote.mend(dvc_md5, self._cache_dir)

    def files_of(self, tag: str) -> dict[str, str]:
        """Map the md5 of each file of a version to its name, as far as DVC's cache tells."""
        dvc_md5 = self._release(tag).dvc_md5
        if not is_intact(self._cache, dvc_md5):
            return {}
        return {md5: name for name, md5 in manifest(self._cache, dvc_md5).items()}

    def _prepare(self) -> None:
        init_workspace_repository(self._workspace)
        self._finish_interrupted()
        self.refuse_to_lose()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if getattr(self._held, "writing", False):
            yield
            return
        with locked(self._workspace.locks_dir / "data.lock", what="the data set"):
            self._held.writing = True
            try:
                yield
            finally:
                self._held.writing = False

    def _releases(self) -> dict[str, _Release]:
        if not (self._root / ".git").exists():
            return {}
        form = "%(refname:short)%09%(*objectname)%09%(contents:subject)"
        lines = git(self._root, "for-each-ref", f"--format={form}", "refs/tags/data-v*").splitlines()
        found = [_parse_release(*line.split("\t", 2)) for line in lines]
        known = [release for release in found if release is not None]
        return {release.tag: release for release in sorted(known, key=lambda r: tag_number(r.tag))}

    def _release(self, tag: str) -> _Release:
        releases = self._releases()
        if tag not in releases:
            known = ", ".join(releases) or "none yet"
            raise NotFoundError(f"there is no data version {tag}", hint=f"known: {known}")
        return releases[tag]

    def _finish_interrupted(self) -> None:
        """Tag a version that was committed (hence pushed and verified) before a crash."""
        committed = run(("git", "show", "HEAD:data.dvc"), self._root, environment()).stdout
        self._folder.undo_interrupted(find_md5(committed))
        if git(self._root, "rev-list", "-n1", "--all") == "":
            return
        log = git(self._root, "log", "-1", f"--grep=^{_RECORD_LINE}", "--format=%H%n%B").splitlines()
        records = [line.removeprefix(_RECORD_LINE) for line in log if line.startswith(_RECORD_LINE)]
        if records:
            release = _Release(**json.loads(records[-1]))
            if release.tag not in self._releases():
                self._tag(release, log[0])

    def _add(self, repository: Path) -> str:
        """Add `data/` to the DVC cache; return the .dir hash after re-hashing every object."""
        run_dvc(self._workspace, repository, "add", "data")
        dvc_md5 = pinned_md5(repository / "data.dvc")
        damage = damaged_objects(self._cache, dvc_md5)
        if damage:
            forget(self._cache, (*damage, dvc_md5))
            raise StorageError(
                f"{len(damage)} files did not arrive in DVC's cache",
                where=str(self._cache),
                hint="free some space and run the same command again",
            )
        return dvc_md5

    def _commit_files(self, release: _Release) -> None:
        paths = [path for path in _COMMITTED if (self._root / path).exists()]
        git(self._root, "add", "--force", "--", *paths)
        text = f"{release.tag}: {release.message}\n\n{_RECORD_LINE}{release.to_json()}"
        options = ("--quiet", "--no-verify", "--allow-empty", "-m", text)
        git(self._root, *identity(self._root), "commit", *options, "--", *paths)

    def _tag(self, release: _Release, commit: str) -> None:
        options = ("--annotate", "--message", release.to_json(), release.tag, commit)
        git(self._root, *identity(self._root), "tag", *options)

    def _materialise(self, release: _Release, folder: Path) -> None:
        """Link the version's files from DVC's cache, after re-hashing them; fetch what is missing."""
        damage = damaged_objects(self._cache, release.dvc_md5)
        if damage:
            forget(self._cache, damage)
            refill(self._cache, release.dvc_md5, self._workspace.data_dir)
            damage = damaged_objects(self._cache, release.dvc_md5)
        if damage:
            forget(self._cache, (*damage, release.dvc_md5))
            self._remote.fetch(release.dvc_md5, self._cache_dir)
            damage = damaged_objects(self._cache, release.dvc_md5)
        if damage:
            raise IntegrityError(
                f"{count(len(damage), 'file')} of {release.tag} are missing or altered in the DVC remote",
                where=self._workspace.settings.data.remote,
                hint="Bring the remote back from a backup, or go on from an older version with "
                "`maskloop data restore`. A workspace that still has the files mends it by "
                f"`maskloop data verify {release.tag} --mend`",
            )
        with directory_written_atomically(folder) as beside:
            for name, md5 in manifest(self._cache, release.dvc_md5).items():
                (beside / name).parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(object_file(self._cache, md5), beside / name)
                (beside / name).chmod(0o444)


def init_workspace_repository(workspace: Workspace) -> None:
    """Make the workspace a git and DVC repository with its remote, as far as it is not one yet."""
    root = workspace.root
    root.mkdir(parents=True, exist_ok=True)
    refuse_tracked_data(root)
    if not (root / ".git").exists():
        git(root, "init", "--quiet")
    ignore_file = root / ".gitignore"
    lines = ignore_file.read_text().splitlines() if ignore_file.exists() else []
    missing = [line for line in _IGNORED if line not in lines]
    if missing:
        write_text(ignore_file, "\n".join([*lines, *missing]) + "\n")
    prepare_repository(workspace)


def refuse_tracked_data(root: Path) -> None:
    """Raise RefusedError if git tracks files below `data/`, which maskloop keeps in DVC instead."""
    if not (root / ".git").exists():
        return
    tracked = git(root, "ls-files", "-z", "--", "data").split("\0")[:-1]
    if tracked:
        raise RefusedError(
            f"git tracks {len(tracked)} files below data/, which maskloop alone writes: {tracked[0]}, ...",
            where=str(root),
            hint="Move them, for example by `git mv data raw` and a commit, and run the same command again",
        )


def _parse_release(tag: str, commit: str, subject: str) -> _Release | None:
    try:
        record = json.loads(subject)
        return _Release(tag, record["fingerprint"], record["dvc_md5"], record["message"], commit)
    except (ValueError, KeyError, TypeError):
        return None  # somebody else's tag, which happens to be called like ours


def _read_version(release: _Release, folder: Path) -> DatasetVersion:
    catalog = read_catalog(folder)
    if fingerprint(catalog.class_names, catalog.pictures) != release.fingerprint:
        raise IntegrityError(
            f"{release.tag} is not what was tagged: its fingerprint differs",
            where=str(folder),
            hint="delete this folder; it is made again from the DVC cache",
        )
    return DatasetVersion(
        tag=release.tag,
        fingerprint=release.fingerprint,
        dvc_md5=release.dvc_md5,
        git_commit=release.git_commit,
        class_names=catalog.class_names,
        pictures=catalog.pictures,
        root=folder,
        conversion=catalog.conversion,
    )
