"""What git records of data versions: a commit that pins the data, and an annotated tag ``data-vN`` on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dataset.storage.git import git, identity
from dataset.version_store import tag_number
from maskloop.digest import canonical_json
from maskloop.errors import IntegrityError, NotFoundError, RefusedError

_RECORD_LINE: Final = "maskloop-data: "
_COMMITTED: Final = ("data.dvc", ".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore")


@dataclass(frozen=True)
class Release:
    """What a tag's message records, and the commit it names."""

    tag: str
    fingerprint: str
    dvc_md5: str
    message: str
    git_commit: str = ""

    def to_json(self) -> str:
        """Return it as a tag's message has it."""
        fields = ("tag", "fingerprint", "dvc_md5", "message")
        return canonical_json({name: getattr(self, name) for name in fields})


@dataclass(frozen=True)
class Recorded:
    """What all hosts know of the releases, wherever they were made.

    Attributes:
        releases: By tag.
        current: The tag of the current one; empty for none.
    """

    releases: Mapping[str, Release] = field(default_factory=dict)
    current: str = ""


class Releases:
    """The releases in the git repository of a workspace, and those that other hosts have made.

    Args:
        root: The workspace.
        read_recorded: Says what all hosts know; None if there is only this one.
    """

    def __init__(self, root: Path, read_recorded: Callable[[], Recorded] | None = None) -> None:
        self._root, self._read_recorded = root, read_recorded or Recorded

    def all(self) -> dict[str, Release]:
        """Return every release by its tag, oldest first.

        Raises:
            IntegrityError: if one here is not the one that was recorded by this tag.
        """
        own, recorded = self._own(), self._read_recorded().releases
        for tag, release in own.items():
            if tag in recorded and recorded[tag].fingerprint != release.fingerprint:
                raise IntegrityError(
                    f"two hosts have made different versions {tag}, and the record has the other one",
                    where=str(self._root),
                    hint=f"`git tag -d {tag}` here, and ingest the batch again on the host that ingests",
                )
        everything = {**recorded, **own}
        return {tag: everything[tag] for tag in sorted(everything, key=tag_number)}

    def current_elsewhere(self) -> tuple[str, ...]:
        """Return the current tag if another host has made versions that are not here; else nothing."""
        recorded = self._read_recorded()
        return (recorded.current,) if recorded.releases.keys() - self._own().keys() else ()

    def refuse_if_behind(self) -> None:
        """Make sure that a next version can build on all others.

        Raises:
            RefusedError: if another host has made some that this host's git has not got.
        """
        if lacking := sorted(self._read_recorded().releases.keys() - self._own().keys(), key=tag_number):
            raise RefusedError(
                f"{lacking[-1]} was made on another host, and git has not got it here",
                where=str(self._root),
                hint="Run it on that host, or bring its commits and tags here: `git pull --tags`",
            )

    def _own(self) -> dict[str, Release]:
        if not (self._root / ".git").exists():
            return {}
        form = "%(refname:short)%09%(*objectname)%09%(contents:subject)"
        lines = git(self._root, "for-each-ref", f"--format={form}", "refs/tags/data-v*").splitlines()
        found = [_parse(*line.split("\t", 2)) for line in lines]
        known = [release for release in found if release is not None]
        return {release.tag: release for release in sorted(known, key=lambda r: tag_number(r.tag))}

    def named(self, tag: str) -> Release:
        """Return one. Raises NotFoundError."""
        releases = self.all()
        if tag not in releases:
            known = ", ".join(releases) or "none yet"
            raise NotFoundError(f"there is no data version {tag}", hint=f"known: {known}")
        return releases[tag]

    def commit(self, release: Release) -> None:
        """Commit the files that pin the data, with what the tag will record. Raises StorageError."""
        paths = [path for path in _COMMITTED if (self._root / path).exists()]
        git(self._root, "add", "--force", "--", *paths)
        text = f"{release.tag}: {release.message}\n\n{_RECORD_LINE}{release.to_json()}"
        options = ("--quiet", "--no-verify", "--allow-empty", "-m", text)
        git(self._root, *identity(self._root), "commit", *options, "--", *paths)

    def tag(self, release: Release, commit: str) -> None:
        """Tag a commit. Raises StorageError."""
        options = ("--annotate", "--message", release.to_json(), release.tag, commit)
        git(self._root, *identity(self._root), "tag", *options)

    def tag_committed(self) -> None:
        """Tag a version that was committed (hence pushed and verified) before a crash."""
        if git(self._root, "rev-list", "-n1", "--all") == "":
            return
        log = git(self._root, "log", "-1", f"--grep=^{_RECORD_LINE}", "--format=%H%n%B").splitlines()
        records = [line.removeprefix(_RECORD_LINE) for line in log if line.startswith(_RECORD_LINE)]
        if records:
            release = Release(**json.loads(records[-1]))
            if release.tag not in self._own():
                self.tag(release, log[0])


def _parse(tag: str, commit: str, subject: str) -> Release | None:
    try:
        record = json.loads(subject)
        return Release(tag, record["fingerprint"], record["dvc_md5"], record["message"], commit)
    except (ValueError, KeyError, TypeError):
        return None  # somebody else's tag, which happens to be called like ours
