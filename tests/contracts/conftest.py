"""Databases for tests: migrated once in a session, then copied, because a fresh one takes too long."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from maskloop.database.database import Database
from tests.fakes.label_studio_server import LEGACY_TOKEN
from tests.fakes.postgresql import PostgresqlServer, postgresql_server
from tests.fakes.real_label_studio import RealServer, real_label_studio
from tests.fakes.stores import STORES


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from registry.mlflow_adapter.connection import connect

    file = tmp_path_factory.mktemp("mlflow") / "template.db"
    connect(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def mlflow_uri(mlflow_template: Path, tmp_path: Path) -> str:
    """A database of its own, whose artifacts lie below the test's folder."""
    copy = tmp_path / "mlflow.db"
    shutil.copy(mlflow_template, copy)
    with sqlite3.connect(copy) as database:
        database.execute("update experiments set artifact_location = ?", ((tmp_path / "artifacts").as_uri(),))
    database.close()
    return f"sqlite:///{copy}"


@pytest.fixture(scope="session")
def label_studio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A real Label Studio server, started when the first test asks for it."""
    with real_label_studio(tmp_path_factory.mktemp("label-studio")) as server:
        yield server


@pytest.fixture(scope="session")
def server_url(label_studio_server: RealServer) -> str:
    """The address of the real Label Studio server."""
    return label_studio_server.url


@pytest.fixture(scope="session")
def personal_token(server_url: str) -> str:
    """A personal access token for it; a server shows each whole only once."""
    headers = {"Authorization": f"Token {LEGACY_TOKEN}"}
    made = httpx.post(f"{server_url}/api/token/", headers=headers)
    made.raise_for_status()
    return str(made.json()["token"])


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A real server, started when the first test asks for it."""
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def _shared_url(postgresql: PostgresqlServer) -> Iterator[str]:
    with postgresql.database() as url:
        for store in STORES:
            Database(url, store).close()
        yield url


@pytest.fixture
def postgresql_url(postgresql: PostgresqlServer, _shared_url: str) -> Iterator[str]:
    """A database in which every store is empty and at its newest version."""
    yield _shared_url
    postgresql.empty(make_url(_shared_url).database or "")


@pytest.fixture
def empty_postgresql_url(postgresql: PostgresqlServer) -> Iterator[str]:
    """A database of its own, without any table."""
    with postgresql.database() as url:
        yield url
