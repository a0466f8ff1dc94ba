"""`maskloop slo`: what is promised, how much of each error budget is left, and the rules that watch it."""

from __future__ import annotations

from pathlib import Path

import click

from flows.console.output import Output, open_workspace, with_output
from flows.slo.budgets import BudgetReading, read_budgets
from flows.slo.rules import write_rules
from maskloop.files import write_text
from monitoring.slo.objective import find_objectives
from serving.telemetry.metrics import LATENCY_BOUNDS_S

RULES_FILE = "slo.yml"


@with_output
def slo_list(root: Path, out: Output, *, url: str, key: str) -> None:
    """List the objectives with what is left of each error budget."""
    budgets = read_budgets(open_workspace(root), url=url, key=key)
    freeze = budgets.freeze
    frozen = {"reason": freeze.reason, "rollback_target": freeze.rollback_target} if freeze else None

    def show() -> None:
        out.table([_row(one) for one in budgets.readings], "objectives")
        for one in budgets.readings:
            said = f"not measured, {one.missing}" if one.missing else f"{one.window}; {one.source}"
            click.echo(f"{one.name}: {said}")
        if freeze:
            click.echo(f"The policy promotes nothing: {freeze.reason}.")
            click.echo(f"What to do: {freeze.way_out('VERSION')}.")

    out.answer({"objectives": budgets.readings, "frozen": frozen}, show)


@with_output
def slo_rules(root: Path, out: Output, *, output: Path) -> None:
    """Write the Prometheus rules of the objectives into a folder."""
    settings = open_workspace(root).settings
    file = output / RULES_FILE
    write_text(file, write_rules(find_objectives(settings), bounds_s=LATENCY_BOUNDS_S))
    out.answer({"rules": str(file)}, lambda: click.echo(str(file)))


def _row(one: BudgetReading) -> dict[str, str]:
    return {
        "objective": one.name,
        "promised": one.promise,
        "now": one.figure or "not measured",
        "budget left": "–" if one.left is None else f"{one.left:.0%}",
    }
