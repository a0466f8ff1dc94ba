"""How often one client may ask: a moving window for each key or address."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from maskloop.errors import ConfigurationError, OverloadedError

if TYPE_CHECKING:
    from limits import RateLimitItem


class RateLimitedError(OverloadedError):
    """One client asks too often; others are not affected."""


class RateLimiter:
    """Counts requests in memory, in this process: with several workers each gets its part.

    Args:
        default: Such as ``600/minute`` (notation of the library ``limits``).
        workers: Processes that share the work.

    Raises:
        ConfigurationError: if the limit cannot be read.
    """

    def __init__(self, default: str, *, workers: int = 1) -> None:
        from limits.storage import MemoryStorage
        from limits.strategies import MovingWindowRateLimiter

        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._default, self._workers = default, workers
        self._parsed = {default: _parse(default, workers)}

    def count(self, client: str, rate_limit: str = "") -> None:
        """Count one request of a client. Raises RateLimitedError, saying when to come back."""
        text = rate_limit or self._default
        if text not in self._parsed:
            self._parsed[text] = _parse(text, self._workers)
        item = self._parsed[text]
        if not self._limiter.hit(item, client):
            reset_at, _ = self._limiter.get_window_stats(item, client)
            raise RateLimitedError(
                f"more than {text} requests", retry_after_s=max(1.0, reset_at - time.time())
            )


def check_rate_limit(text: str) -> None:
    """Raise ConfigurationError if a limit cannot be read."""
    _parse(text, workers=1)


def _parse(text: str, workers: int) -> RateLimitItem:
    from limits import parse

    try:
        item = parse(text)
    except ValueError as error:
        raise ConfigurationError(
            f"the rate limit {text!r} cannot be read", hint="for example 600/minute"
        ) from error
    return type(item)(max(1, item.amount // workers), item.multiples)
