"""The composition root: what is refused before a part is used."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flows.workspace.wiring import App, open_app
from maskloop.errors import ConfigurationError, UnavailableError
from maskloop.records.kinds import CandidateRegistered, CycleOpened, write_record


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "maskloop.toml").write_text("[gates]\n")
    app = open_app(tmp_path)
    write_record(
        app.ledger, CycleOpened(trigger_key="t", reason="manual", detail="a test"), cycle_id="cycle-1"
    )
    return app


def register_a_candidate(app: App) -> None:
    candidate = CandidateRegistered(
        version="1",
        weights_digest="w" * 64,
        run_id="r",
        data_tag="data-v1",
        data_fingerprint="f" * 64,
        seconds=1.0,
        requested_by="rita",
    )
    write_record(app.ledger, candidate, cycle_id="cycle-1")


def test_a_new_mlflow_database_may_begin_until_the_ledger_names_a_version(app: App) -> None:
    app.prepare_mlflow()
    register_a_candidate(app)
    with pytest.raises(UnavailableError, match="database is gone"):
        app.prepare_mlflow()


def test_a_lost_mlflow_database_is_not_replaced_by_an_empty_one(app: App) -> None:
    register_a_candidate(app)
    for use in (lambda: app.models.version("1"), lambda: app.tracker.open_run("k", name="n", tags={})):
        with pytest.raises(UnavailableError, match="database is gone"):
            use()
    assert not (app.workspace.mlflow_dir / "mlflow.db").exists()


@pytest.mark.parametrize("script", ["", "create table runs (run_uuid text)"])
def test_an_mlflow_database_that_was_begun_anew_is_no_better_than_none(app: App, script: str) -> None:
    register_a_candidate(app)
    database = app.workspace.mlflow_dir / "mlflow.db"
    database.parent.mkdir()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executescript(script)
    with pytest.raises(UnavailableError, match=r"database is gone, or empty.*Put it back"):
        app.models.version("1")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executescript("drop table if exists runs; create table runs as select 'r' as run_uuid")
    app.prepare_mlflow()


def test_with_another_mlflow_server_nothing_is_kept_here(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    register_a_candidate(app)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    app.prepare_mlflow()
    assert app.tracking_uri == "http://127.0.0.1:1"
    assert not app.workspace.mlflow_dir.exists()


def test_a_workspace_with_a_history_is_not_begun_anew_by_naming_an_empty_database(app: App) -> None:
    root, file = app.workspace.root, app.workspace.ledger_file
    settings = f'[servers]\nledger_url = "sqlite:///{root}/shared.db"\n[gates]\n'
    (root / "maskloop.toml").write_text(settings)
    with pytest.raises(ConfigurationError, match=r"holds no ledger.*ledger\.db"):
        open_app(root).state()
    file.rename(file.with_name("before.db"))
    assert open_app(root).state().cycles == {}
    register_a_candidate(open_app(root))
    file.with_name("before.db").rename(file)
    assert open_app(root).state().last_sequence == 1, "the shared one has its own history by now"
