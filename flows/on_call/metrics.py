"""`maskloop metrics`: the ten figures by which a Mask R-CNN in production is watched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from flows.console.output import Output, open_workspace, with_output
from flows.metrics.figure import Figure, Reading
from flows.metrics.gathering import measure_workspace
from flows.metrics.page import WORDS, write_metrics_page, write_value


@with_output
def metrics(root: Path, out: Output, *, url: str, key: str, output: Path | None) -> None:
    """Show M1 to M10: latency, load, IoU, errors, GPU, memory, drift."""
    app = open_workspace(root)
    figures = measure_workspace(app, url=url, key=key)
    page = write_metrics_page(
        output or app.workspace.metrics_page,
        figures,
        model_name=app.settings.model_name,
        now=app.clock.now(),
    )

    def show() -> None:
        out.table([row for figure in figures for row in _rows(figure)], "M1 to M10")
        for figure in figures:
            if figure.missing:
                click.echo(f"{figure.id} {figure.name}: not measured, {figure.missing}; {figure.how_to_get}")
        click.echo(f"The page: {page}")

    out.answer({"figures": figures, "page": str(page)}, show)


def _rows(figure: Figure) -> Iterator[dict[str, Any]]:
    """Yield a line for each value, four columns that fit into 80 characters; one for a figure without any."""
    name, target = f"{figure.id} {figure.name}", figure.target
    if figure.missing:
        yield {"figure": name, "value": "not measured", "details": None, "target": target}
    for reading in figure.readings:
        value = f"{write_value(reading.value)} {figure.unit.partition(',')[0]}".strip()
        is_met = "" if reading.is_met is None else WORDS[reading.is_met]
        yield {
            "figure": name,
            "value": f"{value} {reading.of}".strip(),
            "details": "; ".join(_details(reading)) or None,
            "target": ": ".join(filter(None, (target, is_met))),
        }
        name = target = ""


def _details(reading: Reading) -> Iterator[str]:
    """Yield the bad end beside an average, and what the value is to be compared with."""
    if reading.tail is not None:
        yield f"{reading.tail_name} {write_value(reading.tail)}"
    if reading.baseline is not None:
        yield f"{reading.baseline_name} {write_value(reading.baseline)}"
