from __future__ import annotations

from pathlib import Path

import pytest

from flows.gameday.throwaway import (
    SEALED,
    change_settings,
    copy_workspace,
    digest_workspace,
    no_server_named,
)
from flows.workspace.creation import init_workspace
from flows.workspace.wiring import App, open_app
from maskloop.errors import RefusedError
from maskloop.records.kinds import AliasTampered, write_record
from maskloop.settings.workspace_settings import load_settings

OUTSIDE = """
[data]
remote = "s3://pictures/parts"

[gates]
critical_classes = ["bolt [steel]"]
class_iou_floors = { "bolt [steel]" = 0.75 }

[labelling]
tool = "label-studio"
"url" = "http://labels.example.org"
request_on_drift = 50

[notifications.channels.chat]
url_variable = "CHAT_URL"

[serving]
host = "0.0.0.0"
otlp_endpoint = "http://collector.example.org/v1/traces"
"""


@pytest.fixture
def app(tmp_path: Path) -> App:
    """A workspace with a repository and an entry in its ledger, open and being written."""
    init_workspace(tmp_path / "own", preset="demo")
    (tmp_path / "own" / "incoming").mkdir()
    (tmp_path / "own" / ".maskloop" / "servers.json").write_text("{}")
    app = open_app(tmp_path / "own")
    write_record(app.ledger, AliasTampered(alias="champion", expected_version="1", found_version="2"))
    return app


def test_a_copy_holds_the_record_and_what_is_written_there_is_not_in_the_original(
    app: App, tmp_path: Path
) -> None:
    before = digest_workspace(app.workspace)
    copied = copy_workspace(app, tmp_path / "copy", {"monitoring": {"window_samples": 60}})
    assert copied.settings.monitoring.window_samples == 60
    assert not (copied.root / "incoming").exists()
    assert not (copied.state_dir / "servers.json").exists()
    other = open_app(copied.root)
    assert [entry.kind for entry in other.ledger.entries()] == ["alias.tampered"]
    write_record(other.ledger, AliasTampered(alias="champion", expected_version="1", found_version="3"))
    (copied.root / "data.dvc").write_text("changed")
    assert digest_workspace(app.workspace) == before
    assert len(app.ledger.entries()) == 1


def test_a_change_of_the_original_is_seen_in_its_files_and_in_the_rows_of_its_databases(app: App) -> None:
    before = digest_workspace(app.workspace)
    (app.workspace.root / ".dvcignore").write_text("changed")
    write_record(app.ledger, AliasTampered(alias="champion", expected_version="1", found_version="4"))
    after = digest_workspace(app.workspace)
    assert {name for name in after if before.get(name) != after[name]} == {
        ".dvcignore",
        ".maskloop/ledger.db",
    }


def test_a_copy_knows_no_server_channel_tool_or_remote_of_the_original(app: App) -> None:
    file = app.workspace.settings_file
    file.write_text(f'model_name = "parts"\n{OUTSIDE}')
    change_settings(app.workspace.root, load_settings(file), SEALED)
    settings = load_settings(file)
    assert settings.notifications.channels == {}
    assert (settings.labelling.tool, settings.labelling.request_on_drift) == ("folder", 0)
    assert settings.data.remote == ".maskloop/remote"
    assert (settings.serving.host, settings.serving.otlp_endpoint) == ("127.0.0.1", "")
    assert "example.org" not in settings.servers.model_dump_json()
    assert settings.model_name == "parts"
    assert settings.gates is not None
    assert settings.gates.class_iou_floors == {"bolt [steel]": 0.75}
    assert settings.gates.critical_classes == ("bolt [steel]",)


@pytest.mark.parametrize(
    "setting", ['ledger_url = "postgresql://db/x"', 'mlflow_tracking_uri = "http://127.0.0.1:5000"']
)
def test_a_workspace_whose_record_lies_in_a_server_is_refused(tmp_path: Path, app: App, setting: str) -> None:
    app.workspace.settings_file.write_text(f"[servers]\n{setting}\n")
    with pytest.raises(RefusedError, match="lies in a server"):
        copy_workspace(open_app(app.workspace.root), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_servers_that_the_environment_names_are_not_asked_and_named_again_afterwards(
    monkeypatch: pytest.MonkeyPatch, app: App
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example.org")
    with no_server_named():
        assert app.tracking_uri.startswith("sqlite:///")
    assert app.tracking_uri == "http://mlflow.example.org"
