"""Which code runs: the git revision of maskloop itself."""

from __future__ import annotations

import subprocess
from pathlib import Path


def describe_code(repository: Path) -> str:
    """Return the git revision of a repository, with ``-dirty`` for uncommitted changes; or ``unknown``."""
    command = ["git", "-C", str(repository), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
