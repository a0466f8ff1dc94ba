"""Running git without a person: no prompts, no surrounding repository, an author even where none is set."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from maskloop.errors import ConfigurationError, MaskloopError, StorageError, UnavailableError

_SURROUNDING_GIT: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
_NOBODY: Final = ("-c", "user.name=maskloop", "-c", "user.email=maskloop@localhost")
_UNATTENDED: Final = ("-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false")
_LABEL: Final = re.compile(r"^(ERROR|error|fatal): ")
_NOISE: Final = ("dvc.org/support", "hint: ")


def git(root: Path, *arguments: str) -> str:
    """Run git in a folder and return what it prints.

    Raises:
        ConfigurationError: if the repository belongs to another user, whom git does not trust.
        UnavailableError: if another git command holds the repository's lock.
        StorageError: for anything else git refuses.
    """
    done = run(("git", *arguments), root, environment())
    if done.returncode:
        raise _explain(arguments, done.stderr, root)
    return done.stdout


def describe_revision(root: Path) -> str:
    """Return the revision of a repository, with ``-dirty`` for uncommitted changes; or ``unknown``."""
    asked = ("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    return run(asked, root, environment()).stdout.strip() or "unknown"


def identity(root: Path) -> tuple[str, ...]:
    """Return git options for writing: unsigned, and with an author even where none is configured."""
    asked = run(("git", "config", "--get", "user.email"), root, environment())
    return _UNATTENDED if asked.stdout.strip() else (*_UNATTENDED, *_NOBODY)


def environment() -> dict[str, str]:
    """Return this process's environment without what a surrounding git command may have set."""
    own = {name: value for name, value in os.environ.items() if name not in _SURROUNDING_GIT}
    return {**own, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}


def run(
    command: Sequence[str], folder: Path, environment: dict[str, str], *, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever it returns, with a text as its input if one is given."""
    return subprocess.run(
        command, cwd=folder, env=environment, input=given, capture_output=True, text=True, check=False
    )


def read_complaint(program: str, stderr: str) -> tuple[str, str]:
    """Return the line of an error output that says what happened, and the rest of it as advice.

    >>> read_complaint("DVC", "ERROR: 'data' is tracked by git.\\n    git rm -r --cached data\\n")
    ("'data' is tracked by git.", 'DVC says:\\n    git rm -r --cached data')
    """
    lines = [line for line in stderr.splitlines() if line.strip() and not any(n in line for n in _NOISE)]
    if not lines:
        return "it said nothing", ""
    first = next((number for number, line in enumerate(lines) if _LABEL.match(line)), len(lines) - 1)
    rest = [*lines[:first], *lines[first + 1 :]]
    headline = _LABEL.sub("", lines[first]).strip()
    return headline, "\n    ".join([f"{program} says:", *(line.strip() for line in rest)]) if rest else ""


def _explain(arguments: Sequence[str], stderr: str, root: Path) -> MaskloopError:
    headline, advice = read_complaint("git", stderr)
    if "dubious ownership" in stderr:
        return ConfigurationError(
            "git does not trust this folder, because it belongs to another user",
            where=str(root),
            hint=f"Run the command as its owner, or run `git config --global --add safe.directory '{root}'`",
        )
    if ".lock'" in headline and "File exists" in headline:
        return UnavailableError(
            f"git {arguments[0]} failed: {headline}",
            where=str(root),
            hint="Another git command is at work there; if none is, delete that file",
        )
    return StorageError(f"git {arguments[0]} failed: {headline}", where=str(root), hint=advice)
