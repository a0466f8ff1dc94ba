"""`maskloop rollout`: look at the rollout under way, and decide about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.command.command_line import CommandGroup
from flows.command.console import Output, command, open_workspace, user_name

if TYPE_CHECKING:
    from flows.workspace.wiring import App
    from maskloop.records.kinds import RolloutMoved


@click.group(cls=CommandGroup)
def rollout() -> None:
    """Look at the rollout under way, and decide about it."""


@command("show", group=rollout)
@click.option("--cycle", default="", help="The cycle whose rollout is shown. Default: the newest.")
def show(root: Path, out: Output, *, cycle: str) -> None:
    """Show how far the rollout is, what was measured, and what it waits for."""
    from flows.rollouts.rollout import describe_rollout

    found = describe_rollout(open_workspace(root), cycle)

    def tell() -> None:
        click.echo(found["sentence"])
        click.echo(f"waits for: {found['waits_for']}")
        rows = [{name: check[name] for name in ("name", "outcome", "reason")} for check in found["checks"]]
        out.table(rows, f"{found['num_compared']} pictures compared")

    out.answer(found, tell)


@command("resume", group=rollout)
@click.option("--accept", is_flag=True, help="Accept what could not be shown and take the next share.")
@click.option("--by", default="", help="Who decides. Default: the user's name.")
def resume(root: Path, out: Output, *, accept: bool, by: str) -> None:
    """Resume a paused rollout: give its step more time, or accept it as it is."""
    from flows.rollouts.rollout import resume_rollout

    app = open_workspace(root)
    _answer(app, out, resume_rollout(app, by=by or user_name(), accept=accept))


@command("stop", group=rollout)
@click.option("--by", default="", help="Who decides. Default: the user's name.")
@click.option("--why", required=True, help="The reason, for the record.")
def stop(root: Path, out: Output, *, by: str, why: str) -> None:
    """Take the challenger out of all traffic at once; the champion goes on serving."""
    from flows.rollouts.rollout import stop_rollout

    app = open_workspace(root)
    _answer(app, out, stop_rollout(app, by=by or user_name(), why=why))


def _answer(app: App, out: Output, moved: RolloutMoved) -> None:
    out.answer(moved.model_dump(mode="json"), lambda: out.sentences([moved.sentence()], app.teller))
