"""`maskloop status`, `history` and `lineage`: what is recorded. Nothing heavy is imported."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from flows.console.output import Output, command, open_workspace
from flows.pages.status import describe_serving_at, describe_status, tell_history
from maskloop.errors import NotFoundError
from registry.champion.lineage import lineage as trace_lineage


@command("status")
def status(root: Path, out: Output) -> None:
    """Show what serves, runs, failed or waits, and what to do next."""

    found = describe_status(open_workspace(root))
    out.answer(found.to_json(), lambda: click.echo(found.to_text()))


@command("history")
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"]),
    help="Answer what served at that time (UTC), and who moved it there.",
)
@click.option("--cycle", default="", help="Only this turn of the loop.")
def history(root: Path, out: Output, *, at: datetime | None, cycle: str) -> None:
    """Tell what happened, entry by entry."""

    app = open_workspace(root)
    if at:
        serving = describe_serving_at(app.state(), at.replace(tzinfo=UTC))
        out.answer(serving, lambda: click.echo(serving["sentence"]))
        return
    lines = [line for line in tell_history(app.ledger) if not cycle or line["cycle"] == cycle]
    out.answer(
        lines,
        lambda: click.echo(
            "\n".join(
                f"{x['at'][:19]}Z  {x['cycle'] or '-':<9} {x['actor']:<10} {x['sentence']}" for x in lines
            )
        ),
    )


@command("lineage")
@click.argument("version", required=False)
def lineage(root: Path, out: Output, *, version: str | None) -> None:
    """Show where a VERSION comes from: data, run, verdict, approval.

    Default: the champion.
    """

    state = open_workspace(root).state()
    if version is None:
        if state.champion is None:
            raise NotFoundError("nothing serves yet", hint="name a version")
        version = state.champion.version
    facts = trace_lineage(state, version)
    out.answer(facts, lambda: click.echo("\n".join(f"{fact.what:<10} {fact.sentence}" for fact in facts)))
