"""One whole turn of the loop on generated pictures: the same stories and servers as in production."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from dataset.ingestion.plan import IngestOptions
from dataset.synthetic.generation import generate
from flows.answering.batch_prediction import predict
from flows.console.output import open_workspace
from flows.demo.annotator import employ_annotator
from flows.drift.monitor import Monitored, monitor
from flows.evidence.iou_by_source import comparison_rows
from flows.intake.batch_intake import ingest
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.pages.loop_report import write_report
from flows.pages.status import tell_history
from flows.scheduling.foreground import run_story
from flows.views.page import write_views
from flows.workspace.creation import init_workspace
from flows.workspace.servers import servers_running
from flows.workspace.telling import TerminalTeller
from flows.workspace.wiring import App
from maskloop.errors import MaskloopError, RefusedError
from maskloop.files import write_text
from maskloop.state.cycle_state import Cycle
from registry.ports import APPROVAL_TAG, APPROVED_BY_TAG

REVIEWER = "demo reviewer"
SHIFT = "new_camera"
NUM_RELABELLED = 160
NUM_PRODUCTION = 120
NUM_TO_CHOOSE_FROM = 240
"""Pictures of the new camera, where the loop itself chooses which are labelled."""
NUM_REQUESTED = 180
"""So many that the new camera gets a drift reference of its own: `min_window_samples` held-out pictures."""
FOLDER: Final = "folder"


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


def run_demo(directory: Path, *, num_pictures: int = 600, labels: str = "") -> dict[str, Any]:
    """Run the whole story in a fresh workspace, replacing what an earlier demo left there.

    Args:
        directory: The workspace.
        num_pictures: In the first batch.
        labels: How the new camera's pictures are labelled. Empty: a labelled batch is ingested. ``folder``, or
            the address of a Label Studio server: the alarm requests labels in that tool by itself, a stand-in
            for a person labels them there, and the loop takes them back.

    Returns:
        ``before_drift``, ``after_drift`` and ``after_retrain``: class mask IoU by name; ``seconds`` by step;
        ``history``: every decision as a sentence; ``report``: path of the HTML page.

    Raises:
        RefusedError: if the folder exists and no demo made it.
        UnavailableError: if Label Studio does not answer.
        ConfigurationError: if it refuses the token.
        MaskloopError: if a step did not end the way the story needs.
    """
    teller, clocked = TerminalTeller(), Clocked()
    with clocked.step(teller, 0, "a workspace, and the Prefect server that will show what happened"):
        app = make_demo_workspace(directory, teller, labels)
        app.labelling_tool.find_project()  # a server that is away is noticed now, not after the training
    with servers_running(app.workspace, names=("prefect",)):
        return Demo(app, teller, clocked).run(num_pictures)


def make_demo_workspace(directory: Path, teller: TerminalTeller, labels: str = "") -> App:
    """Empty the demo's folder and make it a workspace. Raises RefusedError if no demo made it."""
    mark = directory / ".maskloop" / "demo"
    if directory.exists() and any(directory.iterdir()) and not mark.exists():
        raise RefusedError(
            "this folder holds something that is not a demo", where=str(directory), hint="name another one"
        )
    shutil.rmtree(directory, ignore_errors=True)
    made = init_workspace(directory, preset="demo", model_name="metal-parts")
    mark.touch()
    file = made.workspace.settings_file
    write_text(file, file.read_text() + _labelling_settings(labels))
    return open_workspace(directory, actor="demo", teller=teller)


def _labelling_settings(labels: str) -> str:
    """Return the section of the settings that makes an alarm request labels by itself; empty without a tool."""
    if not labels:
        return ""
    tool = f'tool = "{FOLDER}"'
    if labels != FOLDER:  # a project of its own: the same pictures may be labelled in that of an earlier demo
        title = f"maskloop demo {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        tool = f'tool = "label-studio"\nurl = {json.dumps(labels)}\nproject = "{title}"'
    return f"\n[labelling]\n{tool}\nrequest_on_drift = {NUM_REQUESTED}\nshortlist_factor = 1\n"


