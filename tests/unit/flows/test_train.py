"""What a training tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from flows.retrain import run_turn
from flows.telling import SilentTeller
from tests.fakes.loop_world import World


@dataclass
class Listener(SilentTeller):
    """Remembers what is said."""

    sentences: list[str] = field(default_factory=list)

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


@pytest.mark.parametrize(("wait_percent", "is_told"), [(45.0, True), (3.0, False)])
def test_steps_that_wait_for_pictures_are_recorded_and_told(
    world: World, wait_percent: float, is_told: bool
) -> None:
    world.model.wait_percent = wait_percent
    listener = Listener()
    cycle = run_turn(replace(world.app(), teller=listener), starts_from="first-weights")
    assert cycle.candidate is not None
    assert world.tracker.runs[cycle.candidate.run_id].metrics["wait_percent"] == [(2, wait_percent)]
    told = [sentence for sentence in listener.sentences if "waiting for pictures" in sentence]
    assert bool(told) is is_told
    if is_told:
        assert f"{wait_percent:.0f} % of their time" in told[0]
