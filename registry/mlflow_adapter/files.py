"""The files of a workspace's own MLflow: its database names them by absolute paths."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from maskloop.errors import StorageError, UnavailableError

_PLACES: Final = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Columns of MLflow 3's database that hold such a path."""
_LOCK_TIMEOUT_S: Final = 10.0


def bring_files_along(root: Path, database: Path, artifacts_dir: Path) -> tuple[str, ...]:
    """Make the database of a copied or moved workspace name the files beside it; twice changes nothing more.

    Args:
        root: The workspace's folder.
        database: MLflow's SQLite database, in it.
        artifacts_dir: Where the files lie, in it; need not exist.

    Returns:
        The folders of files that the database named until now and that are not this one.

    Raises:
        StorageError: if the files were left behind, or the database cannot be changed.
        UnavailableError: if it stays locked.
    """
    tail = f"/{artifacts_dir.relative_to(root).as_posix()}"
    with _opened(database) as connection:
        elsewhere = [old for old in _named_folders(connection, tail) if not _is_same(old, artifacts_dir)]
        for old in elsewhere:
            _refuse_if_left_behind(old, artifacts_dir)
            new = artifacts_dir.as_uri() if old.startswith("file:") else str(artifacts_dir)
            _replace(connection, old, new)
        connection.commit()
    return tuple(elsewhere)


def holds_runs(database: Path) -> bool:
    """Tell whether a run was ever recorded here: MLflow begins an empty database wherever there is none.

    Raises:
        StorageError: if it cannot be read.
        UnavailableError: if it stays locked.
    """
    if not database.exists():
        return False
    with _opened(database) as connection:
        return _has_table(connection, "runs") and bool(connection.execute("SELECT 1 FROM runs").fetchone())


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    try:
        uri = f"{database.as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, timeout=_LOCK_TIMEOUT_S, uri=True)) as connection:
            yield connection
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise UnavailableError("MLflow's database is in use", where=str(database)) from error
        raise StorageError(f"MLflow's database cannot be used: {error}", where=str(database)) from error
    except sqlite3.DatabaseError as error:
        raise StorageError(f"MLflow's database cannot be read: {error}", where=str(database)) from error


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone())


def _named_folders(connection: sqlite3.Connection, tail: str) -> list[str]:
    """Return each different path that ends with ``tail`` and that an experiment's files lie below."""
    if not _has_table(connection, "experiments"):
        return []  # brand new
    rows = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    locations = [location for (location,) in rows if tail in (location or "")]
    return sorted({location[: location.rindex(tail) + len(tail)] for location in locations})


def _is_same(location: str, directory: Path) -> bool:
    path = _to_path(location)
    return path == directory or (path.exists() and directory.exists() and path.samefile(directory))


def _refuse_if_left_behind(location: str, artifacts_dir: Path) -> None:
    if _to_path(location).exists() and not artifacts_dir.exists():
        raise StorageError(
            "this workspace was copied without MLflow's files",
            where=str(artifacts_dir),
            hint=f"copy them from {_to_path(location)}",
        )


def _to_path(location: str) -> Path:
    return Path(unquote(urlsplit(location).path) if location.startswith("file:") else location)


def _replace(connection: sqlite3.Connection, old: str, new: str) -> None:
    for table, column in _PLACES:
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 - names from `_PLACES`
            f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
            (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
        )
