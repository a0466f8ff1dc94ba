"""The API keys of a device in one file that only its owner reads: `serving.access.key_book.KeyBook`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from maskloop.errors import IntegrityError
from maskloop.files import locked, written_atomically
from serving.access.key_book import ApiKey, earlier


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[ApiKey, ...] = ()
    revoked: tuple[str, ...] = ()


class KeyFile:
    """Keys in ``keys.json``, which need not exist. Several processes may use it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def all(self) -> Sequence[ApiKey]:
        """Return the keys that are not revoked, oldest first. Raises IntegrityError."""
        return sorted(self._read().keys, key=lambda key: (key.created_at, key.id))

    def add(self, keys: Sequence[ApiKey]) -> int:
        """Add the keys that are missing and return how many were; of others the earlier end counts."""
        with self._locked():
            content = self._read()
            known = {key.id: key for key in content.keys}
            new = [key for key in keys if key.id not in known and key.id not in content.revoked]
            for key in keys:
                if key.id in known:
                    known[key.id] = _ended(known[key.id], key.expires_at)
            self._write(_Content(keys=(*known.values(), *new), revoked=content.revoked))
        return len(new)

    def replace(self, key_id: str, ends_at: datetime, successor: ApiKey) -> bool:
        """End a key at a time and add its successor, in one step; False if there is no such key."""
        with self._locked():
            content = self._read()
            if key_id not in {key.id for key in content.keys}:
                return False
            kept = [_ended(key, ends_at) if key.id == key_id else key for key in content.keys]
            self._write(_Content(keys=(*kept, successor), revoked=content.revoked))
        return True

    def revoke(self, key_id: str, at: datetime) -> bool:
        """End a key for good; False if there is no such key."""
        with self._locked():
            content = self._read()
            kept = tuple(key for key in content.keys if key.id != key_id)
            self._write(_Content(keys=kept, revoked=(*content.revoked, key_id)))
        return len(kept) < len(content.keys)

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self._file.with_name(".keys.lock"), what="the file of API keys")

    def _read(self) -> _Content:
        try:
            return _Content.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return _Content()
        except ValidationError as error:
            raise IntegrityError(
                "the file of API keys cannot be read",
                where=str(self._file),
                hint="delete it and make new keys",
            ) from error

    def _write(self, content: _Content) -> None:
        with written_atomically(self._file) as beside:
            beside.touch(mode=0o600)
            beside.write_text(content.model_dump_json(indent=1), encoding="utf-8")


def _ended(key: ApiKey, ends_at: datetime | None) -> ApiKey:
    return key.model_copy(update={"expires_at": earlier(key.expires_at, ends_at)})
