"""`maskloop report`: the pages that it writes, and the facts that it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.command.main import main
from flows.deciding.decisions import decide_by_hand
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from tests.fakes.loop_world import World
from tests.fakes.opened import opens


@pytest.fixture
def serving(tmp_path: Path) -> World:
    """Version 1 serves."""
    world = World(tmp_path / "workspace")
    world.label(range(12))
    run_turn(world.app(), starts_from="first-weights")
    decide_by_hand(world.app(), "1", "approved", by="anna", why="good")
    reconcile(world.app())
    return world


@pytest.fixture
def run(serving: World, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["report", *arguments], opener=opens(serving))
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def test_all_pages_are_written_and_named(run: Any, serving: World) -> None:
    code, out, _ = run()
    assert code == 0
    names = ["loop.html", "executive.html", "on-call.html", "debug.html"]
    assert [Path(line).name for line in out.splitlines()] == names
    loop = serving.workspace.loop_page.read_text()
    assert all(f'href="{name}"' in loop for name in names[1:])
    told = json.loads(run("--json")[1])
    assert told["report"] == told["pages"]["loop"] == str(serving.workspace.loop_page)


def test_a_view_prints_its_facts(run: Any) -> None:
    told = json.loads(run("executive", "--json")[1])
    assert told["view"]["champion"] == "1"
    assert told["view"]["versions"][0]["class_iou"] == {"bolt": 0.9, "nut": 0.9}
    told = json.loads(run("on-call", "--json")[1])
    assert told["view"]["deployments"][0]["event"] == "promotion"
    told = json.loads(run("debug", "--json")[1])
    assert told["view"]["verdict"]["outcome"] == "pass"
    assert "data:image" not in json.dumps(told)


def test_the_page_of_the_loop_alone_can_be_asked_for(run: Any, serving: World, tmp_path: Path) -> None:
    assert run("loop")[1].strip() == str(serving.workspace.loop_page)
    assert run("--output", str(tmp_path / "page.html"))[1].strip() == str(tmp_path / "page.html")
    assert not serving.workspace.view_page("executive").exists()


def test_a_version_is_named_with_the_debug_view(run: Any, serving: World) -> None:
    assert Path(run("debug", "--version", "1")[1].strip()).name == "debug-version-1.html"
    assert Path(run("debug", "--cycle", "cycle-1")[1].strip()).name == "debug-cycle-1.html"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("executive", "--version", "1"), 2, "belong to the debug view"),
        (("--cycle", "cycle-1"), 2, "belong to the debug view"),
        (("debug", "--version", "1", "--cycle", "cycle-1"), 2, "exclude each other"),
        (("debug", "--version", "7"), 66, "there is no version 7"),
        (("debug", "--cycle", "cycle-7"), 66, "there is no cycle-7"),
        (("weekly",), 2, "weekly"),
    ],
)
def test_what_cannot_be_shown_is_said(run: Any, arguments: tuple[str, ...], code: int, says: str) -> None:
    ended, _, err = run(*arguments)
    assert (ended, says in err) == (code, True)
