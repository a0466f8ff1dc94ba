"""The composition root: what is refused before a part is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.wiring import App, open_app
from maskloop.errors import UnavailableError
from maskloop.records import CandidateRegistered, CycleOpened, write_record


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "maskloop.toml").write_text("[gates]\n")
    app = open_app(tmp_path)
    write_record(app.ledger, CycleOpened(trigger_key="t", reason="manual", detail="a test"), cycle="cycle-1")
    return app


def test_a_new_workspace_may_begin_a_new_mlflow_database(app: App) -> None:
    app.check_mlflow()


def test_a_lost_mlflow_database_is_not_replaced_by_an_empty_one(app: App) -> None:
    candidate = CandidateRegistered(
        version="1",
        weights_digest="w" * 64,
        run_id="r",
        data_tag="data-v1",
        data_fingerprint="f" * 64,
        seconds=1.0,
        requested_by="rita",
    )
    write_record(app.ledger, candidate, cycle="cycle-1")
    for use in (app.models.versions, lambda: app.tracker.open_run("k", name="n", tags={})):
        with pytest.raises(UnavailableError, match="database is gone"):
            use()
    assert not (app.workspace.mlflow_dir / "mlflow.db").exists()


def test_whoever_names_another_mlflow_keeps_nothing_here(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    app.check_mlflow()
