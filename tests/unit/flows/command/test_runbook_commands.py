"""Every command that a runbook or an alert says to type is typed, in a workspace with that trouble."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.answering.batch_prediction import predict
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from tests.fakes.incident_stories import Story
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World, draw_under_lamp
from tests.fakes.opened import opens
from tests.fakes.quality import tell_quality
from tests.fakes.rollout_world import climb, make_world, rollout_of

ROOT = Path(__file__).resolve().parents[4]
PLAYED_ELSEWHERE = {
    "maskloop serve": "tests/unit/flows/command/test_cli_serving.py starts and stops it",
    "maskloop gameday F3": "tests/unit/flows/gameday plays every failure",
    "maskloop data check": "tests/unit/flows/health runs it on labels with errors",
    "maskloop ingest LABELS": "tests/unit/flows/intake and the README's story run it",
}
PLACEHOLDERS = {"WHY": "because", '"..."': "because", "NAME": "anna", "VERSION": "3", "cycle-4": "cycle-1"}


def commands_on_pages() -> Iterator[str]:
    for page in sorted((ROOT / "docs/runbooks").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
            yield from (line for line in block.splitlines() if line.startswith("maskloop "))
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        yield from (" ".join(found.split()) for found in re.findall(r"`(maskloop [^`]+)`", prose))


def commands_of_alerts() -> Iterator[str]:
    """Yield them without the conditions that follow in prose."""
    for name in ("alerts.yml", "slo.yml"):
        rules = yaml.safe_load((ROOT / "deploy/prometheus" / name).read_text(encoding="utf-8"))
        for rule in (rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule):
            said = re.sub(r"{{.*?}}", ";", rule["annotations"]["command"])
            for found in re.findall(r"maskloop [^;`,]+", said):
                yield re.sub(r" (if|or|brings) .*", "", found).strip()


COMMANDS = sorted({*commands_on_pages(), *commands_of_alerts()} - PLAYED_ELSEWHERE.keys())


@dataclass(frozen=True)
class Trouble:
    """A workspace in which something is wrong.

    Attributes:
        world: Itself.
        words: What placeholders stand for there.
    """

    world: World
    words: Mapping[str, str]


def serve_two(root: Path) -> World:
    """Two versions were promoted; the second serves, and has answered pictures that are kept."""
    world = World(root / "workspace")
    world.label(range(12))
    first_champion(world)
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")
    world.tag_version("2", "approved")
    reconcile(world.app())
    folder = root / "in"
    folder.mkdir()
    for number in range(1000, 1030):
        (folder / f"{number}.png").write_bytes(draw_under_lamp(number)[0])
    predict(world.app(), [folder])
    return world


def spend_the_quality_budget(root: Path) -> Trouble:
    """Labels from production say that the champion is worse than promised."""
    world = serve_two(root)
    tell_quality(world, 0.3)
    return Trouble(world, {"3 ": "1 "})


def wait_for_approval(root: Path) -> Trouble:
    """The same, and version 3 waits for a person."""
    trouble = spend_the_quality_budget(root)
    trouble.world.label(range(24, 36))
    run_turn(trouble.world.app(), starts_from="champion")
    return trouble


def drift(root: Path) -> Trouble:
    """Production has drifted."""
    world = World(root / "workspace")
    story = Story(world.clock)
    world.ledger = story.ledger
    story.serve("1")
    for _ in range(2):
        story.window("drift")
    return Trouble(world, {"ID": "incident-1"})


def flood(root: Path) -> Trouble:
    """One key sends what it should not."""
    world = World(root / "workspace")
    key = world.app().keys.add("camera")
    return Trouble(world, {"ID": key.split("_")[1]})


def roll_out(root: Path) -> Trouble:
    """A challenger answers a part of the traffic."""
    world = make_world(root)
    climb(world, num_moves=1)
    return Trouble(world, {})


def pause_a_rollout(root: Path) -> Trouble:
    """A step of a rollout had no result in its time."""
    world = make_world(root)
    climb(world, num_moves=1)
    world.clock.advance(days=30)
    reconcile(world.app())
    assert rollout_of(world).phase == "paused"
    return Trouble(world, {})


WHERE: Mapping[str, Callable[[Path], Trouble]] = {
    "maskloop approve": wait_for_approval,
    "maskloop incidents": drift,
    "maskloop keys": flood,
    "maskloop rollout resume": pause_a_rollout,
    "maskloop rollout": roll_out,
    "maskloop": spend_the_quality_budget,
}
"""The first that a command begins with is where it is typed."""


def type_in(trouble: Trouble, command: str, run: Any) -> Any:
    typed = f"{command} "
    for placeholder, word in {**trouble.words, **PLACEHOLDERS}.items():
        typed = typed.replace(placeholder, word)
    words = re.findall(r'"[^"]*"|\S+', typed)[1:]
    where = ("-w", str(trouble.world.workspace.root))
    return run(*(word.strip('"') for word in words), *where, opener=opens(trouble.world))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_a_runbook_or_an_alert_does_what_it_says(command: str, run: Any, tmp_path: Path) -> None:
    trouble = next(make for begin, make in WHERE.items() if command.startswith(begin))(tmp_path)
    done = type_in(trouble, command, run)
    assert done.code == 0, done.out + done.err
    assert done.out.strip()


def test_a_command_that_is_played_elsewhere_is_one_that_a_page_or_an_alert_names() -> None:
    assert PLAYED_ELSEWHERE.keys() <= {*commands_on_pages(), *commands_of_alerts()}
    assert len(COMMANDS) >= 25


def test_the_runbook_of_a_spent_quality_budget_leads_out_of_it(run: Any, tmp_path: Path) -> None:
    trouble = spend_the_quality_budget(tmp_path)
    world = trouble.world
    spent = type_in(trouble, "maskloop slo", run).out
    assert "promotes nothing" in spent
    assert "no incident goes on" in type_in(trouble, "maskloop incidents list --open", run).out
    world.label(range(24, 36))
    assert type_in(trouble, "maskloop retrain", run).code == 0
    assert type_in(trouble, "maskloop approve VERSION --by NAME", run).code == 0
    reconcile(world.app())
    assert world.state.champion is not None
    assert world.state.champion.version == "3"
    assert "promotes nothing" not in type_in(trouble, "maskloop slo", run).out


def test_the_runbook_of_a_class_that_fell_far_ends_with_the_version_before(run: Any, tmp_path: Path) -> None:
    trouble = spend_the_quality_budget(tmp_path)
    assert "version 2" in type_in(trouble, "maskloop history", run).out
    assert type_in(trouble, "maskloop rollback --why WHY", run).code == 0
    assert trouble.world.state.champion is not None
    assert trouble.world.state.champion.version == "1"
    assert "promotes nothing" not in type_in(trouble, "maskloop slo", run).out
