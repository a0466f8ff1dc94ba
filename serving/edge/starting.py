"""The door of a bundle, its `__main__.py`: every byte is checked before any of it runs. Needs Python alone.

``python BUNDLE.zip install HOME`` lays a bundle beside those before and switches the link ``current``;
``rollback`` switches back; everything else is handed to the server inside the bundle.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import uuid
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

MANIFEST_FILE: Final = "bundle.json"
CODE_FOLDER: Final = "code"
_DAMAGED, _MISSING, _WRONG = 76, 66, 78
_COMPILED: Final = "__pycache__"
Read = Callable[[str], bytes]


class BundleError(Exception):
    """What is wrong with a bundle, in a sentence, and the exit code that says so."""

    def __init__(self, sentence: str, exit_code: int = _DAMAGED) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def main(arguments: Sequence[str] | None = None, *, here: Path | None = None) -> int:
    """Do what the command line says; return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    bundle = here or Path(__file__).resolve().parent
    try:
        if words[:1] in (["serve"], ["keys"]):
            return _run_inside(bundle, words)
        asked = _make_parser().parse_args(words)
        match asked.command:
            case "install":
                print(install(bundle, asked.home, expected_digest=asked.digest))
            case "rollback":
                print(rollback(asked.home))
            case _:
                print(f"every byte is the recorded one: {verify(bundle)[0]}")
    except BundleError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python BUNDLE", description="A model with a small server, for a device at the edge."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    install = commands.add_parser("install", help="lay the bundle into HOME and switch HOME/current to it")
    install.add_argument("home", type=Path)
    install.add_argument("--digest", default="", help="refuse a bundle that has another one")
    rollback = commands.add_parser("rollback", help="switch HOME/current back to the bundle before")
    rollback.add_argument("home", type=Path)
    commands.add_parser("verify", help="check every byte")
    commands.add_parser("serve", help="answer pictures; `serve --help` says more")
    commands.add_parser("keys", help="make an API key; `keys --help` says more")
    return parser


def verify(bundle: Path) -> tuple[str, dict[str, Any]]:
    """Check every byte of a bundle, a zip or a folder; return its digest and its manifest.

    The digest is the sha256 of the manifest, which holds the sha256 of every other file.

    Raises:
        BundleError: naming the first file that is missing, changed, or nobody's.
    """
    with _opened(bundle) as (names, read):
        digest, manifest = _read_manifest(bundle, names, read)
        files: dict[str, str] = manifest["files"]
        if unknown := sorted(names - files.keys() - {MANIFEST_FILE}):
            raise BundleError(f"the bundle is damaged: {unknown[0]} does not belong to it ({bundle})")
        for name, wanted in files.items():
            if name not in names:
                raise BundleError(f"the bundle is damaged: {name} is missing ({bundle}). {_AGAIN}")
            if hashlib.sha256(read(name)).hexdigest() != wanted:
                raise BundleError(f"the bundle is damaged: {name} was changed ({bundle}). {_AGAIN}")
    return digest, manifest


_AGAIN: Final = "Install the zip again, or go back with `rollback HOME`"


def install(bundle: Path, home: Path, *, expected_digest: str = "") -> str:
    """Lay a bundle into a folder of its own and switch ``current`` to it; say so in a sentence.

    What served before stays as ``previous``; older ones are removed. Killed at any moment, it leaves either
    the old bundle or the new one as current, and can be run again.

    Args:
        bundle: A zip, or a folder.
        home: Where bundles lie; made if it is missing.
        expected_digest: As `maskloop export --bundle` said it; a bundle with another one is refused.

    Raises:
        BundleError: if the bundle is damaged, or is another one.
    """
    digest, manifest = verify(bundle)
    if expected_digest not in ("", digest):
        raise BundleError(f"this is another bundle: its digest is {digest}, not {expected_digest}")
    target = home / digest[:16]
    named = f"version {manifest.get('version', '?')} ({digest[:16]})"
    if not _is_whole(target):
        _lay(bundle, [*manifest["files"], MANIFEST_FILE], target)
    before = _target_of(home / "current")
    if before == target.name:
        return f"{named} is current already"
    if before:
        _switch(home / "previous", before)
    _switch(home / "current", target.name)
    _remove_others(home)
    return f"{named} is current; a server that runs goes on with the old one until it is started again"


