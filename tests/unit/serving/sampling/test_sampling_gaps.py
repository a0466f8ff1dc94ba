"""Samples are measured between the passes of a model, as long as nothing is lost by that."""

from __future__ import annotations

import threading
import weakref
from contextlib import closing
from typing import Any

import pytest

from tests.fakes.sample_log import FakeSampleLog
from tests.fakes.serving_world import make_picture
from tests.unit.serving.sampling.test_sampling import Bench, answer_to


class Written(FakeSampleLog):
    """A log that tells when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def add(self, *arguments: Any, **more: Any) -> bool:
        is_new = super().add(*arguments, **more)
        self.written.set()
        return is_new


@pytest.fixture
def for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sample has waited long enough."""
    monkeypatch.setattr("serving.sampling.sampler._LONGEST_IN_LINE_S", 1000.0)


@pytest.mark.usefixtures("for_ever")
def test_nothing_is_measured_while_a_model_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.sampling.sampler._LOOK_AGAIN_S", 1000.0)
    with closing(Bench(Written())) as world:
        world.model.computes = True
        world.offer("during a pass")
        assert world.model.asked.acquire(timeout=20)
        assert not world.log.written.is_set()
        world.model.computes = False
        world.offer("the answer to that pass")
        assert world.log.written.wait(20)


def test_a_service_that_always_computes_has_its_samples_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serving.sampling.sampler._LONGEST_IN_LINE_S", 0.01)
    with closing(Bench(Written())) as world:
        world.model.computes = True
        world.offer()
        assert world.log.written.wait(20)


@pytest.mark.usefixtures("for_ever")
@pytest.mark.parametrize(("max_waiting", "max_bytes"), [(4, 10**6), (100, 4 * 768)])
def test_before_samples_are_too_many_or_too_large_none_waits_for_the_model(
    monkeypatch: pytest.MonkeyPatch, max_waiting: int, max_bytes: int
) -> None:
    monkeypatch.setattr(
        "serving.sampling.sampler._MAX_WAITING_BYTES", max_bytes
    )  # a picture here has 768 bytes
    with closing(Bench(Written(), max_waiting=max_waiting)) as world:
        world.model.computes = True
        for number in range(3):
            world.offer(str(number))
        assert world.log.written.wait(20)


@pytest.mark.usefixtures("for_ever")
def test_a_service_that_stops_writes_its_samples_though_a_model_computes() -> None:
    with closing(Bench()) as world:
        world.model.computes = True
        world.offer()
    assert world.outcomes == {"kept": 1}


def test_a_model_can_leave_memory_once_its_last_answer_is_written() -> None:
    left = threading.Event()
    with closing(Bench(Written())) as world:
        picture = make_picture("r1")
        answer = answer_to(picture)
        weakref.finalize(answer.model.predictor, left.set)
        world.sampler.offer(picture, answer, source="camera 1")
        del answer
        assert left.wait(20)
        assert world.log.get("r1") is not None
