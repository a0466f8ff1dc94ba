"""A ZIP archive is read like its folder: unpacked under guard to a temporary folder, then removed."""

from __future__ import annotations

import fcntl
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataset.coco.document import MAX_FILE_BYTES, is_safe_name
from dataset.formats.port import MAX_FILES, LabelSource
from maskloop.errors import DataError
from maskloop.files import storage_error

_PREFIX: Final = "maskloop-labels-"
_LOCK: Final = "lock"
_STARTS: Final = (b"PK\x03\x04", b"PK\x05\x06")
_UTF8_FLAG: Final = 0x800
_ENCRYPTED_FLAG: Final = 0x1


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may hold at most.

    Attributes:
        files: Files in it.
        file_bytes: Of one file, unpacked.
        total_bytes: Of all files, unpacked.
    """

    files: int = MAX_FILES
    file_bytes: int = MAX_FILE_BYTES
    total_bytes: int = 64 * 2**30


@contextmanager
def open_source(
    path: Path,
    *,
    images_dir: Path | None = None,
    annotator: str = "",
    limits: ArchiveLimits | None = None,
) -> Iterator[LabelSource]:
    """Open what a person named. What was unpacked or made of it is gone when the context ends.

    Args:
        path: A folder, a file, or a ZIP archive, whatever its name ends with.
        images_dir: The folder of the pictures, if the person says.
        annotator: Whose annotation counts, if the person says.
        limits: What an archive may hold.

    Raises:
        NotFoundError: if there is nothing.
        DataError: if the archive is broken, encrypted or too large, or a path in it leads out of it.
        StorageError: if the disk is too small for it.
    """
    with _temporary_folder() as folder:
        unpacked, scratch = folder / "unpacked", folder / "scratch"
        scratch.mkdir()
        if not _is_archive(path):
            yield LabelSource(path, images_dir=images_dir, scratch=scratch, annotator=annotator)
            return
        unpacked.mkdir()
        _unpack(path, unpacked, limits or ArchiveLimits())
        inner = _without_wrapping(unpacked)
        yield LabelSource(inner, named=path, images_dir=images_dir, scratch=scratch, annotator=annotator)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Give a folder that goes with this process: what a killed one left behind is removed by the next."""
    _remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        folder = Path(name)
        with (folder / "taken").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / "taken").rename(folder / _LOCK)  # seen by others only once it is held
            yield folder


def _remove_leftovers() -> None:
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        try:
            with lock.open("r+") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:  # somebody is at it, or it is another user's
            continue


def _is_archive(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) in _STARTS
    except OSError:  # a folder, or nothing: the source says so
        return False


def _unpack(path: Path, folder: Path, limits: ArchiveLimits) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = _judge(archive.infolist(), path, limits)
            total_bytes = sum(member.file_size for _, member in members)
            if total_bytes > shutil.disk_usage(folder).free:
                raise DataError(
                    f"the archive needs {_gib(total_bytes)} unpacked, and {folder.parent} has less",
                    where=str(path),
                    hint="make room, or set TMPDIR to a folder on a larger disk",
                )
            for name, member in members:
                _write(archive, member, folder / name)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        hint = "it was cut off or damaged on the way: export or download it again"
        raise DataError(f"the ZIP archive is broken: {error}", where=str(path), hint=hint) from error
    except NotImplementedError as error:
        hint = "unpack it, and name the folder"
        raise DataError(f"the ZIP archive cannot be read: {error}", where=str(path), hint=hint) from error
    except OSError as error:
        raise storage_error(error, folder) from error


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as packed, target.open("xb") as file:
        shutil.copyfileobj(packed, file, 2**20)


def _judge(
    members: Sequence[zipfile.ZipInfo], path: Path, limits: ArchiveLimits
) -> list[tuple[str, zipfile.ZipInfo]]:
    """Return the files of an archive with the paths they get, or refuse it before anything is written."""
    files = [(_name(member), member) for member in members if not member.is_dir()]
    reason = next((said for name, member in files if (said := _refusal(name, member, limits))), "")
    if len(files) > limits.files:
        reason = f"it holds {len(files)} files; at most {limits.files} are unpacked"
    elif (total_bytes := sum(member.file_size for _, member in files)) > limits.total_bytes:
        reason = f"it needs {_gib(total_bytes)} unpacked; at most {_gib(limits.total_bytes)} are"
    elif len({name for name, _ in files}) < len(files):
        reason = "it holds two files of one name"
    if reason:
        hint = "nothing was unpacked; if you trust it, unpack it yourself and name the folder"
        raise DataError(f"the ZIP archive was refused: {reason}", where=str(path), hint=hint)
    return files


def _refusal(name: str, member: zipfile.ZipInfo, limits: ArchiveLimits) -> str:
    mode = member.external_attr >> 16
    if not is_safe_name(name) or ":" in name.split("/", 1)[0]:
        return f"the path {name!r} leads out of its folder"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return f"{name!r} is a link or a device, not a file"
    if member.flag_bits & _ENCRYPTED_FLAG:
        return f"{name!r} is encrypted"
    if member.file_size > limits.file_bytes:
        most = _gib(limits.file_bytes)
        return f"{name!r} needs {_gib(member.file_size)} unpacked; at most {most} a file are"
    return ""


def _name(member: zipfile.ZipInfo) -> str:
    """Return a file's path with slashes; names in UTF-8 without the flag that says so are read as such."""
    name = member.filename
    if not member.flag_bits & _UTF8_FLAG:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = member.filename
    return name.replace("\\", "/")


def _without_wrapping(folder: Path) -> Path:
    """Return the folder in which an archive's content begins: many wrap it in a folder of their own."""
    while True:
        inside = [each for each in folder.iterdir() if not each.name.startswith((".", "__MACOSX"))]
        if len(inside) != 1 or not inside[0].is_dir():
            return folder
        folder = inside[0]


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB"
