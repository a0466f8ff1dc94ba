"""What `maskloop monitor`, `reconcile`, `promote` and `report` take."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from flows.console.command_line import make_command

MONITOR: Final = make_command(
    "monitor",
    "flows.on_call.loop:monitor",
    "Judge the newest production samples for drift.",
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
    "flows.on_call.loop:report",
    "Write the page of the loop: what serves, decisions, figures.",
    click.Option(["--output"], type=click.Path(path_type=Path), help="Default: .maskloop/reports/loop.html"),
)
