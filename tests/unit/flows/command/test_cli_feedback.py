"""`maskloop feedback` on a real workspace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.command.main import main
from flows.workspace.wiring import App, open_app
from monitoring.samples.values import Sample
from serving.schemas import FeedbackRequest


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    for name in ("PREFECT_API_URL", "MASKLOOP_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "maskloop.toml").write_text("[gates]\n")
    return open_app(tmp_path)


def run(app: App, *arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "-w", str(app.workspace.root)])
    assert ended.value.code == 0


def people_spoke(app: App) -> None:
    from flows.answering.feedback import take_feedback

    for request_id, verdict in (("r1", "wrong"), ("r2", "right")):
        app.samples.add(Sample(request_id, app.clock.now(), "3", "w", "d", "belt", {}))
        said: dict[str, Any] = {"request_id": request_id, "verdict": verdict, "note": "upside down"}
        take_feedback(app.samples, app.corrections, FeedbackRequest(**said), by="rita", now=app.clock.now())


def test_what_was_said_is_listed_with_how_often_a_version_was_wrong(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    people_spoke(app)
    run(app, "feedback", "list", "--json")
    told = json.loads(capsys.readouterr().out)
    assert [row["request"] for row in told["corrections"]] == ["r2", "r1"]
    assert told["corrections"][1] | {"at": ""} == {
        "request": "r1",
        "at": "",
        "by": "rita",
        "version": "3",
        "verdict": "wrong",
        "instances": None,
        "label": "none",
        "detail": "",
        "note": "upside down",
    }
    assert told["judged"] == [{"model_version": "3", "num_right": 1, "num_wrong": 1, "wrong_percent": 50}]
    run(app, "feedback", "list")
    shown = " ".join(capsys.readouterr().out.split())
    assert "r1" in shown
    assert "rita: version 3 wrong: upside down" in shown
    run(app, "status")
    assert "feedback: 1 of 2 judged answers of version 3 were wrong" in capsys.readouterr().out


def test_with_nothing_said_there_is_nothing_to_list_or_to_ingest(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    run(app, "feedback", "list")
    assert "nobody has said anything yet" in capsys.readouterr().out
    run(app, "feedback", "ingest", "--again")
    assert "nothing waits" in capsys.readouterr().out
