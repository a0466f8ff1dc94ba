"""One ephemeral Prefect server a session: starting it costs about fifteen seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from tests.fakes.loop_world import World, leave_alone


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> World:
    """A workspace with one data version whose flows run on the server, and whose clock tells its time.

    Runs are found by model name and cycle, and the server is shared: each test has a model of its own.
    """
    made = World(tmp_path / "workspace")
    settings = made.workspace.settings_file
    settings.write_text(f'model_name = "{tmp_path.name}"\n{settings.read_text()}')
    made.clock.time = datetime.now(UTC)
    leave_alone(monkeypatch)

    def open_app(_root: Path, *, teller: Teller) -> App:
        return replace(made.app(), teller=teller)

    monkeypatch.setattr("flows.scheduling.deployments.open_app", open_app)
    made.label(range(12))
    return made
