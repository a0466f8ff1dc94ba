from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.loop_world import World, leave_alone


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_alone(monkeypatch)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A workspace with one data version of twelve pictures."""
    made = World(tmp_path / "workspace")
    made.label(range(12))
    return made
