"""What shares out work keeps one contract, whether the workers are this process or processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.workers.local_workers import LocalWorkers
from flows.workers.port import Outcome, Work, Workers
from maskloop.errors import MaskloopError, UnavailableError
from tests.fakes.batch_world import InlineWorkers
from tests.fakes.echo_work import Echo, Stillborn, Unfit

WAIT_S = 60.0
Opener = Callable[[Work, int], Workers]
APART = {"processes": LocalWorkers}
"""Workers that can die."""
ALL = {"fake": InlineWorkers, **APART}


@pytest.fixture(params=ALL)
def opener(request: pytest.FixtureRequest) -> Any:
    return ALL[request.param]


def wait_for(workers: Workers) -> Outcome:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if outcome := workers.wait(1.0):
            return outcome
    raise AssertionError("nothing came in time")


def test_every_task_has_one_outcome_and_a_worker_begins_once(opener: Opener, tmp_path: Path) -> None:
    with opener(Echo(tmp_path), 2) as workers:
        outcomes = []
        workers.submit(0, b"0")
        for number in range(1, 8):
            workers.submit(number, str(number).encode())
            outcomes.append(wait_for(workers))
        outcomes.append(wait_for(workers))
        assert workers.wait(0.0) is None

    assert sorted((one.number, one.answer) for one in outcomes) == [
        (number, f"done {number}".encode()) for number in range(8)
    ]
    assert 1 <= len([*tmp_path.glob("began-*")]) <= 2


def test_what_a_task_raises_costs_that_task_and_says_why(opener: Opener, tmp_path: Path) -> None:
    with opener(Echo(tmp_path), 1) as workers:
        workers.submit(1, b"fail")
        failed = wait_for(workers)
        workers.submit(2, b"good")
        good = wait_for(workers)

    assert (failed.number, failed.answer) == (1, None)
    assert "the task is bad" in failed.reason
    assert (good.number, good.answer) == (2, b"done good")


def test_work_that_cannot_begin_is_an_error_of_the_whole_run(opener: Opener) -> None:
    with opener(Unfit(), 1) as workers:
        workers.submit(1, b"task")
        with pytest.raises(MaskloopError, match="the model is not there"):
            wait_for(workers)


@pytest.fixture(params=APART)
def apart(request: pytest.FixtureRequest) -> Any:
    """Workers in processes of their own, which can die."""
    return APART[request.param]


def test_a_worker_that_dies_costs_its_task_and_is_replaced(apart: Opener, tmp_path: Path) -> None:
    with apart(Echo(tmp_path), 1) as workers:
        workers.submit(1, b"die")
        died = wait_for(workers)
        workers.submit(2, b"good")
        good = wait_for(workers)

    assert (died.number, died.answer) == (1, None)
    assert "SIGKILL" in died.reason or "died" in died.reason
    assert good.answer == b"done good"
    assert len([*tmp_path.glob("began-*")]) == 2


def test_workers_that_die_before_they_begin_end_the_run(apart: Opener) -> None:
    def try_again() -> None:
        with apart(Stillborn(), 1) as workers:
            for number in range(10):
                workers.submit(number, b"task")
                wait_for(workers)

    with pytest.raises(UnavailableError, match="before it could begin"):
        try_again()
