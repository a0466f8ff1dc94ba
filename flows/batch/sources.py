"""Where pictures come from: a folder, a list of them, or whatever fsspec reaches, such as ``s3://bucket/prefix``."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import fsspec
import pyarrow.parquet

from maskloop.blobs.failures import explain_s3
from maskloop.errors import (
    AccessError,
    ConfigurationError,
    DataError,
    MaskloopError,
    NotFoundError,
    UnavailableError,
)

_LISTS: Final = (".txt", ".csv", ".parquet")
_COLUMNS: Final = ("picture", "path", "file", "file_name", "filename", "image", "url")
_EXTRAS: Final = {"s3": "s3"}
"""By a URL's scheme: the extra of maskloop that reaches it."""


@dataclass(frozen=True)
class Pictures:
    """The pictures below one place. It can be pickled.

    Attributes:
        root: A folder, or a URL such as ``s3://bucket/prefix``.
        are_named: Somebody named each of them, so that none may be passed over.
    """

    root: str
    are_named: bool = False

    def open(self, name: str) -> IO[bytes]:
        """Open a picture. Raises OSError, or what the library of the place raises."""
        place = self.locate(name)
        file: IO[bytes] = fsspec.open(place if is_url(place) else f"file://{place}", "rb").open()
        return file

    def read(self, name: str) -> bytes:
        """Return the bytes of a picture. Raises as `open` does."""
        with self.open(name) as file:
            return file.read()

    def locate(self, name: str) -> str:
        """Return a picture's path or URL.

        >>> Pictures("s3://photos/2026").locate("a/1.jpg")
        's3://photos/2026/a/1.jpg'
        >>> Pictures("/data").locate("s3://photos/1.jpg")
        's3://photos/1.jpg'
        """
        if is_url(name) or Path(name).is_absolute():
            return name
        return f"{self.root.rstrip('/')}/{name}"


def is_url(place: str) -> bool:
    """Tell whether a place is reached through fsspec.

    >>> is_url("s3://bucket/a"), is_url("/data/a")
    (True, False)
    """
    return "://" in place


def list_pictures(place: str, *, left_out: Path) -> tuple[Pictures, Iterator[str]]:
    """Return the pictures of a place and their names, one by one.

    Hidden files are left out; whether a file is a picture is seen when it is read.

    Args:
        place: A folder; a file that is itself a picture; a list, one picture a line (.txt) or in a column
            (.csv, .parquet); or a URL of a picture or of what they lie below.
        left_out: A folder that may lie inside.

    Raises:
        NotFoundError: if there is nothing there.
        DataError: if a list names no column of pictures.
        ConfigurationError: if a package that reaches the place is missing.
        UnavailableError, AccessError: if it does not answer, or not to this user.
    """
    if is_url(place):
        return Pictures(place), _list_url(place)
    path = Path(place).absolute()
    if path.is_dir():
        return Pictures(str(path)), _list_folder(path, left_out.absolute())
    if not path.exists():
        raise NotFoundError("there is nothing here", where=place)
    names = iter([path.name])
    if path.suffix.lower() in _LISTS:
        names = iter(dict.fromkeys(_read_list(path)))
    return Pictures(str(path.parent), are_named=True), names


def _list_folder(folder: Path, left_out: Path) -> Iterator[str]:
    for where, folders, files in os.walk(folder):
        here = Path(where)
        folders[:] = sorted(one for one in folders if one[0] != "." and here / one != left_out)
        for name in sorted(files):
            if not name.startswith("."):
                yield (here / name).relative_to(folder).as_posix()


def _list_url(url: str) -> Iterator[str]:
    with telling_what_fails(url):
        system, path = fsspec.url_to_fs(url)
        found = system.find(path)
    if not found:
        raise NotFoundError("there is nothing here", where=url, hint="is the bucket or the prefix misspelt?")
    for one in found:
        name = os.path.relpath(one, path)
        if name == ".":  # the address of a picture itself
            yield url
        elif not any(part.startswith(".") for part in name.split("/")):
            yield name


@contextmanager
def telling_what_fails(url: str) -> Iterator[None]:
    """Turn what a library raises about a place into an error in plain words.

    Raises:
        ConfigurationError, NotFoundError, AccessError, UnavailableError: see `list_pictures`.
    """
    scheme = url.partition("://")[0]
    try:
        yield
    except (ImportError, ValueError) as error:
        extra = _EXTRAS.get(scheme)
        raise ConfigurationError(
            f"{scheme}:// addresses cannot be read here: {error}",
            where=url,
            hint=f"install maskloop with its extra: pip install 'maskloop[{extra}]'"
            if extra
            else "name a folder, a list, or an address that fsspec knows",
        ) from error
    except MaskloopError:
        raise
    except Exception as error:
        if scheme == "s3":
            raise explain_s3(error, url) from error
        raise _explain(error, url) from error


def _explain(error: Exception, url: str) -> MaskloopError:
    """Say in plain words why a place that is not S3 cannot be read."""
    if isinstance(error, FileNotFoundError):
        return NotFoundError("there is nothing here", where=url, hint="is the address right?")
    if isinstance(error, PermissionError):
        return AccessError(f"not permitted: {error}", where=url, hint="let this user read it")
    return UnavailableError(
        f"the place does not answer: {type(error).__name__}: {error}",
        where=url,
        hint="are the network and the address right?",
    )


def _read_list(path: Path) -> Iterable[str]:
    kind = path.suffix.lower()
    if kind == ".parquet":
        return _read_parquet(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError("the list is not UTF-8 text", where=str(path)) from error
    if kind == ".txt":
        return [line.strip() for line in lines if line.strip()]
    rows = list(csv.DictReader(lines))
    column = _choose_column(list(rows[0]) if rows else _COLUMNS, path)
    return [row[column] for row in rows if row[column]]


def _read_parquet(path: Path) -> Iterator[str]:
    try:
        file: Any = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"the list cannot be read: {error}", where=str(path)) from error
    column = _choose_column(file.schema_arrow.names, path)
    for batch in file.iter_batches(columns=[column]):
        yield from (str(name) for name in batch.column(0).to_pylist() if name)


def _choose_column(columns: Iterable[str], path: Path) -> str:
    columns = [*columns]
    for wanted in _COLUMNS:
        if wanted in columns:
            return wanted
    raise DataError(
        f"the list has no column of pictures: it has {', '.join(map(str, columns)) or 'none'}",
        where=str(path),
        hint=f"name one of them {_COLUMNS[0]}",
    )
