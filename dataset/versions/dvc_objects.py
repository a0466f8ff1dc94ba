"""DVC's storage on disk: a folder of objects named by their md5, and ``.dir`` objects that list files.

DVC says little about damage, so everything here re-reads and re-hashes. Source: DVC 3's ``files/md5`` layout.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from maskloop.files import write_bytes


def damaged_objects(objects: Path, dvc_md5: str) -> tuple[str, ...]:
    """Return the hashes of a ``.dir`` object's files that are missing or altered, itself included.

    Args:
        objects: The ``files/md5`` folder of a DVC cache or remote.
        dvc_md5: The ``….dir`` hash `data.dvc` pins.
    """
    if not is_intact(objects, dvc_md5):
        return (dvc_md5,)
    hashes = sorted(set(manifest(objects, dvc_md5).values()))
    return tuple(md5 for md5 in hashes if not is_intact(objects, md5))


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``, or a copy of it where a hard link is impossible."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def is_intact(objects: Path, md5: str) -> bool:
    """Say whether an object is there and is what its name says."""
    try:
        return md5_of(object_file(objects, md5)) == md5.removesuffix(".dir")
    except OSError:
        return False


def md5_of(path: Path) -> str:
    """Return the md5 of a file's bytes, as DVC names objects."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def manifest(objects: Path, dvc_md5: str) -> dict[str, str]:
    """Map each file name of a ``.dir`` object to its hash."""
    entries = json.loads(object_file(objects, dvc_md5).read_bytes())
    return {entry["relpath"]: entry["md5"] for entry in entries}


def refill(objects: Path, dvc_md5: str, folder: Path) -> None:
    """Restore the missing objects of a version in a cache from a folder with some or all of its files."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    found = {name: md5_of(paths[name]) for name in sorted(paths)}
    listing = json.dumps([{"md5": md5, "relpath": name} for name, md5 in found.items()]).encode()
    if hashlib.md5(listing, usedforsecurity=False).hexdigest() == dvc_md5.removesuffix(".dir"):
        _put(objects, dvc_md5, listing)
    if is_intact(objects, dvc_md5):
        for name, md5 in manifest(objects, dvc_md5).items():
            if found.get(name) == md5 and not is_intact(objects, md5):
                _put(objects, md5, paths[name].read_bytes())


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


def pinned_md5(pin: Path) -> str:
    """Return the ``….dir`` hash a `data.dvc` pins, or an empty string if there is none."""
    return find_md5(pin.read_text()) if pin.exists() else ""


def find_md5(pin: str) -> str:
    """Return the ``….dir`` hash in the text of a `data.dvc`, or an empty string."""
    match = re.search(r"md5: ([0-9a-f]{32}\.dir)", pin)
    return match.group(1) if match else ""