def rollback(home: Path) -> str:
    """Switch back to the bundle before; twice switches forward again.

    Raises:
        BundleError: if there is none, or it is damaged.
    """
    current, previous = _target_of(home / "current"), _target_of(home / "previous")
    if not previous or previous == current:
        raise BundleError(f"there is no bundle before this one in {home}", _MISSING)
    _, manifest = verify(home / previous)
    _switch(home / "current", previous)
    if current:
        _switch(home / "previous", current)
    return f"version {manifest.get('version', '?')} ({previous}) is current again; start the server again"


def _run_inside(bundle: Path, words: Sequence[str]) -> int:
    if zipfile.is_zipfile(bundle):
        raise BundleError(f"a zip does not serve: `python {bundle} install HOME`, then HOME/current", _WRONG)
    verify(bundle)
    sys.path.insert(0, str(bundle / CODE_FOLDER))
    try:
        command = import_module("serving.edge.command")  # here, since it may only run once it is verified
    except ImportError as error:
        raise BundleError(
            f"a package is missing: {error.name}. Install what {bundle / 'requirements.txt'} names", _WRONG
        ) from error
    code: int = command.main(words, bundle=bundle)
    return code


@contextmanager
def _opened(bundle: Path) -> Iterator[tuple[set[str], Read]]:
    """Give the names in a bundle and what reads them."""
    if bundle.is_dir():
        files = (file for file in bundle.rglob("*") if file.is_file() and _COMPILED not in file.parts)
        yield (
            {file.relative_to(bundle).as_posix() for file in files},
            lambda name: (bundle / name).read_bytes(),
        )
        return
    try:
        with zipfile.ZipFile(bundle) as archive:
            yield set(archive.namelist()), archive.read
    except (OSError, zipfile.BadZipFile) as error:
        raise BundleError(f"there is no bundle, or its zip is damaged: {error} ({bundle})") from error


def _read_manifest(bundle: Path, names: set[str], read: Read) -> tuple[str, dict[str, Any]]:
    if MANIFEST_FILE not in names:
        raise BundleError(f"this is no bundle: {MANIFEST_FILE} is missing ({bundle})", _MISSING)
    data = read(MANIFEST_FILE)
    try:
        manifest = json.loads(data)
        files = manifest["files"]
        is_one = all(isinstance(digest, str) and _is_inside(name) for name, digest in files.items())
    except (ValueError, KeyError, TypeError, AttributeError):
        is_one = False
    if not is_one:
        raise BundleError(f"the bundle is damaged: {MANIFEST_FILE} cannot be read ({bundle}). {_AGAIN}")
    if manifest.get("schema_version") != 1:
        raise BundleError(f"this bundle was made by a newer version of maskloop ({bundle})", _WRONG)
    return hashlib.sha256(data).hexdigest(), manifest


def _is_inside(name: str) -> bool:
    return not name.startswith("/") and "\\" not in name and ".." not in name.split("/")


def _is_whole(folder: Path) -> bool:
    try:
        verify(folder)
    except BundleError:
        return False
    return True


def _lay(bundle: Path, names: Sequence[str], target: Path) -> None:
    """Copy a bundle's files into a folder, whole or not at all."""
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        with _opened(bundle) as (_, read):
            for name in names:
                file = beside / name
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("wb") as out:
                    out.write(read(name))
                    out.flush()
                    os.fsync(out.fileno())
        verify(beside)
        shutil.rmtree(target, ignore_errors=True)
        beside.replace(target)
    except OSError as error:
        raise BundleError(f"the bundle cannot be laid into {target.parent}: {error.strerror}", 74) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _target_of(link: Path) -> str:
    return str(link.readlink()) if link.is_symlink() else ""


def _switch(link: Path, target: str) -> None:
    beside = link.with_name(f".{link.name}.{uuid.uuid4().hex[:8]}")
    beside.symlink_to(target)
    beside.replace(link)


def _remove_others(home: Path) -> None:
    kept = {_target_of(home / "current"), _target_of(home / "previous")}
    for folder in home.iterdir():
        is_other = folder.is_dir() and not folder.is_symlink() and folder.name not in kept
        if is_other and (folder.name.startswith(".") or (folder / MANIFEST_FILE).is_file()):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
