"""Data versions: `data.dvc` in git, content in the DVC remote, a tag ``data-vN`` on top. DVC's only home.

A version comes about in this order: content, push, verify by re-hashing, commit, tag. DVC's exit codes say
nothing about a full disk or a damaged remote, so every step is judged by re-reading what it left behind. A
kill between any two steps leaves the previous version current, and the same command completes the next time.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataset.catalog import fingerprint, read_catalog
from dataset.dvc_objects import damaged_objects, forget, link_or_copy, manifest, object_file, pinned_md5
from dataset.git import environment, git, identity, last_line, run
from dataset.samples import DatasetVersion
from dataset.store import DatasetStore as DatasetStore
from dataset.store import next_tag, tag_number
from maskloop.digest import canonical_json
from maskloop.errors import (
    IntegrityError,
    NotFoundError,
    StorageError,
    UnavailableError,
)
from maskloop.files import directory_written_atomically, locked, write_text
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
        self._cache = self._root / ".dvc" / "cache" / "files" / "md5"
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
                init_workspace_repository(self._workspace)
                self._finish_interrupted()
                yield folder
            finally:
                shutil.rmtree(staging_dir, ignore_errors=True)

    def commit(self, staged_dir: Path, message: str) -> DatasetVersion:
        """Move the staged folder to `data/` and make it the next version: add, push, verify, commit, tag.

        Raises:
            StorageError: if not every byte arrived in the cache or the remote; the version does not exist.
            UnavailableError: if another writer, or the remote, keeps us waiting.
        """
        with self._writing():
            init_workspace_repository(self._workspace)
            self._finish_interrupted()
            catalog = read_catalog(staged_dir)
            content = fingerprint(catalog.class_names, catalog.pictures)
            current = self.current()
            if current and current.fingerprint == content:
                return current
            self._replace_data(staged_dir)
            dvc_md5 = self._add()
            self._push(dvc_md5)
            release = _Release(next_tag(self.versions()), content, dvc_md5, " ".join(message.split()))
            self._commit_files(release)
            self._tag(release, "HEAD")
            return self.open(release.tag)

    def restore(self, tag: str) -> DatasetVersion:
        """Bring `data/` and `data.dvc` to a version; the next ingest builds on it. Raises like `open`."""
        version = self.open(tag)
        with self.staging() as folder:
            restored = folder / "data"
            shutil.copytree(version.root, restored)
            self._replace_data(restored)
            pin = git(self._root, "show", f"{version.git_commit}:data.dvc")
            write_text(self._root / "data.dvc", pin)
        return version

    def verify(self, tag: str) -> tuple[str, ...]:
        """Re-hash everything the version has in the remote; return what is missing or altered."""
        release = self._release(tag)
        return self._remote_damage(release.dvc_md5)

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
        """Tag a version that was committed (hence pushed and verified) before somebody pulled the plug."""
        if git(self._root, "rev-list", "-n1", "--all") == "":
            return
        log = git(self._root, "log", "-1", f"--grep=^{_RECORD_LINE}", "--format=%H%n%B").splitlines()
        records = [line.removeprefix(_RECORD_LINE) for line in log if line.startswith(_RECORD_LINE)]
        if records:
            release = _Release(**json.loads(records[-1]))
            if release.tag not in self._releases():
                self._tag(release, log[0])

    def _replace_data(self, folder: Path) -> None:
        data, replaced = self._workspace.data_dir, folder.with_name("replaced")
        if data.exists():
            data.rename(replaced)
        shutil.move(folder, data)
        shutil.rmtree(replaced, ignore_errors=True)

    def _add(self) -> str:
        """Let DVC take `data/` into its cache; return the .dir hash after re-hashing every object."""
        _dvc(self._workspace, self._root, "add", "data")
        dvc_md5 = pinned_md5(self._root / "data.dvc")
        damage = damaged_objects(self._cache, dvc_md5)
        if damage:
            forget(self._cache, (*damage, dvc_md5))
            raise StorageError(
                f"{len(damage)} files did not arrive in DVC's cache",
                where=str(self._cache),
                hint="free some space and run the same command again",
            )
        return dvc_md5

    def _push(self, dvc_md5: str) -> None:
        """Push until re-hashing the remote finds every object; a damaged local remote is mended once."""
        damage: tuple[str, ...] = ()
        for _ in range(2):
            _dvc(self._workspace, self._root, "push", "data.dvc")
            damage = self._remote_damage(dvc_md5)
            if not damage:
                return
            remote = _local_remote(self._workspace)
            if remote is None:
                break
            forget(remote / "files" / "md5", (*damage, dvc_md5))  # DVC skips a push when it sees the .dir
        raise StorageError(
            f"{len(damage)} files did not arrive in the DVC remote",
            where=self._workspace.settings.data.remote,
            hint="free some space there and run the same command again",
        )

    def _remote_damage(self, dvc_md5: str) -> tuple[str, ...]:
        remote = _local_remote(self._workspace)
        if remote is not None:
            return damaged_objects(remote / "files" / "md5", dvc_md5)
        with self._scratch_dir() as scratch:
            self._fetch(dvc_md5, scratch / "cache")
            return damaged_objects(scratch / "cache" / "files" / "md5", dvc_md5)

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
            forget(self._cache, (*damage, release.dvc_md5))
            self._fetch(release.dvc_md5, self._root / ".dvc" / "cache")
            damage = damaged_objects(self._cache, release.dvc_md5)
        if damage:
            raise IntegrityError(
                f"{len(damage)} files of {release.tag} are missing or altered in the DVC remote",
                where=self._workspace.settings.data.remote,
                hint="bring the remote back from a backup; `maskloop data verify` lists the files",
            )
        with directory_written_atomically(folder) as beside:
            for name, md5 in manifest(self._cache, release.dvc_md5).items():
                (beside / name).parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(object_file(self._cache, md5), beside / name)
                (beside / name).chmod(0o444)

    def _fetch(self, dvc_md5: str, cache: Path) -> None:
        """Have DVC bring a version's objects into a cache folder, from a throw-away repository."""
        with self._scratch_dir() as scratch:
            remote = _local_remote(self._workspace)
            url = str(remote) if remote else self._workspace.settings.data.remote
            core = f"[core]\n    no_scm = true\n    remote = maskloop\n[cache]\n    dir = {cache}\n"
            own = self._root / ".dvc" / "config.local"
            (scratch / ".dvc").mkdir()
            (scratch / ".dvc" / "config").write_text(core + _remote_section(url))
            (scratch / ".dvc" / "config.local").write_text(own.read_text() if own.exists() else "")
            (scratch / "data.dvc").write_text(f"outs:\n- md5: {dvc_md5}\n  hash: md5\n  path: data\n")
            before = _num_files(cache)
            with suppress(StorageError):  # judged by what arrived, not by what DVC says
                _dvc(self._workspace, scratch, "fetch", "data.dvc")
            if remote is None and _num_files(cache) == before:
                raise UnavailableError("nothing could be fetched from the DVC remote", where=url)

    @contextmanager
    def _scratch_dir(self) -> Iterator[Path]:
        folder = self._workspace.state_dir / f"dvc-scratch-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def init_workspace_repository(workspace: Workspace) -> None:
    """Make the workspace a git and DVC repository with its remote, as far as it is not one yet."""
    root = workspace.root
    root.mkdir(parents=True, exist_ok=True)
    if not (root / ".git").exists():
        git(root, "init", "--quiet")
    ignore_file = root / ".gitignore"
    lines = ignore_file.read_text().splitlines() if ignore_file.exists() else []
    missing = [line for line in _IGNORED if line not in lines]
    if missing:
        write_text(ignore_file, "\n".join([*lines, *missing]) + "\n")
    config = root / ".dvc" / "config"
    if not config.exists():
        _dvc(workspace, root, "init", "--force")
    if not config.read_text().strip():
        core = "[core]\n    analytics = false\n    remote = maskloop\n"
        write_text(config, core + _remote_section(_remote_url(workspace)))
    elif f"url = {_remote_url(workspace)}\n" not in config.read_text():
        _dvc(workspace, root, "remote", "add", "--force", "--default", "maskloop", _remote_url(workspace))
    remote = _local_remote(workspace)
    if remote is not None:
        remote.mkdir(parents=True, exist_ok=True)


