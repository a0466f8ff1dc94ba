"""What `maskloop status`, `history` and `lineage` take."""

from __future__ import annotations

from typing import Final

import click

from flows.console.command_line import make_command

NUM_SHOWN: Final = 50
"""Entries that `maskloop history` shows unless asked for others."""

STATUS: Final = make_command(
    "status",
    "flows.on_call.overview:status",
    "Show what serves, runs, failed or waits, and what to do next.",
)

HISTORY: Final = make_command(
    "history",
    "flows.on_call.overview:history",
    "Tell what happened, the newest entries last.",
    click.Option(
        ["--at"],
        type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"]),
        help="Answer what served at that time (UTC), and who moved it there.",
    ),
    click.Option(["--cycle"], default="", help="Only this turn of the loop, from its beginning."),
    click.Option(
        ["--newest"],
        type=click.IntRange(min=1),
        help=f"At most so many entries, the newest. Default: {NUM_SHOWN}; with --json or --cycle: all.",
    ),
    click.Option(["--before"], type=click.IntRange(min=2), help="Only entries before this number."),
    click.Option(
        ["--all", "everything"], is_flag=True, help="All entries; checks that none was changed or lost."
    ),
)

LINEAGE: Final = make_command(
    "lineage",
    "flows.on_call.overview:lineage",
    """Show where a VERSION comes from: data, run, verdict, approval.

Default: the champion.
""",
    click.Argument(["version"], required=False),
)
