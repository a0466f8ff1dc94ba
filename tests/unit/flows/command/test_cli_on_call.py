"""`maskloop notify`, `incidents` and `trends`, as a shell runs them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitoring.samples.values import Sample
from tests.fakes.channels import FakeChannel
from tests.fakes.incident_stories import Story
from tests.fakes.loop_world import World

SETTINGS = """
[notifications.channels.chat]
url_variable = "CHAT_URL"
"""


@pytest.fixture
def drifting(tmp_path: Path) -> World:
    world = World(tmp_path / "workspace", settings=SETTINGS)
    story = Story(world.clock)
    world.ledger = story.ledger
    story.serve("1")
    for _ in range(2):
        story.window("drift")
    world.channels = {"chat": FakeChannel()}
    return world


@pytest.fixture
def call(drifting: World, run: Any) -> Any:
    def typed(*words: str) -> Any:
        return run(*words, "-w", drifting.workspace.root, opener=lambda *_, **__: drifting.app())

    return typed


def test_notify_test_says_of_each_channel_what_came_of_it(call: Any, drifting: World) -> None:
    sent = call("notify", "test", "--json")
    assert sent.code == 0
    assert json.loads(sent.out) == [{"channel": "chat", "outcome": "sent", "why": None}]
    drifting.channels["chat"].trouble = "its server answered 404"
    failed = call("notify", "test", "chat")
    assert failed.code == 1
    assert "404" in failed.out
    assert call("notify", "test", "pager").code == 66


def test_notify_test_reads_the_address_from_the_environment_alone(
    workspace: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "maskloop.toml").write_text(f"[gates]\n{SETTINGS}")
    monkeypatch.delenv("CHAT_URL", raising=False)
    ended = run("notify", "test", "-w", workspace, "--json")
    assert ended.code == 1
    assert "the environment variable CHAT_URL is empty or not set" in ended.out


def test_notify_list_shows_what_is_the_case_and_who_was_told(call: Any) -> None:
    listed = json.loads(call("notify", "list", "--json").out)
    (notice,) = listed["notices"]
    assert (notice["event"], notice["told"]) == ("drift", [])
    assert listed["channels"][0]["untold"] == [notice["headline"]]
    assert "chat: 1 message waiting" in call("notify", "list").out


def test_a_workspace_without_channels_is_told_where_to_name_them(workspace: Path, run: Any) -> None:
    assert "no channel is configured" in run("notify", "list", "-w", workspace).out
    assert run("notify", "test", "-w", workspace).code == 66


def test_incidents_are_listed_shown_acknowledged_and_written_up(call: Any, tmp_path: Path) -> None:
    assert "nobody looked yet" in call("incidents", "list").out
    acknowledged = json.loads(call("incidents", "acknowledge", "1", "--by", "anna", "--json").out)
    assert acknowledged["acknowledged_by"] == "anna"
    noted = call("incidents", "note", "incident-1", "a new lamp", "--as", "cause", "--by", "anna", "--json")
    assert json.loads(noted.out)["cause"] == "a new lamp"
    shown = call("incidents", "show", "incident-1")
    assert "cause:         a new lamp" in shown.out
    assert "runbook:       docs/runbooks/drift.md#production-has-drifted" in shown.out
    timeline = json.loads(call("incidents", "show", "1", "--json").out)["timeline"]
    assert [one["what"] for one in timeline] == ["alarm", "acknowledged", "cause"]
    file = tmp_path / "postmortem.md"
    assert call("incidents", "postmortem", "1", "--output", str(file)).code == 0
    assert "a new lamp" in file.read_text(encoding="utf-8")
    assert Path(call("incidents", "page").out.strip()).is_file()
    assert call("incidents", "show", "7").code == 66


def test_incidents_list_tells_open_and_all_ones_apart(call: Any, drifting: World) -> None:
    Story(drifting.clock, drifting.ledger).window("quiet")
    assert "no incident goes on" in call("incidents", "list", "--open").out
    assert len(json.loads(call("incidents", "list", "--all", "--json").out)) == 1


def test_status_shows_open_incidents(call: Any) -> None:
    assert "incident: incident-1 (drift), 2 alarms since" in call("status").out
    assert json.loads(call("status", "--json").out)["incidents"][0]["id"] == "incident-1"


def add_samples(world: World) -> None:
    for number in range(60):
        world.samples.add(
            Sample(
                f"s{number}",
                world.clock.now() - timedelta(hours=number),
                "1",
                "w" * 64,
                "d",
                f"camera {number % 2}",
                {"brightness": number / 60, "count": 1.0},
            )
        )


def test_trends_show_a_feature_by_day_and_source(call: Any, drifting: World) -> None:
    add_samples(drifting)
    found = json.loads(call("trends", "--feature", "brightness", "--json").out)
    assert {one["source"] for one in found["figures"]} == {"camera 0", "camera 1"}
    assert sum(one["num_values"] for one in found["figures"]) == 60
    assert len(found["figures"][0]["quantiles"]) == len(found["quantile_shares"])
    shown = call("trends", "--feature", "brightness", "--all-sources", "--by", "week")
    assert "features over time" in shown.out
    assert call("trends", "--feature", "colour").code == 65


def test_trends_without_samples_say_so(call: Any) -> None:
    assert "No sample since" in call("trends").out
    assert json.loads(call("trends", "--json").out)["figures"] == []


def test_trends_name_what_to_type_for_one_feature(call: Any, drifting: World) -> None:
    add_samples(drifting)
    assert "`--feature NAME` shows a feature over time" in call("trends", "--days", "90").out
