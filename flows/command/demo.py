"""One whole turn of the loop on generated pictures: the same stories and servers as in production."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from dataset.ingestion.plan import IngestOptions
from dataset.synthetic.generation import generate
from flows.answering.predict import predict
from flows.console.output import Output, open_workspace
from flows.drift.monitor import Monitored, monitor
from flows.evidence.iou_by_source import comparison_rows
from flows.intake.ingest import ingest
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.pages.report import write_report
from flows.pages.status import tell_history
from flows.scheduling.foreground import run_story
from flows.workspace.creation import init_workspace
from flows.workspace.servers import servers_running
from flows.workspace.telling import TerminalTeller
from flows.workspace.wiring import App
from maskloop.errors import MaskloopError, RefusedError
from maskloop.state.cycle_state import Cycle

REVIEWER = "demo reviewer"
SHIFT = "new_camera"
NUM_RELABELLED = 160
NUM_PRODUCTION = 120


@dataclass
class Clocked:
    """Seconds per step, in order."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def step(self, teller: TerminalTeller, number: int, title: str) -> Iterator[None]:
        """Announce a step and take its time."""
        teller.console.rule(f"[bold]{number}. {title}", align="left")
        start = time.monotonic()
        yield
        self.rows.append({"step": f"{number}. {title}", "seconds": round(time.monotonic() - start, 1)})


