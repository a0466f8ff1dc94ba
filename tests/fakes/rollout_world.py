"""A challenger over fakes, and traffic for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dataset.pictures.decoding import encode_png
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.rollouts.rollout import (
    advance_rollout,
)
from maskloop.state.loop_state import Rollout
from serving.rollout.pairs import Comparison, KeptPair
from tests.fakes.loop_world import World
from tests.fakes.model_ports import CLASS_NAMES, ColourPredictor, draw_picture

ROLLOUT = """
min_pictures = 30
min_step_pictures = 20
min_step_minutes = 5
steps_percent = [5, 50, 100]
"""


def make_world(folder: Path) -> World:
    """A champion serves, and a candidate of the same quality was judged against it."""
    world = World(folder / "workspace", rollout=ROLLOUT)
    make_challenger(world)
    return world


def make_challenger(world: World) -> None:
    world.label(range(12))
    run_turn(world.app(), starts_from="first-weights")
    world.tag_version("1", "approved", by="anna")
    reconcile(world.app())
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")


def traffic(world: World, num_pictures: int, **of_the_challenger: Any) -> None:
    """Let both models answer some more pictures."""
    before = len(world.pairs.pairs)
    for number in range(before, before + num_pictures):
        world.pairs.add(seen_by_both(number, **of_the_challenger))


def seen_by_both(number: int, **of_the_challenger: Any) -> KeptPair:
    pixels, _ = draw_picture(number)
    found = ColourPredictor(0.9).predict([pixels])[0].detections
    same = {"agreement": 0.9, "champion_s": 0.01, "challenger_s": 0.01, "latency_s": 0.02}
    comparison = Comparison("cycle-2", f"r{number}", "champion", **(same | of_the_challenger))
    return KeptPair(comparison, found, found, CLASS_NAMES, 1, encode_png(pixels))


def rollout_of(world: World) -> Rollout:
    return world.state.rollouts["cycle-2"]


def position(world: World) -> tuple[str, float]:
    rollout = rollout_of(world)
    return rollout.phase, rollout.share_percent


def climb(world: World, *, num_moves: int = 4) -> None:
    """Take the challenger to its promotion, or only so many moves towards it."""
    world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    for _ in range(num_moves):
        traffic(world, 90)
        world.clock.advance(minutes=6)
        advance_rollout(world.app())
