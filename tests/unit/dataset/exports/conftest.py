"""A data version with every kind of object."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset.labelled_pictures import DatasetVersion
from tests.fakes.exported import drawn_version


@pytest.fixture
def version(tmp_path: Path) -> DatasetVersion:
    return drawn_version(tmp_path / "data-v3")
