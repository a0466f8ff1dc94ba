"""`maskloop label request` on a workspace of fakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.answering.batch_prediction import predict
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from tests.fakes.feedback import photograph
from tests.fakes.loop_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A workspace whose first model has answered ten pictures."""
    made = World(tmp_path / "workspace")
    made.label(range(12))
    run_turn(made.app(), starts_from="first-weights")
    made.tag_version("1", "approved")
    reconcile(made.app())
    folder = tmp_path / "incoming"
    folder.mkdir()
    for number in range(1000, 1010):
        (folder / f"{number}.png").write_bytes(photograph(number))
    predict(made.app(), [folder], source="line 2")
    return made


def request(run: Any, world: World, *options: str | Path) -> Any:
    return run("label", "request", *options, opener=lambda _root, **_more: world.app())


def test_a_request_is_answered_in_json_and_says_whether_it_is_new(
    run: Any, world: World, tmp_path: Path
) -> None:
    ran = request(run, world, "--json", "--num", "5", "--out", tmp_path / "out")
    assert ran.code == 0
    told = json.loads(ran.out)
    assert told["changed"] is True
    assert [one["is_random"] for one in told["chosen"]] == [True, False, False, False, False]
    assert {one["source"] for one in told["chosen"]} == {"line 2"}
    assert Path(told["page"]).exists()
    assert json.loads(Path(told["labels"]).read_text())["images"]
    again = json.loads(request(run, world, "--json", "--num", "5").out)
    assert (again["request_id"], again["changed"]) == (told["request_id"], False)


def test_a_request_is_shown_as_a_table_with_the_page(run: Any, world: World) -> None:
    ran = request(run, world, "--num", "3", "--fast")
    assert ran.code == 0
    assert "chosen at random" in " ".join(ran.out.split())
    assert "index.html" in ran.out.replace("\n", "")
    assert "--more" in request(run, world, "--num", "3", "--fast").out


def test_the_page_of_a_request_is_named_by_its_status_too(run: Any, world: World) -> None:
    page = json.loads(request(run, world, "--json", "--num", "3", "--fast").out)["page"]
    status = run("label", "status", "--json", opener=lambda _root, **_more: world.app())
    (shown,) = json.loads(status.out)["requests"]
    assert shown["page"] == page
    told = run("label", "status", opener=lambda _root, **_more: world.app()).out
    assert f"request {shown['request']}: {shown['cause']}" in told
    assert f"page of request {shown['request']}: {page}" in told
    Path(page).unlink()
    gone = run("label", "status", "--json", opener=lambda _root, **_more: world.app())
    assert json.loads(gone.out)["requests"][0]["page"] == ""