@dataclass(frozen=True)
class Demo:
    """The story of a demo in its workspace.

    Attributes:
        app: The workspace.
        teller: Announces the steps.
        clocked: Takes their times.
    """

    app: App
    teller: TerminalTeller
    clocked: Clocked

    def run(self, num_pictures: int) -> dict[str, Any]:
        """Run every step; return the figures, the times and the history."""
        incoming = self.app.workspace.root / "incoming"
        with self._step(1, "pictures of metal parts on a belt come in, labelled, and become data-v1"):
            self._ingest(incoming / "first", num_pictures, first_index=0, shift=None, source="belt camera 1")
        with self._step(2, "a Mask R-CNN is trained from scratch and judged"):
            first = self._turn()
        with self._step(3, "a reviewer approves in the registry, and it is promoted"):
            self._approve(first)
        with self._step(4, "production from the same camera stays quiet"):
            quiet = self._serve(incoming / "quiet", NUM_PRODUCTION, first_index=20_000, shift=None)
            _expect(self._watch(), "quiet")
        with self._step(5, "the camera and the lamp are replaced: drift"):
            count = NUM_TO_CHOOSE_FROM if self._labels_in_tool else NUM_PRODUCTION
            drifted = self._serve(incoming / "drifted", count, first_index=30_000, shift=SHIFT)
            _expect(self._watch(), "drift")
            self._reconcile()
        if self._labels_in_tool:
            self._label_in_tool(quiet, drifted)
        else:
            self._label_by_generator(incoming / "relabelled")
        with self._step(7, "the reviewer approves again, and the new champion serves"):
            second = self._open_cycle()
            self._approve(second)
        with self._step(8, "production from the new camera is quiet now"):
            self._serve(incoming / "after", NUM_PRODUCTION, first_index=50_000, shift=SHIFT)
            _expect(self._watch(), "quiet")
        return self._conclude(first, second)

    def _step(self, number: int, title: str) -> AbstractContextManager[None]:
        return self.clocked.step(self.teller, number, title)

    @property
    def _labels_in_tool(self) -> bool:
        return self.app.settings.labelling.request_on_drift > 0

    def _label_by_generator(self, folder: Path) -> None:
        with self._step(6, "some of the new pictures are labelled: retraining from the champion"):
            self._ingest(folder, NUM_RELABELLED, first_index=40_000, shift=SHIFT, source="belt camera 2")
            self._reconcile()

    def _label_in_tool(self, *truth: Path) -> None:
        """Let the stand-in annotator work in the tool; the reconcile after it takes the labels back."""
        tool, settings = self.app.labelling_tool, self.app.settings.labelling
        with self._step(6, "the pictures that the alarm asked for are labelled: retraining"):
            annotator = employ_annotator(truth, settings, self.app.workspace.root)
            num_labelled = annotator.label(tool)
            self.teller.say(f"A stand-in for a person labelled {num_labelled} pictures in {tool.find_project()}")
            self._reconcile()

    def _reconcile(self) -> None:
        for sentence in run_story(self.app, "reconcile", reconcile).done:
            self.teller.say(sentence)

    def _ingest(self, folder: Path, count: int, *, first_index: int, shift: str | None, source: str) -> None:
        with self.app.teller.progress("drawing pictures") as progress:
            annotations = generate(
                folder, num_pictures=count, first_index=first_index, shift=shift, progress=progress
            )
        run_story(
            self.app,
            "ingest",
            ingest,
            annotations=annotations,
            images_dir=annotations.parent / "images",
            options=IngestOptions(source),
        )

    def _turn(self) -> Cycle:
        cycle = run_story(self.app, "train", run_turn, starts_from="first-weights")
        if cycle.phase != "judged":
            raise MaskloopError(f"the first candidate was not accepted: {cycle.phase}")
        return cycle

    def _approve(self, cycle: Cycle) -> None:
        """Do what a reviewer does in MLflow's UI: edit two tags. The reconcile does the rest."""
        version = cycle.candidate.version if cycle.candidate else ""
        self.app.models.set_tag(version, APPROVED_BY_TAG, REVIEWER)
        self.app.models.set_tag(version, APPROVAL_TAG, "approved")
        run_story(self.app, "promote", reconcile)
        champion = self.app.state().champion
        if champion is None or champion.version != version:
            raise MaskloopError(f"version {version} was approved but does not serve")

    def _serve(self, folder: Path, count: int, *, first_index: int, shift: str | None) -> Path:
        """Answer drawn pictures; returns the file that tells what they show."""
        with self.app.teller.progress("drawing pictures") as progress:
            truth = generate(
                folder, num_pictures=count, first_index=first_index, shift=shift, progress=progress
            )
        source = "belt camera 2" if shift else "belt camera 1"
        run_story(self.app, "predict", predict, files=[folder / "images"], source=source)
        return truth

    def _watch(self) -> Monitored:
        return run_story(self.app, "monitor", monitor)

    def _open_cycle(self) -> Cycle:
        cycles = self.app.state().open_cycles
        if not cycles or cycles[0].phase != "judged":
            closed = list(self.app.state().cycles.values())[-1].closed
            raise MaskloopError(
                f"the retrained candidate was not accepted: {closed.reason if closed else 'open'}"
            )
        return cycles[0]

    def _conclude(self, first: Cycle, second: Cycle) -> dict[str, Any]:
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
                self.app.workspace, old, new, old_source="belt camera 1", new_source="belt camera 2"
            )
        ]
        history = [line for line in tell_history(self.app.ledger) if line["kind"] != "training.started"]
        write_views(self.app)
        report = write_report(self.app, None)
        self.teller.table(
            "history", [{"who": x["actor"], "what": x["sentence"]} for x in history], "every decision"
        )
        times = [{"step": row["step"], "time": f"{row['seconds']:.0f} s"} for row in self.clocked.rows]
        self.teller.table("seconds", times, "time of each step")
        self.teller.table("iou", rows, "class mask IoU on test pictures")
        self.teller.say(f"\nReport with pictures:  {report}")
        named = shlex.quote(os.path.relpath(self.app.workspace.root))
        self.teller.say(f"See it in the MLflow and Prefect UIs:  .venv/bin/maskloop up -w {named}")
        result = {"class_iou": rows, "seconds": self.clocked.rows, "report": str(report), "history": history}
        (self.app.workspace.reports_dir / "demo.json").write_text(json.dumps(result, indent=1))
        return result


def _expect(found: Monitored, outcome: str) -> None:
    if found.judged is None or found.judged.outcome != outcome:
        said = found.judged.sentence() if found.judged else "too few samples"
        raise MaskloopError(f"production should look {outcome} here: {said}")
