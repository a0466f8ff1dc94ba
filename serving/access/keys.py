"""API keys: random, shown once, kept as digests, compared in constant time, rotated without an outage.

A key has the form ``mlk_<id>_<secret>``. The secret has 256 random bits and cannot be guessed, so a plain
sha256 of it is as safe as a slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from maskloop.clock import Clock, SystemClock
from maskloop.errors import (
    ConfigurationError,
    ForbiddenError,
    IntegrityError,
    NotFoundError,
    UnauthorisedError,
)
from maskloop.files import locked, written_atomically
from maskloop.schema import refuse_newer

Scope = Literal["predict", "feedback", "metrics", "views"]
ALL_SCOPES: Final[tuple[Scope, ...]] = ("predict", "feedback", "metrics", "views")
_PREFIX: Final = "mlk"
_SCHEMA_VERSION: Final = 2


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


class KeyStore:
    """The keys of one workspace, in a file only its owner reads. Another process's changes are seen at once.

    Args:
        file: ``keys.json``; need not exist.
        clock: Tells whether a key has expired.
    """

    def __init__(self, file: Path, *, clock: Clock | None = None) -> None:
        self._file, self._clock = file, clock or SystemClock()
        self._read_at: tuple[int, int] | None = None
        self._keys: dict[str, ApiKey] = {}

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
        with self._changing() as keys:
            return _issue(keys, name, tuple(scopes), rate_limit, now, expires_at, tuple(models))

    def rotate(self, key_id: str, *, grace_hours: float = 24.0) -> str:
        """Make a new key like an old one, which stays valid for the grace period. Raises NotFoundError."""
        now = self._clock.now()
        with self._changing() as keys:
            old = _find(keys, key_id)
            end = now + timedelta(hours=grace_hours)
            keys[key_id] = old.model_copy(update={"expires_at": min(end, old.expires_at or end)})
            return _issue(keys, old.name, old.scopes, old.rate_limit, now, old.expires_at, old.models)

    def revoke(self, key_id: str) -> ApiKey:
        """Forget a key, at once. Raises NotFoundError."""
        with self._changing() as keys:
            return keys.pop(_find(keys, key_id).id)

    def all(self) -> list[ApiKey]:
        """Return the keys, oldest first."""
        return sorted(self._read().values(), key=lambda key: key.created_at)

    def check(self, presented: str, scope: Scope, *, model: str = "") -> ApiKey:
        """Return the key that was presented.

        Args:
            presented: By a client.
            scope: What it is to do.
            model: The served model that it is about; empty: the service itself.

        Raises:
            UnauthorisedError: if there is no such key, or it has expired.
            ForbiddenError: if it may not do this.
        """
        prefix, _, rest = presented.partition("_")
        key_id, _, secret = rest.partition("_")
        key = self._read().get(key_id)
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

    @contextmanager
    def _changing(self) -> Iterator[dict[str, ApiKey]]:
        """Read the keys under a lock, and write them back if the body succeeds."""
        with locked(self._file.with_suffix(".lock"), what="the API keys", timeout_s=10.0):
            keys = _load(self._file) if self._file.exists() else {}
            yield keys
            rows = [key.model_dump(mode="json") for key in keys.values()]
            with written_atomically(self._file) as beside:
                beside.touch(mode=0o600)
                beside.write_text(json.dumps({"schema_version": _SCHEMA_VERSION, "keys": rows}, indent=1))

    def _read(self) -> dict[str, ApiKey]:
        try:
            status = self._file.stat()
        except FileNotFoundError:
            return {}
        read_at = (status.st_mtime_ns, status.st_ino)
        if read_at != self._read_at:
            self._keys, self._read_at = _load(self._file), read_at
        return self._keys


def _load(file: Path) -> dict[str, ApiKey]:
    try:
        content = json.loads(file.read_text())
        refuse_newer(content["schema_version"], _SCHEMA_VERSION, what="the API keys", where=str(file))
        found = [ApiKey.model_validate(each) for each in content["keys"]]
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise IntegrityError("the API keys cannot be read", where=str(file)) from error
    return {key.id: key for key in found}


def _issue(
    keys: dict[str, ApiKey],
    name: str,
    scopes: tuple[Scope, ...],
    rate_limit: str,
    now: datetime,
    expires_at: datetime | None,
    models: tuple[str, ...],
) -> str:
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    keys[key_id] = ApiKey(
        id=key_id,
        name=name,
        secret_digest=_digest(secret),
        scopes=scopes,
        rate_limit=rate_limit,
        created_at=now.astimezone(UTC),
        expires_at=expires_at,
        models=models,
    )
    return f"{_PREFIX}_{key_id}_{secret}"


def _find(keys: dict[str, ApiKey], key_id: str) -> ApiKey:
    if key_id not in keys:
        raise NotFoundError(f"there is no key {key_id}", hint="`maskloop keys list` shows them")
    return keys[key_id]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
