"""Running git without a person: no prompts, no surrounding repository, an author even where none is set."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from maskloop.errors import StorageError

_SURROUNDING_GIT: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
_NOBODY: Final = ("-c", "user.name=maskloop", "-c", "user.email=maskloop@localhost")
_UNATTENDED: Final = ("-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false")


def git(root: Path, *arguments: str) -> str:
    """Run git in a folder and return what it says. Raises StorageError."""
    done = run(("git", *arguments), root, environment())
    if done.returncode:
        raise StorageError(f"git {arguments[0]} failed: {last_line(done.stderr)}", where=str(root))
    return done.stdout


def identity(root: Path) -> tuple[str, ...]:
    """Return git options for writing: unsigned, and by an author even where nobody has configured one."""
    asked = run(("git", "config", "--get", "user.email"), root, environment())
    return _UNATTENDED if asked.stdout.strip() else (*_UNATTENDED, *_NOBODY)


def environment() -> dict[str, str]:
    """Return this process's environment without what a surrounding git command may have set."""
    own = {name: value for name, value in os.environ.items() if name not in _SURROUNDING_GIT}
    return {**own, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}


def run(
    command: Sequence[str], folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever it returns."""
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def last_line(text: str) -> str:
    """Return the last line that says something; DVC ends with where to ask for help."""
    lines = [line for line in text.splitlines() if line.strip() and "dvc.org/support" not in line]
    return lines[-1] if lines else "it said nothing"
