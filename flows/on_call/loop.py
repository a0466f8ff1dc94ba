"""`maskloop monitor`, `reconcile` and `promote`: the loop is carried on."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from flows.console.output import Output, open_workspace, with_output
from flows.drift.monitor import monitor as judge_samples
from flows.drift.simulation import simulate_monitoring
from flows.drift.watching import describe_watched
from flows.loop.reconcile import reconcile as reconcile_loop
from flows.scheduling.foreground import run_story
from flows.scheduling.stopping import stop_signal
from flows.scheduling.watching import watch
from monitoring.pages.simulation_page import write_simulation_page


@with_output
def monitor(root: Path, out: Output) -> None:
    """Judge the newest production samples for drift."""
    app = open_workspace(root)
    found = run_story(app, "monitor", judge_samples)
    said = [*found.remarks, found.said, *([found.watched.sentence()] if found.watched else [])]
    out.answer(
        {
            "judged": found.judged.model_dump(mode="json") if found.judged else None,
            "pending": found.num_pending,
            "trigger": found.trigger,
            "remarks": list(found.remarks),
            "evidence": describe_watched(found.watched) if found.watched else None,
        },
        lambda: out.sentences(said, app.teller),
    )


@with_output
def simulate(
    root: Path, out: Output, *, num_quarters: int, scenes_per_day: float | None, output: Path | None
) -> None:
    """Measure false drift alarms in simulated quarters, and the delay until each named change is seen."""
    app = open_workspace(root)
    found = simulate_monitoring(app, num_quarters=num_quarters, scenes_per_day=scenes_per_day)
    page = write_simulation_page(
        output or app.workspace.simulation_page,
        found,
        model_name=app.settings.model_name,
        now=app.clock.now(),
    )

    def show() -> None:
        out.sentences(found.sentences(), app.teller)
        out.table([delay.as_row() for delay in found.delays], "Delay until a change is seen")
        click.echo(f"The page: {page}")

    out.answer({**found.to_json(), "page": str(page)}, show)


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