@click.command("demo")
@click.argument("directory", type=click.Path(path_type=Path), default="demo")
@click.option("--pictures", default=600, show_default=True, help="Pictures in the first batch.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def demo(directory: Path, pictures: int, as_json: bool) -> None:
    """Run one whole turn of the loop on generated pictures."""
    # Before torch is imported: on a busy laptop two threads of so small a network mostly wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    out = Output(as_json)
    with out.errors_in_json():
        result = run_demo(directory, num_pictures=pictures)
    out.answer(result, lambda: None)


def run_demo(directory: Path, *, num_pictures: int = 600) -> dict[str, Any]:
    """Run the whole story in a fresh workspace, replacing what an earlier demo left there.

    Returns:
        ``before_drift``, ``after_drift`` and ``after_retrain``: class mask IoU by name; ``seconds`` by step;
        ``history``: every decision as a sentence; ``report``: path of the HTML page.

    Raises:
        RefusedError: if the folder exists and no demo made it.
        MaskloopError: if a step did not end the way the story needs.
    """
    teller, clocked = TerminalTeller(), Clocked()
    with clocked.step(teller, 0, "a workspace, and the Prefect server that will show what happened"):
        app = make_demo_workspace(directory, teller)
    with servers_running(app.workspace, names=("prefect",)):
        return _tell(app, teller, clocked, num_pictures)


def make_demo_workspace(directory: Path, teller: TerminalTeller) -> App:
    """Empty the demo's folder and make it a workspace. Raises RefusedError if no demo made it."""
    mark = directory / ".maskloop" / "demo"
    if directory.exists() and any(directory.iterdir()) and not mark.exists():
        raise RefusedError(
            "this folder holds something that is not a demo", where=str(directory), hint="name another one"
        )
    shutil.rmtree(directory, ignore_errors=True)
    init_workspace(directory, preset="demo", model_name="metal-parts")
    mark.touch()
    return open_workspace(directory, actor="demo", teller=teller)


def _tell(app: App, teller: TerminalTeller, clocked: Clocked, num_pictures: int) -> dict[str, Any]:
    incoming = app.workspace.root / "incoming"
    with clocked.step(teller, 1, "pictures of metal parts on a belt come in, labelled, and become data-v1"):
        _ingest(app, incoming / "first", num_pictures, first_index=0, shift=None, source="belt camera 1")
    with clocked.step(teller, 2, "a Mask R-CNN is trained from scratch and judged"):
        first = _turn(app)
    with clocked.step(teller, 3, "a reviewer approves in the registry, and it is promoted"):
        _approve(app, first)
    with clocked.step(teller, 4, "production from the same camera stays quiet"):
        _serve(app, incoming / "quiet", first_index=20_000, shift=None)
        _expect(_watch(app), "quiet")
    with clocked.step(teller, 5, "the camera and the lamp are replaced: drift"):
        _serve(app, incoming / "drifted", first_index=30_000, shift=SHIFT)
        _expect(_watch(app), "drift")
        run_story(app, "reconcile", reconcile)
    with clocked.step(teller, 6, "some of the new pictures are labelled: retraining from the champion"):
        _ingest(
            app,
            incoming / "relabelled",
            NUM_RELABELLED,
            first_index=40_000,
            shift=SHIFT,
            source="belt camera 2",
        )
        run_story(app, "reconcile", reconcile)
    with clocked.step(teller, 7, "the reviewer approves again, and the new champion serves"):
        second = _open_cycle(app)
        _approve(app, second)
    with clocked.step(teller, 8, "production from the new camera is quiet now"):
        _serve(app, incoming / "after", first_index=50_000, shift=SHIFT)
        _expect(_watch(app), "quiet")
    return _conclude(app, teller, clocked, first, second)


def _ingest(app: App, folder: Path, count: int, *, first_index: int, shift: str | None, source: str) -> None:
    with app.teller.progress("drawing pictures") as progress:
        annotations = generate(
            folder, num_pictures=count, first_index=first_index, shift=shift, progress=progress
        )
    run_story(
        app,
        "ingest",
        ingest,
        annotations=annotations,
        images_dir=annotations.parent / "images",
        batch=IngestOptions(source),
    )


def _turn(app: App) -> Cycle:
    cycle = run_story(app, "train", run_turn, starts_from="first-weights")
    if cycle.phase != "judged":
        raise MaskloopError(f"the first candidate was not accepted: {cycle.phase}")
    return cycle


def _approve(app: App, cycle: Cycle) -> None:
    """Do what a reviewer does in MLflow's UI: edit two tags. The reconcile does the rest."""
    version = cycle.candidate.version if cycle.candidate else ""
    app.models.set_tag(version, "approved_by", REVIEWER)
    app.models.set_tag(version, "approval", "approved")
    run_story(app, "promote", reconcile)
    champion = app.state().champion
    if champion is None or champion.version != version:
        raise MaskloopError(f"version {version} was approved but does not serve")


def _serve(app: App, folder: Path, *, first_index: int, shift: str | None) -> None:
    with app.teller.progress("drawing pictures") as progress:
        generate(folder, num_pictures=NUM_PRODUCTION, first_index=first_index, shift=shift, progress=progress)
    run_story(app, "predict", predict, files=[folder / "images"])


def _watch(app: App) -> Monitored:
    return run_story(app, "monitor", monitor)


def _expect(found: Monitored, outcome: str) -> None:
    if found.judged is None or found.judged.outcome != outcome:
        said = found.judged.sentence() if found.judged else "too few samples"
        raise MaskloopError(f"production should look {outcome} here: {said}")


def _open_cycle(app: App) -> Cycle:
    cycles = app.state().open_cycles
    if not cycles or cycles[0].phase != "judged":
        closed = list(app.state().cycles.values())[-1].closed
        raise MaskloopError(
            f"the retrained candidate was not accepted: {closed.reason if closed else 'open'}"
        )
    return cycles[0]


def _conclude(
    app: App, teller: TerminalTeller, clocked: Clocked, first: Cycle, second: Cycle
) -> dict[str, Any]:
    old = first.candidate.version if first.candidate else ""
    new = second.candidate.version if second.candidate else ""
    rows = [
        {
            "class": row["class"],
            "before drift": row["before"],
            "after drift": row["drifted"],
            "after retrain": row["after"],
            "old camera, after retrain": row["old_source"],
        }
        for row in comparison_rows(
            app.workspace, old, new, old_source="belt camera 1", new_source="belt camera 2"
        )
    ]
    history = [line for line in tell_history(app) if line["kind"] != "training.started"]
    report = write_report(app, None)
    teller.table("history", [{"who": x["actor"], "what": x["sentence"]} for x in history], "every decision")
    times = [{"step": row["step"], "time": f"{row['seconds']:.0f} s"} for row in clocked.rows]
    teller.table("seconds", times, "time of each step")
    teller.table("iou", rows, "class mask IoU on test pictures")
    teller.say(f"\nReport with pictures:  {report}")
    named = shlex.quote(os.path.relpath(app.workspace.root))
    teller.say(f"See it in the MLflow and Prefect UIs:  .venv/bin/maskloop up -w {named}")
    result = {"class_iou": rows, "seconds": clocked.rows, "report": str(report), "history": history}
    (app.workspace.reports_dir / "demo.json").write_text(json.dumps(result, indent=1))
    return result
