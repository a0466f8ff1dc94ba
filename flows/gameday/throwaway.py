"""A copy of a workspace in which things may go wrong: nothing outside of it is reached from it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from flows.workspace.wiring import App
from maskloop.digest import digest_bytes, digest_file
from maskloop.errors import RefusedError
from maskloop.files import write_text
from maskloop.settings.workspace_settings import Settings
from maskloop.workspace import Workspace
from registry.mlflow_adapter.files import bring_files_along

_OWN: Final = ("data", "data.dvc", ".git", ".dvc", ".dvcignore", ".gitignore", ".maskloop", "prefect.yaml")
_LEFT_OUT: Final = (
    *("prefect", "logs", "locks", "servers.json", "processes.json", "training", "exports"),
    "gameday.html",
)
"""Of running servers, and what nothing here needs."""
_ELSEWHERE: Final = ("MLFLOW_TRACKING_URI", "PREFECT_API_URL")
_SQLITE: Final = b"SQLite format 3\x00"

Overrides = Mapping[str, Mapping[str, Any]]
"""Settings by section and name; a value of None takes the setting out, so that its default holds."""

SEALED: Final[Overrides] = {
    "servers": {"mlflow_tracking_uri": None, "prefect_api_url": None},
    "notifications": {"channels": None},
    "labelling": {"tool": "folder", "request_on_drift": 0},
    "data": {"remote": ".maskloop/remote"},
    "serving": {"host": "127.0.0.1", "port": 0, "workers": 1, "require_keys": False, "otlp_endpoint": ""},
}
"""What keeps a copy to itself: it knows no server, channel, labelling tool or remote of the original."""


def copy_workspace(app: App, target: Path, overrides: Overrides | None = None) -> Workspace:
    """Copy what maskloop keeps of a workspace; a database that is being written is copied in one moment.

    Args:
        app: Of the original, which is only read.
        target: A folder that does not exist yet.
        overrides: Other settings in the copy, after `SEALED`.

    Raises:
        RefusedError: if the record or the data are not in the workspace's own folder.
    """
    source = app.workspace
    refuse_what_lies_elsewhere(source)
    target.mkdir(parents=True)
    for name in _OWN:
        if (found := source.root / name).is_dir():
            shutil.copytree(found, target / name, symlinks=True, ignore=_skip, copy_function=_copy_file)
        elif found.exists():
            _copy_file(str(found), str(target / name))
    change_settings(target, source.settings, SEALED)
    copied = Workspace(target)
    database = copied.mlflow_dir / "mlflow.db"
    if database.exists():
        bring_files_along(target, database, copied.mlflow_dir / "artifacts")
    if overrides:
        change_settings(target, copied.settings, overrides)
    return Workspace(target)


def refuse_what_lies_elsewhere(source: Workspace) -> None:
    """Raise RefusedError if a copy of the folder would not be a copy of the workspace."""
    if source.settings.servers.shared_url or source.settings.servers.mlflow_tracking_uri:
        raise RefusedError(
            "a game day copies the workspace's folder, and here the record or MLflow lies in a server",
            where=str(source.settings_file),
            hint="hold it in a workspace of its own, such as that of `maskloop demo`",
        )
    if not (source.root / ".git").exists():
        raise RefusedError(
            "a game day needs the workspace's own git repository, to copy its data versions",
            where=str(source.root),
            hint="hold it in a workspace that `maskloop init` or `maskloop demo` made",
        )


def change_settings(root: Path, settings: Settings, overrides: Overrides) -> None:
    """Write a workspace's settings with some of them changed."""
    whole = settings.model_dump(mode="json", exclude_unset=True)
    for section, changed in overrides.items():
        values = {**whole.get(section, {}), **changed}
        whole[section] = {name: value for name, value in values.items() if value is not None}
    write_text(root / "maskloop.toml", "\n".join(_toml(whole)) + "\n")


def digest_workspace(source: Workspace) -> dict[str, str]:
    """Return the sha256 of everything that is copied, by path; of a database, that of its rows."""
    found = {"maskloop.toml": digest_file(source.settings_file)}
    for name in _OWN:
        place = source.root / name
        files = [place] if place.is_file() else sorted(place.rglob("*"))
        for file in files:
            inside = file.relative_to(source.root)
            if file.is_file() and not file.is_symlink() and not _is_left_out(inside):
                found[inside.as_posix()] = _digest_rows(file) if _is_database(file) else digest_file(file)
    return found


@contextmanager
def no_server_named() -> Iterator[None]:
    """Let no server that the environment names be asked while the body runs."""
    kept = {name: os.environ.pop(name) for name in _ELSEWHERE if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _skip(folder: str, names: list[str]) -> set[str]:
    is_state = Path(folder).name == ".maskloop"
    beside = {name for name in names if name.endswith(("-wal", "-shm"))}
    return beside | (set(names) & set(_LEFT_OUT) if is_state else set())


def _is_left_out(inside: Path) -> bool:
    parts = inside.parts
    is_state = len(parts) > 1 and parts[0] == ".maskloop" and parts[1] in _LEFT_OUT
    return is_state or inside.name == "gameday.html" or inside.name.endswith(("-wal", "-shm"))


def _copy_file(source: str, target: str) -> None:
    if not _is_database(Path(source)):
        shutil.copy2(source, target)
        return
    with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(target)) as copied:
        original.backup(copied)


def _is_database(file: Path) -> bool:
    if file.suffix != ".db":
        return False
    with file.open("rb") as opened:
        return opened.read(len(_SQLITE)) == _SQLITE


def _digest_rows(file: Path) -> str:
    with closing(sqlite3.connect(file)) as database:
        return digest_bytes("\n".join(database.iterdump()).encode())


def _toml(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the lines of a TOML document: strings, numbers, lists and tables of them."""
    if path:
        yield f"[{'.'.join(json.dumps(one) for one in path)}]"
    tables = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    for name, value in values.items():
        if name not in tables and value is not None:
            yield f"{json.dumps(name)} = {json.dumps(value, ensure_ascii=False)}"
    for name, table in tables.items():
        yield from _toml(table, (*path, name))
