"""`maskloop notify`: the channels on which people are told what needs them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from flows.console.output import Output, open_workspace, with_output
from flows.notifications.sending import describe_channels, list_notices, send_test


@with_output
def notify_test(root: Path, out: Output, *, channels: tuple[str, ...]) -> None:
    """Send a test message to each channel, and say what came of it."""
    outcomes = send_test(open_workspace(root), channels)
    rows = [
        {"channel": one.channel, "outcome": "failed" if one.trouble else "sent", "why": one.trouble or None}
        for one in outcomes
    ]
    out.answer(rows, lambda: out.table(rows, "a test message to each channel"))
    if any(one.trouble for one in outcomes):
        sys.exit(1)


@with_output
def notify_list(root: Path, out: Output) -> None:
    """List what people should know now, and which channels were told."""
    app = open_workspace(root)
    notices, channels = list_notices(app), describe_channels(app)

    def show() -> None:
        rows = [
            {"event": one["event"], "since": one["since"][:16], "what": one["headline"], "told": one["told"]}
            for one in notices
        ]
        shown = [{**row, "told": ", ".join(row["told"]) or None} for row in rows]
        out.table(shown, "what is the case") if rows else click.echo("there is nothing to tell")
        for one in channels:
            click.echo(one.sentence())
        if not channels:
            click.echo("no channel is configured: see [notifications] in docs/settings.md")

    out.answer({"notices": notices, "channels": channels}, show)
