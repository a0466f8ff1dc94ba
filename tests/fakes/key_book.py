"""A book of API keys that keeps everything in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from serving.access.key_book import ApiKey, earlier


class FakeKeyBook:
    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._revoked: set[str] = set()

    def all(self) -> Sequence[ApiKey]:
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.id))

    def add(self, keys: Sequence[ApiKey]) -> int:
        new = [key for key in keys if key.id not in self._keys and key.id not in self._revoked]
        for key in keys:
            if key.id in self._keys:
                self._end(key.id, key.expires_at)
        self._keys.update((key.id, key) for key in new)
        return len(new)

    def replace(self, key_id: str, ends_at: datetime, successor: ApiKey) -> bool:
        if key_id not in self._keys:
            return False
        self._end(key_id, ends_at)
        self.add([successor])
        return True

    def revoke(self, key_id: str, at: datetime) -> bool:
        self._revoked.add(key_id)
        return self._keys.pop(key_id, None) is not None

    def _end(self, key_id: str, ends_at: datetime | None) -> None:
        key = self._keys[key_id]
        end = earlier(key.expires_at, ends_at)
        self._keys[key_id] = key.model_copy(update={"expires_at": end})
