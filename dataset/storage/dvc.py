"""DVC as a command: in the workspace's own repository, and in throw-away ones with the same remote."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
import uuid
from collections.abc import Iterator, Sequence
from configparser import ConfigParser
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from dataset.storage.git import environment, read_complaint, run
from maskloop.blobs.failures import name_s3_failure
from maskloop.errors import StorageError, UnavailableError
from maskloop.files import write_text
from maskloop.workspace import Workspace

REMOTE: Final = "'remote \"maskloop\"'"
_CODE: Final = re.compile(r"\b[A-Z][A-Za-z]+\b")
_LOCKED: Final = re.compile(r"\block(ed)?\b", re.IGNORECASE)


def run_dvc(workspace: Workspace, folder: Path, *arguments: str) -> None:
    """Run DVC in a repository of the workspace.

    Raises:
        StorageError: if DVC refuses, or the disk is full.
        UnavailableError: if another DVC command holds its lock, or S3 does not answer.
        ConfigurationError: if S3 knows neither bucket nor credentials.
    """
    _run(workspace, folder, ("-m", "dvc", *arguments), what=f"dvc {arguments[0]}")


def ask_dvc(workspace: Workspace, folder: Path, script: str, question: Any) -> Any:
    """Run a Python script in a repository of the workspace, for what DVC has no command.

    Args:
        workspace: Whose settings and site cache count.
        folder: The repository.
        script: Reads JSON from its input and writes JSON as the last line of its output.
        question: What it reads.

    Raises:
        StorageError: if the script fails, or the disk is full.
        UnavailableError: if another DVC command holds its lock, or S3 does not answer.
        ConfigurationError: if S3 knows neither bucket nor credentials.
    """
    said = _run(workspace, folder, ("-c", script), what="DVC", given=json.dumps(question))
    return json.loads(said.splitlines()[-1])


def _run(
    workspace: Workspace, folder: Path, arguments: Sequence[str], *, what: str, given: str | None = None
) -> str:
    """Run this Python with DVC's settings; return what it prints."""
    site = (folder if _is_throwaway(workspace, folder) else workspace.state_dir) / "dvc"
    site.mkdir(parents=True, exist_ok=True)
    _close_to_others(workspace, site)
    extra = {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(site)}
    done = run((sys.executable, *arguments), folder, {**environment(), **extra}, given=given)
    if not done.returncode:
        return done.stdout
    said = done.stderr or done.stdout or "it said nothing"
    if "No space left on device" in said:
        raise StorageError(
            "the disk is full", where=str(folder), hint="Free some space and run the same command again"
        )
    reason, advice = read_complaint("DVC", said)
    remote = workspace.settings.data.remote
    if remote.startswith("s3://"):
        told = " ".join(line for line in said.splitlines() if not line.startswith(" "))  # no lines of code
        if named := name_s3_failure(frozenset(_CODE.findall(told)), reason, remote):
            raise named
    problem = UnavailableError if _LOCKED.search(reason) else StorageError
    raise problem(f"{what} failed: {reason}", where=workspace.settings.data.remote, hint=advice)


def prepare_repository(workspace: Workspace) -> None:
    """Make the workspace a DVC repository whose default remote is the one of the settings."""
    root = workspace.root
    config = root / ".dvc" / "config"
    if not config.exists():
        run_dvc(workspace, root, "init", "--force")
    if not config.read_text().strip():
        core = "[core]\n    analytics = false\n    remote = maskloop\n"
        write_text(config, f"{core}[{REMOTE}]\n    url = {_quoted(_remote_url(workspace))}\n")
    elif f"url = {_quoted(_remote_url(workspace))}\n" not in config.read_text():
        run_dvc(workspace, root, "remote", "add", "--force", "--default", "maskloop", _remote_url(workspace))
    if remote := local_remote(workspace):
        remote.mkdir(parents=True, exist_ok=True)


def local_remote(workspace: Workspace) -> Path | None:
    """Return the remote's folder, or None if it is none."""
    remote = workspace.settings.data.remote.removeprefix("file://")  # which DVC would take for a file name
    return None if "://" in remote else (workspace.root / remote).resolve()


@contextmanager
def throwaway_repository(workspace: Workspace, cache: Path) -> Iterator[Path]:
    """Give a DVC repository with the workspace's remote and credentials, and with a cache elsewhere.

    It knows nothing of what an earlier command found in the remote: DVC keeps such knowledge beside a
    repository, and believes it for ever.
    """
    folder = workspace.state_dir / f"dvc-scratch-{uuid.uuid4().hex[:8]}"
    (folder / ".dvc").mkdir(parents=True)
    try:
        config = _read_config(workspace.root / ".dvc")
        config.read_dict(
            {"core": {"no_scm": "true", "remote": "maskloop"}, "cache": {"dir": _quoted(str(cache))}}
        )
        remote = local_remote(workspace)
        url = str(remote) if remote else workspace.settings.data.remote
        config.read_dict({REMOTE: {"url": _quoted(url)}})
        with (folder / ".dvc" / "config").open("w", encoding="utf-8") as file:
            config.write(file)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read_config(folder: Path) -> ConfigParser:
    """Read a repository's settings and secrets; files they name beside themselves become absolute paths."""
    config = ConfigParser(interpolation=None, strict=False)
    config.optionxform = str  # type: ignore[assignment,method-assign]  # keep the case of keys
    config.read([folder / name for name in ("config", "config.local")])
    for section in config.sections():
        for key, value in config.items(section):
            if value and (folder / value.strip("\"'")).is_file():
                config.set(section, key, _quoted(str((folder / value.strip("\"'")).resolve())))
    return config


def _quoted(value: str) -> str:
    """Write a value for DVC's settings, where a number sign begins a remark and a comma ends a value.

    >>> print(_quoted("/plain path"), _quoted("/share #2"), _quoted('/the "new" one'))
    /plain path "/share #2" '/the "new" one'
    """
    if not set(value) & set("#,'\""):
        return value
    mark = next((mark for mark in ('"', "'") if mark not in value), '"' * 3)
    return f"{mark}{value}{mark}"


def _is_throwaway(workspace: Workspace, folder: Path) -> bool:
    return folder.parent == workspace.state_dir


def _remote_url(workspace: Workspace) -> str:
    remote = workspace.settings.data.remote.removeprefix("file://")
    if "://" in remote or Path(remote).is_absolute():
        return remote
    return os.path.relpath(workspace.root / remote, workspace.root / ".dvc")


def _close_to_others(workspace: Workspace, site: Path) -> None:
    """Make the folders that DVC would else make writable for everybody, and mend those it has made."""
    site.chmod(0o700)
    for above in {site.parent, workspace.state_dir}:
        above.chmod(stat.S_IMODE(above.stat().st_mode) & ~stat.S_IWOTH)
