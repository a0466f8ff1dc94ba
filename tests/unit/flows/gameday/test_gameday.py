"""A game day over the smallest workspace: what is not detected is said, and recorded in the copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.command.main import main
from flows.gameday.gameday import SCENARIOS, Gameday, play, render
from flows.gameday.scenario import Scenario, Stage
from flows.workspace.creation import init_workspace
from flows.workspace.telling import SilentTeller
from flows.workspace.wiring import App, open_app
from maskloop.clock import SystemClock
from maskloop.records.kinds import GamedayPlayed, read_record
from maskloop.workspace import Workspace


@pytest.fixture
def app(tmp_path: Path) -> App:
    init_workspace(tmp_path / "own", preset="demo")
    return open_app(tmp_path / "own")


def open_copy(copied: Workspace, _teller: Any) -> App:
    return App(copied, teller=SilentTeller())


def overlooked(stage: Stage) -> None:
    stage.inject("a moth", "it is in")


def broken(stage: Stage) -> None:
    stage.inject("a moth", "it is in")
    raise ZeroDivisionError("no light")


def test_the_table_has_each_failure_once() -> None:
    assert [one.id for one in SCENARIOS] == [f"F{number}" for number in range(1, 9)]


@pytest.mark.parametrize(("what", "trouble"), [(overlooked, ""), (broken, "ZeroDivisionError: no light")])
def test_what_nothing_detects_is_not_handled_and_recorded_in_the_copy_alone(
    app: App, tmp_path: Path, what: Any, trouble: str
) -> None:
    scenario = Scenario("F9", "Moths", "a moth", "a light", "a net", "no moth", what)
    found = play(scenario, app, tmp_path / "copy", open_copy)
    assert (found.outcome, found.trouble) == ("not detected", trouble)
    (entry,) = open_app(tmp_path / "copy").ledger.entries()
    record = read_record(entry)
    assert isinstance(record, GamedayPlayed)
    assert (record.failure, record.outcome, record.trouble) == ("F9", "not detected", trouble)
    assert app.ledger.entries() == ()
    assert not Gameday((found,), (), "", tmp_path / "page.html").is_handled


def test_the_page_tells_each_step_and_that_the_original_changed(app: App, tmp_path: Path) -> None:
    scenario = Scenario("F3", "Memory", "a moth", "a `light`", "a net", "no moth", overlooked)
    found = play(scenario, app, tmp_path / "copy", open_copy)
    done = Gameday((found,), ("data.dvc",), "", tmp_path / "page.html")
    text = render(done, model_name="parts", now=SystemClock().now())
    assert "not detected" in text
    assert "The original changed meanwhile:" in text
    assert "it is in" in text
    assert "`" not in text
    assert json.dumps(done.to_json())


def test_a_name_that_is_no_failure_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["gameday", "F9", "-w", str(tmp_path)])
    assert ended.value.code == 2
    assert "there is no failure F9: name F1 to F8, or all" in capsys.readouterr().err
