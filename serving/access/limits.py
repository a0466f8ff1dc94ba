"""How often one client may ask: a moving window for each key or address."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from limits import parse

from maskloop.errors import ConfigurationError, OverloadedError

_MAX_CLIENTS: Final = 10_000
"""Beyond it, clients whose window is over are forgotten."""


class RateLimitedError(OverloadedError):
    """One client asks too often; others are not affected."""


@dataclass(frozen=True)
class RateLimit:
    """So many requests in any stretch of so many seconds."""

    amount: int
    seconds: float


class RateLimiter:
    """Counts requests in memory, in this process: with several workers each gets its part.

    The library `limits` reads the notation but does not count: its memory storage starts a thread a hundred
    times a second while requests come.

    Args:
        default: Such as ``600/minute``.
        workers: Processes that share the work.

    Raises:
        ConfigurationError: if the limit cannot be read.
    """

    def __init__(self, default: str, *, workers: int = 1) -> None:
        self._default, self._workers = default, workers
        self._limits = {default: self._share(default)}
        self._asked: dict[str, deque[float]] = {}

    def count(self, client: str, rate_limit: str = "") -> None:
        """Count one request of a client, or raise RateLimitedError, which says when to come back."""
        text = rate_limit or self._default
        if text not in self._limits:
            self._limits[text] = self._share(text)
        limit, now = self._limits[text], time.monotonic()
        asked = self._asked.get(client)
        if asked is None or asked.maxlen != limit.amount:
            asked = self._asked[client] = deque(asked or (), maxlen=limit.amount)
            self._forget_old(now)
        wait_s = asked[0] + limit.seconds - now if len(asked) == limit.amount else 0.0
        if wait_s > 0:
            raise RateLimitedError(f"more than {text} requests", retry_after_s=max(1.0, wait_s))
        asked.append(now)

    def _share(self, text: str) -> RateLimit:
        whole = read_rate_limit(text)
        return RateLimit(max(1, whole.amount // self._workers), whole.seconds)

    def _forget_old(self, now: float) -> None:
        if len(self._asked) > _MAX_CLIENTS:
            longest_s = max(limit.seconds for limit in self._limits.values())
            self._asked = {
                client: asked
                for client, asked in self._asked.items()
                if not asked or asked[-1] > now - longest_s
            }


def read_rate_limit(text: str) -> RateLimit:
    """Read the notation of the library `limits`. Raises ConfigurationError.

    >>> read_rate_limit("600/minute")
    RateLimit(amount=600, seconds=60)
    """
    try:
        item = parse(text)
    except ValueError as error:
        raise ConfigurationError(
            f"the rate limit {text!r} cannot be read", hint="for example 600/minute"
        ) from error
    return RateLimit(item.amount, item.get_expiry())
