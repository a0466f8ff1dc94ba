"""A world whose pictures are labelled in a fake CVAT, behind the real adapter."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dataset.labelling.cvat import Cvat
from dataset.labelling.cvat_api import CvatApi
from tests.fakes.cvat_server import ACCESS_TOKEN, FakeCvat
from tests.fakes.labelling_benches import CvatBench
from tests.fakes.labelling_world import LabellingWorld


def fake_cvat(server: FakeCvat) -> CvatApi:
    """Return what speaks to a fake server, and never sleeps."""
    return CvatApi("http://cvat", "", transport=server.transport, sleep=lambda _: None)


@dataclass
class CvatWorld(LabellingWorld):
    """One workspace, its CVAT, and the people who label there."""

    cvat: FakeCvat = field(default_factory=FakeCvat)
    pictures_per_job: int = 1

    def __post_init__(self) -> None:
        api = fake_cvat(self.cvat)
        self.tool = Cvat(api, title=self.title, pictures_per_job=self.pictures_per_job)  # type: ignore[assignment]
        self.bench = CvatBench(self.tool, api)  # type: ignore[assignment, arg-type]
        self.world.labelling_tool = self.tool

    @classmethod
    def made(cls, root: Path, monkeypatch: pytest.MonkeyPatch, *, settings: str = "") -> CvatWorld:
        monkeypatch.setenv("CVAT_ACCESS_TOKEN", ACCESS_TOKEN)
        made = super().made(root, monkeypatch, settings=settings)
        assert isinstance(made, CvatWorld)
        return made
