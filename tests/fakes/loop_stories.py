"""The first steps of many stories: a turn to its verdict, and one to a champion."""

from __future__ import annotations

import re

from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from maskloop.workspace import Workspace
from tests.fakes.loop_world import World


def first_champion(world: World) -> str:
    """Take the loop through its first turn; returns the version that serves."""
    cycle = run_turn(world.app(), starts_from="first-weights")
    assert cycle.candidate is not None
    world.tag_version(cycle.candidate.version, "approved")
    reconcile(world.app())
    return cycle.candidate.version


def judged(world: World) -> str:
    """Take a cycle to its verdict; returns the version that waits for a decision."""
    cycle = run_turn(world.app(), starts_from="first-weights")
    assert cycle.phase == "judged"
    assert cycle.candidate is not None
    return cycle.candidate.version


def set_floor(world: World, floor: float) -> None:
    """Change the gates' floor of the mean IoU."""
    path = world.workspace.settings_file
    text = re.sub(r"min_mean_iou = .*\n", "", path.read_text())
    path.write_text(text.replace("[gates]\n", f"[gates]\nmin_mean_iou = {floor}\n"))
    world.workspace = Workspace(path.parent)  # as the next command reads it
