from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.loop_world import World, put_in_place


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A workspace with one data version of twelve pictures."""
    made = World(tmp_path / "workspace")
    put_in_place(monkeypatch, lambda: made)
    made.label(range(12))
    return made
