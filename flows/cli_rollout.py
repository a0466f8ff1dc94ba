"""`maskloop rollout`: look at the rollout under way, and decide about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flows.console import Output, command, open_workspace, user_name


@click.group()
def rollout() -> None:
    """The challenger's way into traffic: shadow, shares, all of it, or none."""


@command("show", group=rollout)
@click.option("--cycle", default="", help="Of this turn of the loop. Default: the newest.")
def show(root: Path, out: Output, *, cycle: str) -> None:
    """Show how far the rollout is, what was measured, and what it waits for."""
    from flows.rollout import describe_rollout

    found = describe_rollout(open_workspace(root), cycle)

    def tell() -> None:
        click.echo(found["sentence"])
        click.echo(f"waits for: {found['waits_for']}")
        rows = [{name: check[name] for name in ("name", "outcome", "reason")} for check in found["checks"]]
        out.table(rows, f"{found['num_compared']} pictures compared")

    out.answer(found, tell)


@command("resume", group=rollout)
@click.option("--accept", is_flag=True, help="Accept what could not be shown and go on to the next share.")
@click.option("--by", default="", help="Who decides. Default: the user's name.")
def resume(root: Path, out: Output, *, accept: bool, by: str) -> None:
    """Go on with a paused rollout: its step gets more time, or is accepted as it is."""
    from flows.rollout import resume_rollout

    _answer(out, resume_rollout(open_workspace(root), by=by or user_name(), accept=accept))


@command("stop", group=rollout)
@click.option("--by", default="", help="Who decides. Default: the user's name.")
@click.option("--why", required=True, help="The reason, for the record.")
def stop(root: Path, out: Output, *, by: str, why: str) -> None:
    """Take the challenger out of all traffic, at once; the champion serves on."""
    from flows.rollout import stop_rollout

    _answer(out, stop_rollout(open_workspace(root), by=by or user_name(), why=why))


def _answer(out: Output, moved: Any) -> None:
    out.answer(moved.model_dump(mode="json"), lambda: click.echo(moved.sentence()))
