"""What `maskloop monitor`, `reconcile`, `promote` and `report` take."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from flows.console.command_line import CommandGroup, make_command

MONITOR_CHECK: Final = make_command(
    "check",
    "flows.on_call.loop:monitor",
    "Judge the newest production samples for drift. Also without the word check.",
)

MONITOR_SIMULATE: Final = make_command(
    "simulate",
    "flows.on_call.loop:simulate",
    """Measure false drift alarms in simulated quarters, and the delay until each named change is seen.

Production is drawn from the champion's own held-out pictures, which are changed for the delays. Takes a few
minutes, most of them for the changed pictures the first time. Nothing is recorded.
""",
    click.Option(
        ["--quarters", "num_quarters"],
        type=click.IntRange(min=20),
        default=1000,
        show_default=True,
        help="Simulated quarters without a change.",
    ),
    click.Option(
        ["--scenes-per-day"],
        type=click.FloatRange(min=1.0, max=1e6),
        help="Default: as measured in production; 100 before that.",
    ),
    click.Option(
        ["--output"], type=click.Path(path_type=Path), help="Default: .maskloop/reports/simulation.html"
    ),
)

MONITOR: Final = CommandGroup(
    "monitor",
    [MONITOR_CHECK, MONITOR_SIMULATE],
    default="check",
    help="Judge the newest production samples for drift.",
)

TRENDS: Final = make_command(
    "trends",
    "flows.on_call.trends:trends",
    """Show how the features of production samples went over time.

Beside it: how far they are from the champion's own pictures. From sketches of all samples, so a long period
costs no more than its hours. It judges nothing: `maskloop monitor` does.
""",
    click.Option(
        ["--days"], type=click.FloatRange(min=0.04), default=7.0, show_default=True, help="So far back."
    ),
    click.Option(
        ["--by", "period"],
        type=click.Choice(["hour", "day", "week", "all"]),
        default="day",
        show_default=True,
        help="Length of a period, in UTC. all: one period.",
    ),
    click.Option(
        ["--feature", "features"], multiple=True, help="Only this one, with its quantiles. Can be repeated."
    ),
    click.Option(["--all-sources"], is_flag=True, help="One line for all sources together."),
    click.Option(["--all-versions"], is_flag=True, help="One line for all model versions together."),
)

RECONCILE: Final = make_command(
    "reconcile",
    "flows.on_call.loop:reconcile",
    "Do whatever is due: train, take decisions from MLflow, promote.",
    click.Option(
        ["--every", "every_s"],
        type=click.FloatRange(min=1.0),
        help="Look again after so many seconds, for ever.",
    ),
)

PROMOTE: Final = make_command(
    "promote",
    "flows.on_call.loop:promote",
    "Promote what is approved, now; nothing is trained.",
)

REPORT: Final = make_command(
    "report",
    "flows.on_call.report:report",
    """Write the page of the loop and the three views, or one VIEW.

\b
loop       what serves, decisions, figures, data
executive  is the model good, what does it cost, what waits for a person
on-call    what is wrong now, the queue, drift over time, what changed last
debug      one version: its training, errors, pictures, and drift while it served

A view with --json prints its facts too. Pages need no network; charts answer the pointer where the script
beside the page is loaded.
""",
    click.Argument(
        ["view"], required=False, default=None, type=click.Choice(["loop", "executive", "on-call", "debug"])
    ),
    click.Option(["--version"], default="", help="Of the debug view. Default: the one that serves."),
    click.Option(["--cycle"], default="", help="Of the debug view, instead of a version."),
    click.Option(
        ["--url"], default="", help="The service's address. Default: the one that `maskloop up` runs."
    ),
    click.Option(["--key"], default="", envvar="MASKLOOP_API_KEY", help="An API key with the scope metrics."),
    click.Option(
        ["--output"],
        type=click.Path(path_type=Path),
        help="The file of one page; without VIEW that of the loop. Default: .maskloop/reports/VIEW.html",
    ),
)
