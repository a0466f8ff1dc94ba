"""Run the loop on real photographs: ``python -m benchmarks.real nuclei`` or ``carparts``.

The data sets are inputs: they stay where they are (``$MASKLOOP_SHARED_DATA`` or ``../shared/data``) and are
never copied into the repository. The workspace lies in ``benchmarks/real/runs/``, which git ignores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataset.ingestion.plan import IngestOptions
from dataset.labelled_pictures import Split
from flows.answering.batch_prediction import predict
from flows.deciding.decisions import decide_by_hand
from flows.drift.monitor import monitor
from flows.evidence.iou_by_source import read_iou_rows
from flows.intake.batch_intake import ingest
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.pages.loop_report import write_report
from flows.workspace.creation import init_workspace
from flows.workspace.telling import TerminalTeller
from flows.workspace.wiring import App, open_app

HERE = Path(__file__).resolve().parent
REVIEWER = "benchmark"


def main() -> None:
    """Run one story and print its figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real", description=__doc__)
    parser.add_argument("story", choices=sorted(STORIES))
    parser.add_argument("--full", action="store_true", help="full size, for a GPU")
    arguments = parser.parse_args()
    data = find_data() / arguments.story
    app = open_workspace(arguments.story, full=arguments.full)
    start = time.monotonic()
    figures = STORIES[arguments.story](app, data)
    figures["seconds"] = round(time.monotonic() - start)
    figures["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    figures["report"] = str(write_report(app, None))
    print(json.dumps(figures, indent=1))


def find_data() -> Path:
    """Return the folder of the data sets, or end with a sentence that says what is missing."""
    found = Path(os.environ.get("MASKLOOP_SHARED_DATA", HERE.parents[2] / "shared" / "data"))
    if not found.is_dir():
        sys.exit(f"no data sets at {found}: set MASKLOOP_SHARED_DATA (benchmarks/real/README.md)")
    return found


def open_workspace(story: str, *, full: bool) -> App:
    """Make a fresh workspace with the story's settings."""
    root = HERE / "runs" / story
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    settings = HERE / f"{story}{'-full' if full else ''}.toml"
    shutil.copy(settings, root / "maskloop.toml")
    init_workspace(root)
    return open_app(root, teller=TerminalTeller(), actor="benchmark")


def run_nuclei(app: App, data: Path) -> dict[str, Any]:
    """Fluorescence micrographs first; then stained tissue comes in, alarms, and is learned."""
    take(app, data, "fluo_train", "train", "fluorescence")
    take(app, data, "fluo_val", "val", "fluorescence")
    take(app, data, "fluo_test", "test", "fluorescence")
    first = turn_and_approve(app)
    predict(app, pictures_of(data, "fluo_test"), source="microscope 1")
    quiet = monitor(app)
    stained = [*pictures_of(data, "stained_test"), *pictures_of(data, "stained_adapt")]
    predict(app, stained, source="microscope 2")
    drift = monitor(app)
    take(app, data, "stained_adapt", "train", "stained")
    take(app, data, "stained_test", "test", "stained")
    reconcile(app)
    second = approve_open_candidate(app)
    return {
        "first": read_iou_rows(app.workspace, first),
        "quiet": quiet.judged.sentence() if quiet.judged else None,
        "drift": drift.judged.sentence() if drift.judged else None,
        "after_retraining": read_iou_rows(app.workspace, second),
        "cycles": describe_cycles(app),
    }


def run_carparts(app: App, data: Path) -> dict[str, Any]:
    """Nine classes of car parts from few photographs: polygons, category ids from the file."""
    take(app, data, "mini_coarse_train", "train", "adverts", prefix="")
    take(app, data, "mini_coarse_val", "test", "adverts", prefix="")
    version = turn_and_approve(app)
    return {"first": read_iou_rows(app.workspace, version), "cycles": describe_cycles(app)}


STORIES: dict[str, Callable[[App, Path], dict[str, Any]]] = {"nuclei": run_nuclei, "carparts": run_carparts}


def take(app: App, data: Path, name: str, split: Split, source: str, *, prefix: str = "instances_") -> None:
    """Ingest one published split."""
    annotations = data / "annotations" / f"{prefix}{name}.json"
    start = time.monotonic()
    result = ingest(app, annotations, data / "images", options=IngestOptions(source, split))
    app.teller.say(
        f"  {name}: {result.num_added} pictures in {time.monotonic() - start:.1f} s, "
        f"{len(result.report.problems)} remarks, {result.num_quarantined} left out"
    )


def pictures_of(data: Path, name: str) -> list[Path]:
    """Return the picture files of one published split."""
    content = json.loads((data / "annotations" / f"instances_{name}.json").read_text())
    return [data / "images" / image["file_name"] for image in content["images"]]


def turn_and_approve(app: App) -> str:
    """Train from first weights, approve, promote; returns the version."""
    run_turn(app, starts_from="first-weights")
    return approve_open_candidate(app)


def approve_open_candidate(app: App) -> str:
    """Approve what waits for a person and promote it; returns the newest version either way."""
    for cycle in app.state().open_cycles:
        if cycle.phase == "judged" and cycle.candidate:
            decide_by_hand(app, cycle.candidate.version, "approved", by=REVIEWER, why="figures looked at")
    reconcile(app)
    return next(c.candidate.version for c in reversed(app.state().cycles.values()) if c.candidate)


def describe_cycles(app: App) -> list[dict[str, Any]]:
    """Return each cycle's verdict and end."""
    return [
        {
            "cycle": cycle.id,
            "reason": cycle.opened.detail,
            "verdict": cycle.verdict.sentence() if cycle.verdict else None,
            "outcome": cycle.closed.outcome if cycle.closed else cycle.phase,
            "training_seconds": round(cycle.candidate.seconds) if cycle.candidate else None,
        }
        for cycle in app.state().cycles.values()
    ]


if __name__ == "__main__":
    main()
