"""What a client shall do, and what it saw: the words between the benchmark and its second process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

HOST = "127.0.0.1"
Body = Literal["raw", "json", "json list"]
_AFTER_THE_END_S = 120.0


@dataclass(frozen=True)
class Plan:
    """One run of the client.

    Attributes:
        port: On loopback.
        path: Of the route.
        pictures: Folder; its files are sent by turns, in the order of their names.
        seconds: For so long requests are sent; what was sent is waited for.
        clients: A closed loop of so many: each sends the next picture when it has the answer.
        pause_s: Each of them waits so long before it sends.
        rate: Requests a second, whether answers come or not (an open loop); 0 for a closed loop.
        body: How a picture is sent: as it is, or in JSON as base64, alone or in a list.
        fresh_connections: Every request is another client: it connects, asks once and leaves.
        attempts: A request whose connection breaks is sent again, under the same id, so often in all.
        timeout_s: For one attempt.
    """

    port: int
    path: str
    pictures: str
    seconds: float
    clients: int = 1
    pause_s: float = 0.0
    rate: float = 0.0
    body: Body = "raw"
    fresh_connections: bool = False
    attempts: int = 1
    timeout_s: float = 60.0


@dataclass(frozen=True)
class Sent:
    """One request; seconds are on the machine's monotonic clock, which all processes share.

    Attributes:
        picture: Number of the picture.
        due_s: When it should have been sent; waiting counts from here.
        done_s: When its answer was complete.
        status: HTTP status; 0 if there was none after the last attempt.
        attempts: How often it was sent.
        retry_after: What a refusal said.
        body: The answer.
        trouble: Why the last broken attempt broke.
    """

    picture: int
    due_s: float
    done_s: float
    status: int
    attempts: int
    retry_after: str
    body: str
    trouble: str = ""

    @property
    def ms(self) -> float:
        """From when it was due to its answer."""
        return (self.done_s - self.due_s) * 1000

    def answer(self) -> Any:
        """Return what was answered, as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Seen:
    """All of one run, in the order in which requests were due."""

    plan: Plan
    start_s: float
    requests: Sequence[Sent] = field(repr=False)

    @property
    def answered(self) -> list[Sent]:
        """Return what was answered with 200."""
        return [one for one in self.requests if one.status == 200]

    def per_second(self) -> float:
        """Return how many answers came in a second while requests were sent."""
        in_time = sum(1 for one in self.answered if one.done_s <= self.start_s + self.plan.seconds)
        return in_time / self.plan.seconds

    def ms(self, percent: float) -> float:
        """Return a percentile of the answered requests' time; NaN without any."""
        return percentile([one.ms for one in self.answered], percent)


def percentile(numbers: Iterable[float], percent: float) -> float:
    """Return a percentile; NaN of nothing."""
    found = list(numbers)
    return float(np.percentile(found, percent)) if found else float("nan")


class RunningClient:
    """The second process at work."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving.client", json.dumps(asdict(plan))],
            cwd=Path(__file__).resolve().parents[2],
            stdout=subprocess.PIPE,
        )

    def wait(self) -> Seen:
        """Return what it saw. Raises RuntimeError if it failed, TimeoutExpired if it does not end."""
        output, _ = self._process.communicate(timeout=self._plan.seconds + _AFTER_THE_END_S)
        if self._process.returncode:
            raise RuntimeError(f"the client ended with {self._process.returncode}")
        told = json.loads(output)
        requests = sorted((Sent(*row) for row in told["requests"]), key=lambda one: one.due_s)
        return Seen(self._plan, told["start_s"], requests)


def run_client(plan: Plan, *, meanwhile: Callable[[], None] = lambda: None) -> Seen:
    """Run the client to its end."""
    client = RunningClient(plan)
    meanwhile()
    return client.wait()
