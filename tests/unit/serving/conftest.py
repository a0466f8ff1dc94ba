from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.service_world import ServiceWorld


@pytest.fixture
def world(tmp_path: Path) -> ServiceWorld:
    """A service that needs no key."""
    return ServiceWorld(tmp_path)


@pytest.fixture(autouse=True)
def loopback_needs_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
