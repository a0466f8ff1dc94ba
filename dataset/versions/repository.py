"""The workspace's own git and DVC repository, as data versions need it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dataset.storage.dvc import prepare_repository
from dataset.storage.git import git
from maskloop.errors import RefusedError
from maskloop.files import write_text
from maskloop.workspace import Workspace

_IGNORED: Final = ("/data", "/.maskloop/")


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
