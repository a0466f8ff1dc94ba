"""`maskloop demo`, whole: the loop's one turn through the real parts, and what is to be seen afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flows.workspace.wiring import open_app
from maskloop.ledger.port import check_chain


@pytest.mark.slow
@pytest.mark.server
def test_the_demo_tells_the_whole_story(tmp_path: Path) -> None:
    """Drift breaks the champion, retraining mends it, the old camera is not forgotten, all is on record."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("maskloop")), "demo", "demo", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    told = json.loads(done.stdout)
    mean = told["class_iou"][-1]
    assert mean["class"] == "mean"
    assert mean["before drift"] > 0.7
    assert mean["after drift"] < 0.4
    assert mean["after retrain"] > mean["after drift"] + 0.3
    assert mean["old camera, after retrain"] > mean["before drift"] - 0.05
    assert Path(told["report"]).stat().st_size > 100_000

    app = open_app(tmp_path / "demo")
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
