"""Where API keys are kept: what a key is without its secret, and the port of the book of all keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

Scope = Literal["predict", "feedback", "metrics", "views"]
ALL_SCOPES: Final[tuple[Scope, ...]] = ("predict", "feedback", "metrics", "views")


class ApiKey(BaseModel):
    """The stored facts of a key, without its secret."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    name: str
    secret_digest: str
    """sha256 of the secret, hexadecimal."""
    scopes: tuple[Scope, ...]
    rate_limit: str = ""
    """Instead of the service's own."""
    created_at: datetime
    expires_at: datetime | None = None
    models: tuple[str, ...] = ()
    """Names of the served models that it may ask; empty: all of them."""

    def may_ask(self, model: str) -> bool:
        """It is for this model."""
        return not self.models or model in self.models

    def is_valid_at(self, now: datetime) -> bool:
        """It has not expired."""
        return self.expires_at is None or now < self.expires_at


class KeyBook(Protocol):
    """The port. `SqlKeyBook` is the real one; the tests' `FakeKeyBook` keeps everything in memory.

    A key that was revoked is never valid again, whoever adds it once more.
    """

    def all(self) -> Sequence[ApiKey]:
        """Return the keys that are not revoked, oldest first.

        Raises:
            IntegrityError: if one cannot be read.
            MaskloopError: if the book cannot be used now.
        """
        ...

    def add(self, keys: Sequence[ApiKey]) -> int:
        """Add the keys that are missing, all or none, and return how many were.

        Of one that is there, the earlier end counts. Raises as `all` does.
        """
        ...

    def replace(self, key_id: str, ends_at: datetime, successor: ApiKey) -> bool:
        """End a key at a time, unless it ends before, and add its successor, in one step.

        Returns:
            False, with nothing changed, if there is no such key. Raises as `all` does.
        """
        ...

    def revoke(self, key_id: str, at: datetime) -> bool:
        """End a key for good; False if there is no such key. Raises as `all` does."""
        ...


def earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the earlier of two ends; None is no end.

    >>> earlier(None, datetime(2026, 3, 1)), earlier(None, None)
    (datetime.datetime(2026, 3, 1, 0, 0), None)
    """
    return min((end for end in (one, other) if end is not None), default=None)
