"""Pictures are decoded in real child processes, but a test starts one only if none waits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dataset.pictures.sandbox import Child
from tests.fakes.kept_children import USERS, children_kept


@pytest.fixture(scope="session", autouse=True)
def _decoding_children_are_kept() -> Iterator[None]:
    with children_kept():
        yield


@pytest.fixture
def children_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each decoder of the test starts a child and ends it."""
    for user in USERS:
        monkeypatch.setattr(user, Child)
