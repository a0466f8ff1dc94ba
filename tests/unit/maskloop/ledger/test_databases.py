"""A database's address and errors: files of any name, and a cure and an exit code for what goes wrong."""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from maskloop.database.address import place_of, read_url, sqlite_url
from maskloop.database.failures import explain
from maskloop.errors import AccessError, ConfigurationError, MaskloopError, StorageError, UnavailableError
from maskloop.files import access_error, storage_error, write_text
from maskloop.ledger.sql_ledger import SqlLedger
from maskloop.settings.workspace_settings import ServerSettings
from maskloop.workspace import Workspace
from monitoring.samples.sample_log import SqlSampleLog
from serving.rollout.sql_pair_log import SqlPairLog

NOBODY = 65534


@pytest.fixture
def forbidden() -> Iterator[Path]:
    """A folder this process may read but not write in."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        own = os.geteuid()
        if own == 0:
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(own)
            folder.chmod(0o755)


@pytest.mark.parametrize(
    "name", ["parts?", "line #2", "100% parts", "my%20parts", "halls 1, 2", "Prüfstand", "a:b"]
)
def test_every_database_of_a_workspace_lies_inside_it_whatever_its_name(tmp_path: Path, name: str) -> None:
    workspace = Workspace(tmp_path / name)
    SqlLedger.at(workspace.ledger_file).append("moon.landed", {})
    SqlSampleLog(workspace.samples_dir, keep_pictures=1, retention_days=1).close()
    SqlPairLog.at(workspace.pairs_file, keep_pictures=1).close()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert workspace.ledger_file.is_file()
    assert workspace.pairs_file.is_file()
    assert list(workspace.samples_dir.glob("*.db"))


def test_an_address_is_shown_without_its_password() -> None:
    assert place_of("postgresql://anna:secret@db:5432/ledger") == "postgresql://db:5432/ledger"
    assert place_of(sqlite_url(Path("/a?b/ledger.db"))) == "/a?b/ledger.db"


@pytest.mark.parametrize("driver", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_way_to_write_postgresql_means_psycopg(driver: str) -> None:
    assert read_url(f"{driver}://anna:secret@db:5432/parts").drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("anna:secret@db/parts", "cannot be read"),
        ("postgresql://anna:secret@db:port/parts", "cannot be read"),
        ("mysql://anna:secret@db/parts", "mysql is not a kind of database that maskloop knows"),
        ("sqlite://", "without a file keeps nothing"),
        ("sqlite:///:memory:", "without a file keeps nothing"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_its_password(written: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_url(written)
    assert "secret" not in str(caught.value)
    assert "postgresql://user@host/database" in caught.value.hint


def test_settings_choose_where_each_store_lies() -> None:
    assert ServerSettings().shared_url == ""
    assert ServerSettings(database_url="postgresql://db/all").shared_url == "postgresql://db/all"
    both = ServerSettings(database_url="postgresql://db/all", ledger_url="postgresql://db/ledger")
    assert both.shared_url == "postgresql://db/ledger"


def test_without_psycopg_an_address_of_postgresql_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match="psycopg is not installed") as caught:
        SqlLedger("postgresql://db/parts")
    assert "maskloop[postgresql]" in caught.value.hint


def failure(file: Path, statement: str) -> MaskloopError:
    engine = create_engine(sqlite_url(file), connect_args={"timeout": 0})
    with pytest.raises(SQLAlchemyError) as caught, engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    return explain(caught.value, "the ledger", str(file))


def test_a_locked_database_asks_to_be_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN EXCLUSIVE")
        error = failure(file, "CREATE TABLE t (x)")
    assert isinstance(error, UnavailableError)
    assert error.exit_code == 75
    assert str(error).startswith(
        f"the ledger is locked by another process ({file}). Run the same command again"
    )


def test_a_damaged_database_is_no_case_for_trying_again(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    file.write_text("this is no database, " * 100)
    error = failure(file, "SELECT 1 FROM t")
    assert (error.exit_code, error.hint) == (74, "Bring the file back from a backup")


def test_a_ledger_in_a_folder_of_another_user_names_both_users(forbidden: Path) -> None:
    with pytest.raises(AccessError, match="the ledger cannot be opened") as caught:
        SqlLedger.at(forbidden / "ledger.db")
    assert caught.value.exit_code == 77
    assert caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_the_owner_and_the_present_user_are_named(forbidden: Path) -> None:
    error = access_error("the ledger cannot be opened", forbidden / ".maskloop" / "ledger.db")
    assert f"{forbidden} belongs to root, and this process runs as nobody" in error.headline
    assert error.hint.startswith("Run the command as root")


def test_a_file_that_may_not_be_written_is_no_traceback_and_no_full_disk(forbidden: Path) -> None:
    with pytest.raises(AccessError, match="not permitted"):
        write_text(forbidden / "maskloop.toml", "")


def test_a_read_only_file_system_is_named(tmp_path: Path) -> None:
    error = storage_error(OSError(30, "Read-only file system"), tmp_path / "x")
    assert isinstance(error, StorageError)
    assert (error.exit_code, "writable" in error.hint) == (77, True)


def test_a_remote_database_that_is_away_asks_to_be_tried_again() -> None:
    error = explain(
        OperationalError("", {}, Exception("no route to host")), "the ledger", "postgresql://db/x"
    )
    assert error.exit_code == 75
