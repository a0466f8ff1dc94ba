"""One migrated MLflow database per session, copied for each test: making a fresh one takes seconds."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest


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
