"""What commands say that Ctrl-C or a signal stopped."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.workspace.wiring import App
from maskloop.errors import StoppedError


def press_ctrl_c(*_args: object, **_more: object) -> App:
    signal.raise_signal(signal.SIGINT)
    raise AssertionError("the signal ends what runs")


@pytest.fixture
def heard_ctrl_c() -> Iterator[None]:
    """Python's own handler: who is started in the background is told to ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard_ctrl_c")
@pytest.mark.parametrize("arguments", [["report"], ["data", "preview"], ["report", "--json"]])
def test_ctrl_c_says_what_holds_and_how_to_go_on(arguments: list[str], run: Any, workspace: Path) -> None:
    ran = run(*arguments, "-w", workspace, opener=press_ctrl_c)
    assert (ran.code, ran.out) == (130, "")
    assert ran.err.strip() == (
        "Stopped by Ctrl-C. Nothing that was recorded is lost. Run the same command again to finish it."
    )


@pytest.mark.usefixtures("heard_ctrl_c")
def test_ctrl_c_in_a_demo_does_not_promise_that_it_goes_on(run: Any, tmp_path: Path) -> None:
    ran = run("demo", tmp_path / "demo", opener=press_ctrl_c)
    assert ran.code == 130
    assert "begins anew" in ran.err


def test_a_demo_refuses_a_labelling_tool_that_it_does_not_know(run: Any, tmp_path: Path) -> None:
    ran = run("demo", tmp_path / "demo", "--labels", "cvat", opener=press_ctrl_c)
    assert ran.code == 2
    assert "Label Studio" in ran.err
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(("command", "told"), [("train", "goes on from there"), ("demo", "begins anew")])
def test_a_training_that_was_stopped_says_where_and_ends_as_the_signal_does(
    command: str, told: str, run: Any, workspace: Path
) -> None:
    def stopped(*_args: object, **_more: object) -> App:
        error = StoppedError("the training was stopped after step 12 of 100, which is saved")
        error.exit_code = 143
        raise error

    arguments = [workspace / "x"] if command == "demo" else ["-w", workspace]
    ran = run(command, *arguments, opener=stopped)
    assert (ran.code, ran.out) == (143, "")
    assert "\nStopped: the training was stopped after step 12 of 100" in ran.err
    assert told in ran.err
    assert "error" not in ran.err
    if command == "train":
        answer = json.loads(run(command, "--json", *arguments, opener=stopped).out)
        assert (answer["outcome"], answer["exit_code"]) == ("stopped", 143)
