"""`maskloop tune`: training settings are searched for, and what was found is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flows.console.output import Output, open_workspace, user_name, with_output
from flows.scheduling.foreground import run_story
from flows.tuning.planning import TuneRequest
from flows.tuning.report import TuneReport
from flows.tuning.story import tune as search_settings

_ROWS_SHOWN = 10


@with_output
def tune(root: Path, out: Output, **asked: Any) -> None:
    """Search for better training settings, for some hours."""
    app = open_workspace(root, actor=user_name())
    report = run_story(app, "tune", search_settings, request=TuneRequest(**asked))
    out.answer(report, lambda: _show(out, report))


def _show(out: Output, report: TuneReport) -> None:
    """Show the best trials, and what to change."""
    found = report.found
    shown = min(len(report.trials), _ROWS_SHOWN)
    title = f"search {report.search}: the best {shown} of {len(report.trials)} trials, by {report.objective}"
    out.table([_shown(row) for row in report.trials[:_ROWS_SHOWN]], title)
    click.echo(f"{report.outcome}: {report.spent_hours:.2f} of {report.hours:g} h")
    if report.url:
        click.echo(report.url)
    present = "not measured" if found.present is None else f"{found.present:.3f}"
    if found.result is None:
        click.echo("no trial has finished yet; more --hours go on with this search")
    elif not report.difference:
        click.echo(f"nothing better than the present settings was found ({present})")
    else:
        click.echo(f"best: {found.result:.3f}, the present settings: {present}\n")
        click.echo(report.difference)
        click.echo(
            "maskloop.toml is changed; `maskloop train` trains with it"
            if report.applied
            else f"{report.fragment_file} holds these settings; the same command with --apply writes them"
        )


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with all its settings in one column, by the last part of their names."""
    said = ", ".join(
        f"{path.rpartition('.')[2]} {value:g}"
        if isinstance(value, float)
        else f"{path.rpartition('.')[2]} {value}"
        for path, value in row["values"].items()
    )
    return {**row, "values": said}
