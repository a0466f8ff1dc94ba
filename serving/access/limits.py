"""How often one client may ask: a moving window for each key or address."""

from __future__ import annotations

import re
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from maskloop.errors import ConfigurationError, OverloadedError

_MAX_CLIENTS: Final = 10_000
"""Beyond it, clients whose window is over are forgotten."""


class RateLimitedError(OverloadedError):
    """One client asks too often; others are not affected."""


_NOTATION: Final = re.compile(
    r"\s*(?P<amount>\d+)\s*(?:/|per)\s*(?P<multiple>\d*)\s*(?P<unit>[a-z]+?)s?\s*(?:[,;|].*)?",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_DAY_S: Final = 86_400
_UNIT_S: Final = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": _DAY_S,
    "month": 30 * _DAY_S,
    "year": 360 * _DAY_S,
}


@dataclass(frozen=True)
class RateLimit:
    """A maximum number of requests within a number of seconds."""

    amount: int
    seconds: float


class RateLimiter:
    """Counts requests in memory, in this process: with several workers each gets its part.

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
    """Read an amount and a time. Of several, as keys may have from earlier releases, the first counts.

    Raises:
        ConfigurationError: if it is none.

    >>> read_rate_limit("600/minute"), read_rate_limit("100 per 5 minutes")
    (RateLimit(amount=600, seconds=60), RateLimit(amount=100, seconds=300))
    """
    read = _NOTATION.fullmatch(text)
    if read is None or (unit_s := _UNIT_S.get(read["unit"].lower())) is None:
        raise ConfigurationError(
            f"the rate limit {text!r} cannot be read", hint="for example 600/minute, or 100 per 5 minutes"
        )
    return RateLimit(int(read["amount"]), (int(read["multiple"] or 0) or 1) * unit_s)
