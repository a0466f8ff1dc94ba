"""`maskloop trends`: the features of production over time."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from flows.console.output import Output, open_workspace, with_output
from flows.drift.trends import Trends, show_trends
from monitoring.sketches.comparison import Difference
from monitoring.sketches.timeline import SHARES, Figure, Period

_MOST_SHOWN: Final = 10


@with_output
def trends(
    root: Path,
    out: Output,
    *,
    days: float,
    period: Period,
    features: tuple[str, ...],
    all_sources: bool,
    all_versions: bool,
) -> None:
    """Show how the features of production samples went over time."""
    found = show_trends(
        open_workspace(root),
        days=days,
        period=period,
        features=features,
        by_source=not all_sources,
        by_version=not all_versions,
    )
    out.answer(_to_json(found), lambda: _show(found, out, with_figures=bool(features)))


def _to_json(found: Trends) -> dict[str, Any]:
    return {**asdict(found), "quantile_shares": SHARES}


def _show(found: Trends, out: Output, *, with_figures: bool) -> None:
    if with_figures:
        out.table([_figure_row(one) for one in found.figures], "features over time (UTC)")
    out.table(
        [_difference_row(one) for one in found.differences[:_MOST_SHOWN]],
        f"since {found.since:%Y-%m-%d %H:%M}, beside the champion's own pictures",
    )
    for remark in found.remarks:
        click.echo(remark)
    if not found.figures:
        click.echo(f"No sample since {found.since:%Y-%m-%d %H:%M} UTC.")
    elif not with_figures:
        click.echo("`--feature NAME` shows a feature over time, `--json` all of them.")


def _figure_row(one: Figure) -> dict[str, Any]:
    quantiles = one.quantiles or (None,) * len(SHARES)
    return {
        "since": f"{one.since:%m-%d %H:%M}",
        "feature": one.feature,
        "source": one.source or None,
        "version": one.model_version or None,
        "samples": one.num_values,
        "missing": one.num_missing or None,
        "mean": one.mean,
        **{f"{100 * share:.0f} %": value for share, value in zip(SHARES, quantiles, strict=True)},
    }


def _difference_row(one: Difference) -> dict[str, Any]:
    of_source = {"source": one.source, "beside": one.reference} if one.reference else {}
    return {
        "feature": one.feature,
        **of_source,
        "samples": one.num_values,
        "distance": one.distance,
        "+-": one.error,
        "noise": one.noise,
        "": one.reason or one.outcome.replace("_", " "),
    }
