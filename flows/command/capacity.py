"""`maskloop plan`: what a load takes."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from flows.capacity.demand import Demand, Figures, Known
from flows.capacity.measuring import measure_figures
from flows.capacity.plan import CapacityPlan, plan_capacity
from flows.console.output import Output, open_workspace, with_output
from flows.metrics.gathering import ask_service
from maskloop.wording import count


@with_output
def plan(root: Path, out: Output, *, url: str, key: str, **named: Any) -> None:
    """Work out replicas, GPUs, storage and cost for a load."""
    app = open_workspace(root)
    settings = app.settings
    service, _ = ask_service(app.workspace, url, key)
    told = {name: named.pop(name) for name in ("pictures_per_s", "p95_alone_ms", "picture_kb")}
    figures = take_told(measure_figures(app, service), **told)
    named["p95_ms"] = named["p95_ms"] or settings.serving.slo.p95_ms
    found = plan_capacity(Demand(**named), figures, settings.monitoring, settings.serving.sampling)

    def show() -> None:
        out.table(_rows(found), "what it takes")
        out.table(_sources(found), "worked out from")
        if found.extrapolated_from:
            number = len(found.extrapolated_from)
            said = f"{count(number, 'figure')} of this plan {'comes' if number == 1 else 'come'}"
            click.echo(f"Extrapolated: {said} from elsewhere. Measure before you buy.")

    answer = {**asdict(found), "cost_per_1000_pictures": found.cost_per_1000_pictures}
    out.answer({**answer, "storage_after_12_months_gb": found.storage.after(12)}, show)


def take_told(
    figures: Figures, *, pictures_per_s: float | None, p95_alone_ms: float | None, picture_kb: float | None
) -> Figures:
    """Return the figures with those that a person measured elsewhere, such as on a GPU."""
    told = {
        "pictures_per_s": pictures_per_s,
        "p95_ms": p95_alone_ms,
        "picture_bytes": picture_kb and 1000.0 * picture_kb,
    }
    known = {name: Known(value, "named by an option") for name, value in told.items() if value}
    return replace(figures, **known)


def _rows(found: CapacityPlan) -> list[dict[str, Any]]:
    demand, storage = found.demand, found.storage
    rows = [
        ("pictures per second", f"{demand.mean_rate:.3g} on average, {demand.peak_rate:.3g} at the peak"),
        (
            "replicas",
            f"{found.replicas}: {found.replicas_at_peak} for the peak, {demand.spare_replicas} spare",
        ),
        ("scaling could go down to", f"{found.replicas_on_average + demand.spare_replicas}"),
        ("GPUs", f"{found.gpus}"),
        ("load of a replica at the peak", f"{found.load_percent:.0f} %"),
        ("p95 at the peak", f"{found.p95_ms:.0f} ms of {demand.p95_ms:g}"),
        ("sample log", f"{storage.samples:.2f} GB once samples expire"),
        ("kept pictures", f"{storage.pictures:.2f} GB at their quota"),
        ("labelled data", f"{storage.data_a_month:.2f} GB more each month"),
        ("models", f"{storage.models_a_month:.2f} GB more each month"),
        ("storage after a year", f"{storage.after(12):.1f} GB"),
    ]
    if found.cost_a_month:
        rows += [
            (
                "cost a month",
                f"{found.cost_a_month:,.0f}; scaled by load at least {found.cost_scaled_a_month:,.0f}",
            ),
            ("cost of 1,000 pictures", f"{found.cost_per_1000_pictures:.3f}"),
        ]
    return [{"what": what, "how much": how_much} for what, how_much in rows]


def _sources(found: CapacityPlan) -> list[dict[str, Any]]:
    return [
        {
            "figure": name,
            "value": f"{known.value:,.0f}" if known.value >= 100 else f"{known.value:.3g}",
            "from": known.source + ("" if known.is_measured_here else " (extrapolated)"),
        }
        for name, known in found.figures.all().items()
    ]
