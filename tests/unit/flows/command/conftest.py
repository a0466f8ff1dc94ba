"""The command line, run in this process as a shell runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.command.main import main


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server, workspace or key is named by the environment, and loopback needs no proxy."""
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "MASKLOOP_WORKSPACE", "MASKLOOP_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The least a workspace can be: settings with gates."""
    (tmp_path / "maskloop.toml").write_text("[gates]\n")
    return tmp_path


class Ran:
    """What a command said, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str | Path, opener: Any = None) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments], opener=opener)
        said = capsys.readouterr()
        return Ran(int(ended.value.code or 0), said.out, said.err)

    return call
