"""What a measurement was made with: versions, hardware, commit, command and day."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from models.artifacts.environment import describe_environment

_PROCESSORS: Final = Path("/proc/cpuinfo")
_REPOSITORY = Path(__file__).resolve().parents[1]


def describe_run() -> dict[str, str]:
    """Return environment, processor, commit (``-dirty`` with uncommitted changes), command line and day."""
    command = ["git", "-C", str(_REPOSITORY), "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    words = ["python", *sys.orig_argv[1:]]
    return {
        **describe_environment(),
        "processor": _processor(),
        "commit": done.stdout.strip() or "unknown",
        "command": shlex.join(words),
        "date": datetime.now(UTC).date().isoformat(),
    }


def identify_run(described: Mapping[str, str]) -> dict[str, str]:
    """Return what tells one machine and build from another: all of `describe_run` but command and day."""
    return {name: value for name, value in described.items() if name not in ("command", "date")}


def _processor() -> str:
    with suppress(OSError):
        for line in _PROCESSORS.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
