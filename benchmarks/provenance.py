"""What a measurement was made with: versions, hardware, commit and command."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from models.artifacts.environment import describe_environment

_REPOSITORY = Path(__file__).resolve().parents[1]


def describe_run() -> dict[str, str]:
    """Return environment, commit (``-dirty`` with uncommitted changes) and command line of this process."""
    command = ["git", "-C", str(_REPOSITORY), "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    words = ["python", *sys.orig_argv[1:]]
    return {
        **describe_environment(),
        "commit": done.stdout.strip() or "unknown",
        "command": shlex.join(words),
    }
