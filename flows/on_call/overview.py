"""`maskloop status`, `history` and `lineage`: what is recorded. Nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from flows.console.output import Output, open_workspace, with_output
from flows.pages.status import describe_serving_at, describe_status, tell_history
from flows.usage.overview import NUM_SHOWN
from maskloop.errors import NotFoundError
from maskloop.folding.history import recall_version
from registry.champion.lineage import lineage as trace_lineage


@with_output
def status(root: Path, out: Output) -> None:
    """Show what serves, runs, failed or waits, and what to do next."""
    found = describe_status(open_workspace(root))
    out.answer(found.to_json(), lambda: click.echo(found.to_text()))


@with_output
def history(
    root: Path,
    out: Output,
    *,
    at: datetime | None,
    cycle: str,
    newest: int | None,
    before: int | None,
    everything: bool,
) -> None:
    """Tell what happened, the newest entries last."""
    app = open_workspace(root)
    if at:
        serving = describe_serving_at(app.ledger, at.replace(tzinfo=UTC))
        out.answer(serving, lambda: click.echo(serving["sentence"]))
        return
    limit = newest or (0 if everything or out.as_json or cycle else NUM_SHOWN)
    lines = tell_history(app.ledger, cycle=cycle, before=before or 0, newest=limit)
    out.answer(lines, lambda: click.echo("\n".join(_history_lines(lines, is_cut=len(lines) == limit))))


def _history_lines(lines: list[dict[str, Any]], *, is_cut: bool) -> Iterator[str]:
    """Yield a line per entry, after one that says how to see the earlier ones, if there are any."""
    first = lines[0]["sequence"] if lines else 1
    if is_cut and first > 1:
        yield f"earlier entries: `maskloop history --before {first}`, or --all"
    for line in lines:
        yield f"{line['at'][:19]}Z  {line['cycle'] or '-':<9} {line['actor']:<10} {line['sentence']}"


@with_output
def lineage(root: Path, out: Output, *, version: str | None) -> None:
    """Show where a VERSION comes from: data, run, verdict, approval."""
    app = open_workspace(root)
    state = app.state()
    if version is None:
        if state.champion is None:
            raise NotFoundError("nothing serves yet", hint="name a version")
        version = state.champion.version
    facts = trace_lineage(recall_version(app.ledger, state, version), version)
    out.answer(facts, lambda: click.echo("\n".join(f"{fact.what:<10} {fact.sentence}" for fact in facts)))
