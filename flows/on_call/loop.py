"""`maskloop monitor`, `reconcile` and `promote`: the loop is carried on."""

from __future__ import annotations

import sys
from pathlib import Path

from flows.console.output import Output, open_workspace, with_output
from flows.drift.monitor import monitor as judge_samples
from flows.loop.reconcile import reconcile as reconcile_loop
from flows.scheduling.foreground import run_story
from flows.scheduling.stopping import stop_signal
from flows.scheduling.watching import watch


@with_output
def monitor(root: Path, out: Output) -> None:
    """Judge the newest production samples for drift."""
    app = open_workspace(root)
    found = run_story(app, "monitor", judge_samples)
    out.answer(
        {
            "judged": found.judged.model_dump(mode="json") if found.judged else None,
            "pending": found.num_pending,
            "trigger": found.trigger,
        },
        lambda: out.sentences([found.said], app.teller),
    )


@with_output
def reconcile(root: Path, out: Output, *, every_s: float | None) -> None:
    """Do whatever is due: train, take decisions from MLflow, promote."""
    app = open_workspace(root)
    if every_s is not None:
        with stop_signal() as stopped:
            watch(root, app.teller, stopped, every_s=every_s)
        return
    found = run_story(app, "reconcile", reconcile_loop)
    said = [*found.done, *found.failed] or ["nothing is due"]
    out.answer(
        {"done": list(found.done), "failed": list(found.failed)}, lambda: out.sentences(said, app.teller)
    )
    if found.failed:
        sys.exit(1)


@with_output
def promote(root: Path, out: Output) -> None:
    """Promote what is approved, now; nothing is trained."""
    app = open_workspace(root)
    done = run_story(app, "promote", reconcile_loop, start_work=lambda _cycle: None).done
    out.answer({"done": list(done)}, lambda: out.sentences(done or ["nothing is approved"], app.teller))
