"""`maskloop gameday`: the usual failures, played in a copy of the workspace."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from flows.console.output import Output, open_workspace, with_output
from flows.gameday.gameday import SCENARIOS, hold_gameday
from flows.gameday.scenario import Played

_UNHANDLED = 1


@with_output
def gameday(root: Path, out: Output, *, failures: tuple[str, ...], keep: bool, output: Path | None) -> None:
    """Play usual failures in copies of the workspace."""
    known = {one.id for one in SCENARIOS}
    names = {name.upper() for name in failures} - {"ALL"}
    if unknown := sorted(names - known):
        raise click.UsageError(f"there is no failure {', '.join(unknown)}: name F1 to F8, or all")
    done = hold_gameday(open_workspace(root), sorted(names), keep=keep, output=output)

    def show() -> None:
        out.table([_row(one) for one in done.played], "a game day")
        for one in done.played:
            if one.outcome != "handled":
                click.echo(f"{one.id} {one.failure} was {one.outcome}: {one.trouble}")
        if done.changed:
            click.echo(
                f"the original changed meanwhile (is a service running?): {', '.join(done.changed[:5])}"
            )
        else:
            click.echo("The original is as it was: the digests of everything that was copied agree.")
        if done.kept:
            click.echo(f"The copies: {done.kept}")
        click.echo(f"The page: {done.page}")

    out.answer(done.to_json(), show)
    if not done.is_handled:
        sys.exit(_UNHANDLED)


def _row(one: Played) -> dict[str, Any]:
    return {
        "failure": f"{one.id} {one.failure}",
        "outcome": one.outcome,
        "to detect": None if one.detect_s is None else f"{one.detect_s:.1f} s, {one.num_detecting} looks",
        "to restore": None if one.restore_s is None else f"{one.restore_s:.1f} s, {one.num_restoring} steps",
        "in all": f"{one.seconds:.0f} s",
        "incident": one.incident.removeprefix("incident-") or None,
    }
