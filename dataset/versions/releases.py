"""What git records of data versions: a commit that pins the data, and an annotated tag ``data-vN`` on it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataset.storage.git import git, identity
from dataset.version_store import tag_number
from maskloop.digest import canonical_json
from maskloop.errors import NotFoundError

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


class Releases:
    """The releases in the git repository of a workspace.

    Args:
        root: The workspace.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def all(self) -> dict[str, Release]:
        """Return every release by its tag, oldest first."""
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
            if release.tag not in self.all():
                self.tag(release, log[0])


def _parse(tag: str, commit: str, subject: str) -> Release | None:
    try:
        record = json.loads(subject)
        return Release(tag, record["fingerprint"], record["dvc_md5"], record["message"], commit)
    except (ValueError, KeyError, TypeError):
        return None  # somebody else's tag, which happens to be called like ours
