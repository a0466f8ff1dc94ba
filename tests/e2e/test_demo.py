"""`maskloop demo`, whole: the loop's one turn through the real parts, and what is to be seen afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.workspace.wiring import open_app
from maskloop.ledger.port import check_chain

Told = dict[str, Any]


def run_maskloop(*words: str, cwd: Path, timeout_s: float) -> Told:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("maskloop")), *words, "--json"],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:] + done.stdout[-3000:]
    told: Told = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("story")


@pytest.fixture(scope="module")
def told(place: Path) -> Told:
    """The demo's workspace, made once for all tests of it."""
    return run_maskloop("demo", "demo", cwd=place, timeout_s=1500)


@pytest.mark.slow
@pytest.mark.server
def test_the_demo_tells_the_whole_story(told: Told, place: Path) -> None:
    """Drift breaks the champion, retraining mends it, the old camera is not forgotten, all is on record."""
    mean = told["class_iou"][-1]
    assert mean["class"] == "mean"
    assert mean["before drift"] > 0.7
    assert mean["after drift"] < 0.4
    assert mean["after retrain"] > mean["after drift"] + 0.3
    assert mean["old camera, after retrain"] > mean["before drift"] - 0.05
    assert Path(told["report"]).stat().st_size > 100_000

    app = open_app(place / "demo")
    check_chain(app.ledger.entries())
    state = app.state()
    assert [cycle.closed.outcome for cycle in state.cycles.values() if cycle.closed] == ["promoted"] * 2
    judged = app.ledger.find(kinds=("drift.judged",))
    assert [entry.payload["outcome"] for entry in judged] == ["quiet", "drift", "quiet"]
    assert [version.tag for version in state.versions] == ["data-v1", "data-v2"]
    assert app.data.verify("data-v1") == app.data.verify("data-v2") == ()
    counts = app.samples.counts()
    assert counts.received == counts.scored + counts.skipped + counts.pending == 360
    champion = app.models.with_alias("champion")
    assert champion is not None
    assert champion.version == "2"
    assert champion.tags["approved_by"] == "demo reviewer"


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.usefixtures("told")
def test_a_faulty_challenger_is_detected_stopped_and_written_up_in_a_copy_of_the_demo(place: Path) -> None:
    """The failures F4 to F6: no training is needed for them, and the original is as it was."""
    played = run_maskloop("gameday", "f4", "F5", "F6", "-w", "demo", cwd=place, timeout_s=600)
    assert [(one["id"], one["outcome"]) for one in played["played"]] == [
        (name, "handled") for name in ("F4", "F5", "F6")
    ]
    checks = ["count.more", "agreement", "agreement"]
    for one, check in zip(played["played"], checks, strict=True):
        assert check in next(step["said"] for step in one["steps"] if step["phase"] == "detected")
        assert "# incident-" in one["postmortem"]
    assert (played["changed"], played["kept"], played["handled"]) == ([], "", True)
    assert Path(played["page"]).is_file()
    assert "gameday.played" not in {entry.kind for entry in open_app(place / "demo").ledger.entries()}
