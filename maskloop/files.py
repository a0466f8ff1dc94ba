"""Writing so that a crash leaves either the old file or the new one, and locks between processes."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from maskloop.errors import AccessError, StorageError, UnavailableError

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_MAY_NOT: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
EXPLAINED: Final = (*_FULL, *_MAY_NOT)
"""Error numbers that are no fault of the program: `storage_error` names their cure."""


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Give a path to write to; on leaving, fsync it and rename it over ``path``.

    If the body raises, the temporary file is removed and ``path`` is as it was.

    Raises:
        StorageError: if the disk is full or the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        sync_file(beside)
        beside.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        with suppress(OSError):  # a folder that could not be made holds nothing to remove
            beside.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically. Raises StorageError."""
    with written_atomically(path) as beside:
        beside.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, atomically. Raises StorageError."""
    write_bytes(path, text.encode())


@contextmanager
def directory_written_atomically(path: Path) -> Iterator[Path]:
    """Give an empty directory to fill; on leaving, sync its files and rename it to ``path``.

    ``path`` must not exist yet, or must be an empty directory.

    Raises:
        StorageError: if the disk is full, a file cannot be written, or ``path`` is in the way.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        beside.mkdir(parents=True)
        yield beside
        for file in beside.rglob("*"):
            if file.is_file():
                sync_file(file)
        beside.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def sync_file(path: Path) -> None:
    """Ask the operating system to put a file's content on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Ask the operating system to put a directory's entries on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def storage_error(error: OSError, path: Path) -> StorageError:
    """Say in plain words why ``path`` could not be written."""
    if error.errno in _FULL:
        return StorageError(
            "the disk is full", where=str(path), hint="free some space and run the same command again"
        )
    if error.errno in _MAY_NOT:
        return access_error(f"not permitted: {error.strerror or error}", path)
    return StorageError(f"could not write: {error.strerror or error}", where=str(path))


def access_error(headline: str, path: Path) -> AccessError:
    """Say whose ``path`` is, or whose the folder it would be made in, and who this process is."""
    own, place = os.geteuid(), path.absolute()
    for above in (place, *place.parents):
        with suppress(OSError):
            owner = above.stat().st_uid
            break
    if owner == own or own == 0:
        hint = f"Make {above} writable: its mode or its file system forbids it"
        return AccessError(headline, where=str(path), hint=hint)
    return AccessError(
        f"{headline}: {above} belongs to {_user_name(owner)}, and this process runs as {_user_name(own)}",
        where=str(path),
        hint=f"Run the command as {_user_name(owner)}, or give the whole workspace to {_user_name(own)}",
    )


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


@contextmanager
def locked(path: Path, *, what: str, timeout_s: float = 60.0) -> Iterator[None]:
    """Hold an exclusive lock between processes; the operating system frees it when the holder dies.

    Raises:
        UnavailableError: if somebody else still holds it after ``timeout_s`` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=timeout_s):
            yield
    except Timeout as error:
        raise UnavailableError(
            f"{what} is busy: another process has held it for {timeout_s:.0f} s",
            where=str(path),
            hint="wait for the other command, then run this one again",
        ) from error
