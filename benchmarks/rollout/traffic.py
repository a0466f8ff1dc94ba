"""Clients of the service: closed loops that post pictures and note who answered, and how fast."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

import httpx


@dataclass(frozen=True)
class Answered:
    """One request, as its client saw it.

    Attributes:
        at_s: When the answer came, seconds on the monotonic clock.
        status: HTTP status; 0 for a broken connection.
        version: The model version that the answer names; empty without one.
        seconds: From sending to the answer.
    """

    at_s: float
    status: int
    version: str
    seconds: float


@dataclass
class Traffic:
    """A few clients at once, from entering the context to leaving it."""

    url: str
    pictures: Sequence[bytes]
    num_clients: int = 2
    answered: list[Answered] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Traffic:
        for number in range(self.num_clients):
            thread = threading.Thread(target=self._send, args=(number,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def statuses(self) -> Counter[int]:
        """Count the answers by HTTP status."""
        return Counter(answer.status for answer in self.answered)

    def versions(self) -> Counter[str]:
        """Count the answers by the version that gave them."""
        return Counter(answer.version for answer in self.answered if answer.version)

    def last_answer_by(self, version: str) -> float | None:
        """Return when a version answered last, seconds on the monotonic clock."""
        return max((answer.at_s for answer in self.answered if answer.version == version), default=None)

    def _send(self, number: int) -> None:
        headers = {"Content-Type": "image/png", "X-Sticky-Key": ""}
        with httpx.Client(base_url=self.url, timeout=60) as client:
            for count, picture in enumerate(itertools.cycle(self.pictures[number :: self.num_clients])):
                if self._stop.is_set():
                    return
                headers["X-Sticky-Key"] = f"client-{number}-{count % 997}"
                self.answered.append(_post(client, picture, headers))


def _post(client: httpx.Client, picture: bytes, headers: dict[str, str]) -> Answered:
    start = time.monotonic()
    try:
        response = client.post("/v1/predict", content=picture, headers=headers)
    except httpx.TransportError:
        return Answered(time.monotonic(), 0, "", time.monotonic() - start)
    now = time.monotonic()
    version = response.json()["model"]["version"] if response.status_code == 200 else ""
    return Answered(now, response.status_code, version, now - start)
