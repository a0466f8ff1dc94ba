"""DVC's storage on disk: a folder of objects named by their md5, and ``.dir`` objects that list files.

DVC says little about damage, so everything here is judged by what lies on the disk. Versions are written here
too: ``dvc add`` and ``dvc push`` look at every file of the data, and a version of a growing workspace has few
new ones. Source: DVC 3's ``files/md5`` layout.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path

import msgspec

from maskloop.files import sync_file, write_bytes

ReadMd5 = Callable[[str], str]
"""Returns the md5 of the file at a path; raises OSError if there is none."""


class _Entry(msgspec.Struct, gc=False):
    md5: str
    relpath: str


def md5_of(path: str | Path) -> str:
    """Return the md5 of a file's bytes, as DVC names objects."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def damaged_objects(objects: Path, dvc_md5: str, read_md5: ReadMd5 = md5_of) -> tuple[str, ...]:
    """Return the hashes of a ``.dir`` object's files that are missing or altered, itself included.

    Args:
        objects: The ``files/md5`` folder of a DVC cache or remote.
        dvc_md5: The ``….dir`` hash `data.dvc` pins.
        read_md5: Reads every file, unless another way is given.
    """
    if not is_intact(objects, dvc_md5):
        return (dvc_md5,)
    return not_intact(objects, sorted(set(manifest(objects, dvc_md5).values())), read_md5)


def not_intact(objects: Path, hashes: Iterable[str], read_md5: ReadMd5 = md5_of) -> tuple[str, ...]:
    """Return those objects that are missing or altered, in their order."""
    return tuple(md5 for md5 in hashes if not is_intact(objects, md5, read_md5))


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``, or a copy of it where a hard link is impossible."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def is_intact(objects: Path, md5: str, read_md5: ReadMd5 = md5_of) -> bool:
    """Say whether an object is there and is what its name says."""
    try:
        return read_md5(f"{objects}/{md5[:2]}/{md5[2:]}") == md5.removesuffix(".dir")
    except OSError:
        return False


def manifest(objects: Path, dvc_md5: str) -> dict[str, str]:
    """Map each file name of a ``.dir`` object to its hash."""
    entries = msgspec.json.decode(object_file(objects, dvc_md5).read_bytes(), type=list[_Entry])
    return {entry.relpath: entry.md5 for entry in entries}


def write_manifest(objects: Path, files: Mapping[str, str]) -> str:
    """Store the ``.dir`` object that lists files and their hashes, as DVC writes it; return its hash.

    Raises:
        StorageError: if it could not be written.
    """
    listing = _listing(files)
    md5 = f"{hashlib.md5(listing, usedforsecurity=False).hexdigest()}.dir"
    _put(objects, md5, listing)
    return md5


def store_file(objects: Path, source: Path, md5: str, *, is_moved: bool = False) -> None:
    """Put a file among the objects in one step, read-only as DVC keeps them; one that is there is replaced.

    Args:
        objects: The ``files/md5`` folder of a DVC cache or remote.
        source: The file, which `is_intact` may still find altered afterwards.
        md5: What the object is called.
        is_moved: The file is not needed any more where it is.

    Raises:
        OSError: if it could not be written.
    """
    target = object_file(objects, md5)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        if is_moved:
            link_or_copy(source, beside)
        else:
            shutil.copyfile(source, beside)
        sync_file(beside)
        beside.chmod(0o444)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def refill(objects: Path, dvc_md5: str, folder: Path) -> None:
    """Restore the missing objects of a version in a cache from a folder with some or all of its files."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    found = {name: md5_of(paths[name]) for name in sorted(paths)}
    listing = _listing(found)
    if hashlib.md5(listing, usedforsecurity=False).hexdigest() == dvc_md5.removesuffix(".dir"):
        _put(objects, dvc_md5, listing)
    if is_intact(objects, dvc_md5):
        for name, md5 in manifest(objects, dvc_md5).items():
            if found.get(name) == md5 and not is_intact(objects, md5):
                _put(objects, md5, paths[name].read_bytes())


def _listing(files: Mapping[str, str]) -> bytes:
    entries = (f'{{"md5": "{files[name]}", "relpath": {quoted(name)}}}' for name in sorted(files))
    return f"[{', '.join(entries)}]".encode()


def _put(objects: Path, md5: str, content: bytes) -> None:
    object_file(objects, md5).unlink(missing_ok=True)
    write_bytes(object_file(objects, md5), content)


def object_file(objects: Path, md5: str) -> Path:
    """Return where an object lies."""
    return objects / md5[:2] / md5[2:]


def forget(objects: Path, hashes: Sequence[str]) -> None:
    """Delete objects, so that DVC stores or fetches them again."""
    for md5 in hashes:
        object_file(objects, md5).unlink(missing_ok=True)


def make_pin(dvc_md5: str, *, num_files: int, size_bytes: int) -> str:
    """Return the text of the `data.dvc` that ``dvc add data`` would write."""
    return (
        f"outs:\n- md5: {dvc_md5}\n  size: {size_bytes}\n  nfiles: {num_files}\n  hash: md5\n  path: data\n"
    )


def pinned_md5(pin: Path) -> str:
    """Return the ``….dir`` hash a `data.dvc` pins, or an empty string if there is none."""
    return find_md5(pin.read_text()) if pin.exists() else ""


def find_size(pin: str) -> int | None:
    """Return the size of all files together, in bytes, in the text of a `data.dvc`; None if it tells none."""
    match = re.search(r"^ *size: (\d+)$", pin, re.MULTILINE)
    return int(match.group(1)) if match else None


def find_md5(pin: str) -> str:
    """Return the ``….dir`` hash in the text of a `data.dvc`, or an empty string."""
    match = re.search(r"md5: ([0-9a-f]{32}\.dir)", pin)
    return match.group(1) if match else ""
