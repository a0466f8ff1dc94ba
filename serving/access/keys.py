"""API keys: random, shown once, kept as digests, compared in constant time, rotated without an outage.

A key has the form ``mlk_<id>_<secret>``. The secret has 256 random bits and cannot be guessed, so a plain
sha256 of it is as safe as a slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from maskloop.clock import Clock, SystemClock
from maskloop.errors import ConfigurationError, ForbiddenError, NotFoundError, UnauthorisedError
from serving.access.key_book import ALL_SCOPES, ApiKey, KeyBook, Scope

READ_EVERY_S: Final = 2.0
"""How often a running service reads the keys: what another process or host changes counts that late."""
_PREFIX: Final = "mlk"


class KeyStore:
    """The keys of one workspace. `check` goes by the keys that were read last, so it never waits.

    Args:
        book: Where they are kept.
        clock: Tells whether a key has expired.
    """

    def __init__(self, book: KeyBook, *, clock: Clock | None = None) -> None:
        self._book, self._clock = book, clock or SystemClock()
        self._keys: dict[str, ApiKey] | None = None

    def add(
        self,
        name: str,
        *,
        scopes: Sequence[Scope] = ALL_SCOPES,
        rate_limit: str = "",
        valid_days: float | None = None,
        models: Sequence[str] = (),
    ) -> str:
        """Make a key and return it; it is never shown again. Raises ConfigurationError without a name."""
        if not name.strip():
            raise ConfigurationError("an API key needs a name", hint="name who will use it")
        now = self._clock.now()
        expires_at = now + timedelta(days=valid_days) if valid_days else None
        key, shown = _issue(name, tuple(scopes), rate_limit, now, expires_at, tuple(models))
        self._book.add([key])
        self.refresh()
        return shown

    def rotate(self, key_id: str, *, grace_hours: float = 24.0) -> str:
        """Make a new key like an old one, which stays valid for the grace period. Raises NotFoundError."""
        now, old = self._clock.now(), self._find(key_id)
        key, shown = _issue(old.name, old.scopes, old.rate_limit, now, old.expires_at, old.models)
        if not self._book.replace(key_id, now + timedelta(hours=grace_hours), key):
            raise _no_such_key(key_id)  # revoked since it was found
        self.refresh()
        return shown

    def revoke(self, key_id: str) -> ApiKey:
        """End a key for good, here at once and elsewhere once it is read there. Raises NotFoundError."""
        gone = self._find(key_id)
        if not self._book.revoke(key_id, self._clock.now()):
            raise _no_such_key(key_id)
        self.refresh()
        return gone

    def all(self) -> list[ApiKey]:
        """Return the keys, oldest first."""
        return list(self._book.all())

    def refresh(self) -> None:
        """Read what other processes and hosts have changed; if that fails, the keys read last stay.

        Raises:
            MaskloopError: as `KeyBook.all` does.
        """
        self._keys = {key.id: key for key in self._book.all()}

    def check(self, presented: str, scope: Scope, *, model: str = "") -> ApiKey:
        """Return the key that was presented. The first call reads the keys if nobody has.

        Args:
            presented: By a client.
            scope: What it is to do.
            model: The served model that it is about; empty: the service itself.

        Raises:
            UnauthorisedError: if there is no such key, or it has expired.
            ForbiddenError: if it may not do this.
        """
        if self._keys is None:
            self.refresh()
        prefix, _, rest = presented.partition("_")
        key_id, _, secret = rest.partition("_")
        key = (self._keys or {}).get(key_id)
        digest = _digest(secret)
        is_right = hmac.compare_digest(digest, key.secret_digest if key else _digest("nobody's"))
        if prefix != _PREFIX or key is None or not is_right or not key.is_valid_at(self._clock.now()):
            raise UnauthorisedError("this API key is not valid", hint="ask the service's owner for one")
        if scope not in key.scopes:
            raise ForbiddenError(
                f"this API key does not have the scope {scope}",
                hint=f"the service's owner makes one that has: `maskloop keys add NAME --scope {scope}`",
            )
        if model and not key.may_ask(model):
            raise ForbiddenError(
                f"this API key is not for the model {model}",
                hint=f"the service's owner makes one that is: `maskloop keys add NAME --model {model}`",
            )
        return key

    def _find(self, key_id: str) -> ApiKey:
        for key in self._book.all():
            if key.id == key_id:
                return key
        raise _no_such_key(key_id)


def _issue(
    name: str,
    scopes: tuple[Scope, ...],
    rate_limit: str,
    now: datetime,
    expires_at: datetime | None,
    models: tuple[str, ...],
) -> tuple[ApiKey, str]:
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = ApiKey(
        id=key_id,
        name=name,
        secret_digest=_digest(secret),
        scopes=scopes,
        rate_limit=rate_limit,
        created_at=now.astimezone(UTC),
        expires_at=expires_at,
        models=models,
    )
    return key, f"{_PREFIX}_{key_id}_{secret}"


def _no_such_key(key_id: str) -> NotFoundError:
    return NotFoundError(f"there is no key {key_id}", hint="`maskloop keys list` shows them")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