def _parse_release(tag: str, commit: str, subject: str) -> _Release | None:
    try:
        record = json.loads(subject)
        return _Release(tag, record["fingerprint"], record["dvc_md5"], record["message"], commit)
    except (ValueError, KeyError, TypeError):
        return None  # somebody else's tag, which happens to be called like ours


def _num_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


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
    )


def _local_remote(workspace: Workspace) -> Path | None:
    remote = workspace.settings.data.remote.removeprefix("file://")  # which DVC would take for a file name
    return None if "://" in remote else (workspace.root / remote).resolve()


def _remote_url(workspace: Workspace) -> str:
    remote = workspace.settings.data.remote.removeprefix("file://")
    if "://" in remote or Path(remote).is_absolute():
        return remote
    return os.path.relpath(workspace.root / remote, workspace.root / ".dvc")


def _remote_section(url: str) -> str:
    return f"['remote \"maskloop\"']\n    url = {url}\n"


def _close_to_others(workspace: Workspace) -> None:
    """Make the folders that DVC would else make writable for everybody, and mend those it has made."""
    dvc_dir = workspace.state_dir / "dvc"
    dvc_dir.mkdir(parents=True, exist_ok=True)
    dvc_dir.chmod(0o700)
    workspace.state_dir.chmod(stat.S_IMODE(workspace.state_dir.stat().st_mode) & ~stat.S_IWOTH)


def _dvc(workspace: Workspace, folder: Path, *arguments: str) -> None:
    _close_to_others(workspace)
    extra = {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(workspace.state_dir / "dvc")}
    command = (sys.executable, "-m", "dvc", *arguments)
    done = run(command, folder, {**environment(), **extra})
    if done.returncode and "No space left on device" in done.stderr:
        raise StorageError(
            "the disk is full", where=str(folder), hint="free some space and run the same command again"
        )
    if done.returncode:
        reason = last_line(done.stderr)
        problem = UnavailableError if "lock" in reason.lower() else StorageError
        raise problem(f"dvc {arguments[0]} failed: {reason}", where=workspace.settings.data.remote)
