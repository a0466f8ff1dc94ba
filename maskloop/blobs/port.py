"""The port of blobs: whole pieces of bytes under a name, each replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Blob:
    """What a store tells of a blob without sending it.

    Attributes:
        name: A path with slashes, relative to the store.
        size_bytes: Of its content.
        age_s: Since it was written, by the store's own clock.
        md5: Of its content, if the store names it; else empty.
    """

    name: str
    size_bytes: int
    age_s: float
    md5: str = ""


class Blobs(Protocol):
    """A store of blobs. Safe to use from several threads, processes and hosts.

    A reader sees a blob as it was put, or the one before it, never a part. Every method raises

    - `ConfigurationError` if there is no such place, or credentials are missing, wrong or expired;
    - `AccessError` if this user may not do it;
    - `UnavailableError` if the store does not answer, and the same call may succeed later;
    - `StorageError` if the store is full, or refuses for another reason.
    """

    @property
    def where(self) -> str:
        """The place, for messages."""

    def put(self, name: str, data: bytes) -> None:
        """Write a blob; one of this name is replaced. When it returns, the blob outlives a crash."""

    def get(self, name: str) -> bytes | None:
        """Return a blob's bytes; None if there is none.

        Raises:
            IntegrityError: if they are not those that were put, as far as the store can tell.
        """

    def list(self, folder: str = "") -> tuple[Blob, ...]:
        """Return all blobs of a folder and below, by name; of the whole store for an empty one."""

    def delete(self, names: Iterable[str]) -> None:
        """Forget blobs; it does not matter whether they are there."""

    def below(self, folder: str) -> Blobs:
        """Return the part of the store in a folder, as a store of its own."""


def is_within(name: str, folder: str) -> bool:
    """Say whether a blob lies in a folder, or is called like it.

    >>> is_within("a/b/c", "a/b"), is_within("a/bc", "a/b"), is_within("a", ""), is_within("a/b", "a/b")
    (True, False, True, True)
    """
    return not folder or name == folder or name.startswith(f"{folder}/")
