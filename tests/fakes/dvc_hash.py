"""The hash DVC gives a folder, worked out without DVC."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def directory_md5(root: Path) -> str:
    """Return the hash DVC 3 gives a folder: md5 over the sorted list of its files' names and md5s."""
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    listed = [{"md5": _md5(files[name].read_bytes()), "relpath": name} for name in sorted(files)]
    return f"{_md5(json.dumps(listed).encode())}.dir"


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
