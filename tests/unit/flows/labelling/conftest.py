"""A workspace with a champion and a fake Label Studio."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.labelling_world import LabellingWorld


@pytest.fixture
def labelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabellingWorld:
    return LabellingWorld.made(tmp_path / "workspace", monkeypatch)
