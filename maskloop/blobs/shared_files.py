"""Files of a workspace that every host needs: copies on this one, brought from a store and sent to it.

Without a store the workspace's own files are all there are, and nothing happens here.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from maskloop.blobs.port import Blob, Blobs
from maskloop.files import write_bytes


class SharedFiles:
    """Brings and sends files of a workspace.

    What lies in the store wins: a host that could not send its own version works on with the others'. Empty
    files are brought and sent last, because an empty file says that the others beside it are complete.

    Args:
        root: The folder that names are relative to.
        blobs: The store; None if the workspace shares nothing.
    """

    def __init__(self, root: Path, blobs: Blobs | None) -> None:
        self._root, self._blobs = root, blobs

    @property
    def is_shared(self) -> bool:
        """There is a store."""
        return self._blobs is not None

    def bring(self, path: Path, *, into: Path | None = None) -> int:
        """Make a file, or a folder and all below, what the store has; what only lies here stays.

        Args:
            path: Below the root.
            into: Where a copy is made instead.

        Returns:
            How many files the store has of it.

        Raises:
            MaskloopError: as `Blobs` does.
        """
        if self._blobs is None:
            return 0
        found = self._listed(self._blobs, path)
        for blob in found:
            file = (into or path) / (self._root / blob.name).relative_to(path)
            if _is_same(file, blob) or (data := self._blobs.get(blob.name)) is None:
                continue
            if not file.is_file() or file.read_bytes() != data:
                write_bytes(file, data)
        return len(found)

    def send(self, path: Path, *, held_in: Path | None = None, only_missing: bool = False) -> int:
        """Put a file, or a folder and all below, into the store; return how many it did not have so.

        Args:
            path: Below the root.
            held_in: Where its files lie, if not there.
            only_missing: What the store has stays, even if it differs.

        Raises:
            MaskloopError: as `Blobs` does.
        """
        if self._blobs is None:
            return 0
        held = held_in or path
        found = [held] if held.is_file() else [file for file in held.rglob("*") if file.is_file()]
        named = {file: (path / file.relative_to(held)).relative_to(self._root) for file in found}
        files = {name.as_posix(): file for file, name in named.items() if _is_whole(file)}
        there = {blob.name: blob for blob in self._listed(self._blobs, path)} if files else {}
        num_sent = 0
        for name, file in sorted(files.items(), key=lambda one: (one[1].stat().st_size == 0, one[0])):
            if name in there and (only_missing or _is_same(file, there[name])):
                continue
            data = file.read_bytes()
            if name in there and not there[name].md5 and self._blobs.get(name) == data:
                continue
            self._blobs.put(name, data)
            num_sent += 1
        return num_sent

    def _listed(self, blobs: Blobs, path: Path) -> list[Blob]:
        found = blobs.list(path.relative_to(self._root).as_posix())
        return sorted(found, key=lambda blob: (blob.size_bytes == 0, blob.name))


def _is_whole(file: Path) -> bool:
    return not file.name.endswith((".tmp", ".lock"))


def _is_same(file: Path, blob: Blob) -> bool:
    """Say whether a file is known to hold what the store has, without asking for the bytes."""
    if not blob.md5 or not file.is_file() or file.stat().st_size != blob.size_bytes:
        return False
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == blob.md5
