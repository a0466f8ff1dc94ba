"""What `maskloop approve`, `reject`, `abandon`, `rollback` and `rollout` take."""

from __future__ import annotations

from typing import Final

import click

from flows.console.command_line import CommandGroup, make_command
from flows.console.parameters import WHY, WHY_REQUIRED, by

APPROVE: Final = make_command(
    "approve",
    "flows.command.decisions:approve",
    "Approve a judged VERSION; the next reconcile promotes it.",
    click.Argument(["version"]),
    by("approves"),
    WHY,
)

REJECT: Final = make_command(
    "reject",
    "flows.command.decisions:reject",
    "Reject a judged VERSION.",
    click.Argument(["version"]),
    by("rejects"),
    WHY,
)

ABANDON: Final = make_command(
    "abandon",
    "flows.command.decisions:abandon",
    "End an open CYCLE; what serves goes on serving.",
    click.Argument(["cycle"]),
    by("ends it"),
    WHY_REQUIRED,
)

ROLLBACK: Final = make_command(
    "rollback",
    "flows.command.decisions:rollback",
    """Make an earlier champion serve again.

It is VERSION, or the one before the present one.

Without VERSION, a challenger that answers part of the traffic is stopped instead: that changed last.
""",
    click.Argument(["version"], required=False),
    by("rolls back"),
    WHY_REQUIRED,
)

ROLLOUT_SHOW: Final = make_command(
    "show",
    "flows.command.decisions:rollout_show",
    "Show how far the rollout is, what was measured, and what it waits for.",
    click.Option(["--cycle"], default="", help="The cycle whose rollout is shown. Default: the newest."),
)

ROLLOUT_RESUME: Final = make_command(
    "resume",
    "flows.command.decisions:rollout_resume",
    "Resume a paused rollout: give its step more time, or accept it as it is.",
    click.Option(["--accept"], is_flag=True, help="Accept what could not be shown and take the next share."),
    by("decides"),
)

ROLLOUT_STOP: Final = make_command(
    "stop",
    "flows.command.decisions:rollout_stop",
    "Take the challenger out of all traffic at once; the champion goes on serving.",
    by("decides"),
    WHY_REQUIRED,
)

ROLLOUT: Final = CommandGroup(
    "rollout",
    [
        ROLLOUT_SHOW,
        ROLLOUT_RESUME,
        ROLLOUT_STOP,
    ],
    help="Look at the rollout under way, and decide about it.",
)
