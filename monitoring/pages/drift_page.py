"""The drift verdict as one readable page: what was decided, why, and what it looks like. Needs no network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from maskloop.files import write_text
from maskloop.pages.embedded_pictures import embed_picture
from maskloop.pages.templates import open_template
from maskloop.records.kinds import METRIC_IN_WORDS, QualityEstimate
from monitoring.drift.baseline import Baseline, feature_matrix
from monitoring.drift.sources import SourceVerdict
from monitoring.drift.verdict import DriftVerdict, FeatureSignal
from monitoring.pages.carrier_gallery import CarrierPicture, show_pairs
from monitoring.samples.windows import Window
from monitoring.selection.carriers import Carriers
from monitoring.signals.causes import describe_change

PAGE_FILE: Final = "index.html"
MAX_THUMBNAILS: Final = 12
MAX_HISTOGRAMS: Final = 12
_TEMPLATE: Final = Path(__file__).with_name("drift_page.html.j2")
_THUMBNAIL_PX: Final = 132
_NUM_BINS: Final = 22
_MOST_PARTS: Final = 6
_WIDTH, _HEIGHT = 240, 84
_HEADLINES: Final = {
    "drift": "Production has drifted",
    "quiet": "No drift",
    "inconclusive": "Cannot tell",
}


@dataclass(frozen=True)
class _Chart:
    signal: FeatureSignal
    change: str
    svg: Markup


def write_drift_page(
    directory: Path,
    verdict: DriftVerdict,
    baseline: Baseline,
    window: Window,
    *,
    reference_pictures: Sequence[NDArray[np.uint8]] = (),
    current_pictures: Sequence[NDArray[np.uint8]] = (),
    sources: Sequence[SourceVerdict] = (),
    estimates: Sequence[QualityEstimate] = (),
    no_estimate: str = "",
    labels_said: Sequence[str] = (),
    carriers: Carriers | None = None,
    carrier_pictures: Sequence[CarrierPicture] = (),
    links: Mapping[str, str] | None = None,
    evidence: str = "",
) -> Path:
    """Write `index.html` and return its path.

    Args:
        directory: Created if it is missing.
        verdict: What was decided.
        baseline: What the window was compared with.
        window: The window.
        reference_pictures: Some of the champion's validation pictures, uint8 (H, W, 3); twelve are shown.
        current_pictures: Some of the window's; twelve are shown.
        sources: What was found in each source; none for a window of one source.
        estimates: How good the champion probably is in the window.
        no_estimate: Why that is unknown.
        labels_said: What labels have said about the champion, as sentences.
        evidence: What the sequential detector says; empty without one.
        carriers: What carries the alarm; None without one.
        carrier_pictures: Those that carry it, each beside the nearest of the champion's own.
        links: Address by text, e.g. ``{"Every column in Evidently": "evidently.html"}``.

    Raises:
        StorageError: if the page cannot be written.
    """
    page = open_template(_TEMPLATE).render(
        verdict=verdict,
        headline=_HEADLINES[verdict.outcome],
        **_describe(window),
        judged_sources=sources,
        likely_cause=lambda one: one.closest.verdict.cause if one.has_drifted else "",
        charts=_charts(verdict, baseline, _drifted_part(window, sources)),
        galleries=_galleries(reference_pictures, current_pictures),
        pairs=show_pairs(carrier_pictures),
        estimates=estimates,
        no_estimate=no_estimate,
        labels_said=labels_said,
        metric_in_words=METRIC_IN_WORDS,
        carriers=carriers,
        carried=_carried(carriers),
        shown_signals=[one for one in verdict.signals if one.drifted or one.feature.needs != "instances"],
        links=links or {},
        evidence=evidence,
        p_value=write_p_value,
    )
    write_text(directory / PAGE_FILE, page)
    return directory / PAGE_FILE


def _describe(window: Window) -> dict[str, Any]:
    return {
        "versions": sorted({sample.model_version for sample in window.samples}),
        "sources": Counter(sample.source for sample in window.samples).most_common(),
        "received": sorted(f"{sample.received_at:%Y-%m-%d %H:%M}" for sample in window.samples),
    }


def _galleries(
    reference_pictures: Sequence[NDArray[np.uint8]], current_pictures: Sequence[NDArray[np.uint8]]
) -> dict[str, list[str]]:
    return {
        "The champion's validation pictures": _embed(reference_pictures),
        "This window": _embed(current_pictures),
    }


def _carried(carriers: Carriers | None) -> dict[str, list[tuple[str, float]]]:
    if carriers is None:
        return {}
    parts = {
        "By source": carriers.by_source,
        "By hour (UTC)": carriers.by_hour,
        "By version": carriers.by_version,
        "By class": carriers.by_class,
        "By signal": carriers.by_feature,
    }
    return {title: list(part.items())[:_MOST_PARTS] for title, part in parts.items()}


def _drifted_part(window: Window, sources: Sequence[SourceVerdict]) -> Window:
    """Return the samples of the sources that drifted; all of them if none did by itself."""
    drifted = {one.source for one in sources if one.has_drifted}
    if not drifted:
        return window
    return Window(window.weights_digest, tuple(one for one in window.samples if one.source in drifted))


def _embed(pictures: Sequence[NDArray[np.uint8]]) -> list[str]:
    return [embed_picture(one, max_side_px=2 * _THUMBNAIL_PX) for one in pictures[:MAX_THUMBNAILS]]


def write_p_value(value: float) -> str:
    """Write a p-value for people: never as zero, which it cannot be.

    >>> write_p_value(0.0), write_p_value(0.0004), write_p_value(0.0312)
    ('below 0.001', 'below 0.001', '0.031')
    """
    return "below 0.001" if value < 0.001 else f"{value:.3f}"


def histogram_svg(reference: NDArray[np.float64], current: NDArray[np.float64], *, title: str) -> Markup:
    """Draw two samples of one number, finite float64 (N,), over each other, each scaled to its own size."""
    pooled = np.concatenate([reference, current])
    low, high = (float(pooled.min()), float(pooled.max())) if pooled.size else (0.0, 1.0)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    shares = [
        np.histogram(values, bins=_NUM_BINS, range=(low, high))[0] / max(1, values.size)
        for values in (reference, current)
    ]
    tallest = max(float(share.max()) for share in shares) or 1.0
    areas = Markup("").join(
        Markup('<path class="{}" d="{}"/>').format(name, _outline(share / tallest))
        for name, share in zip(("reference", "current"), shares, strict=True)
    )
    return Markup(
        '<svg viewBox="0 0 {w} {h}" role="img" aria-label="{title}"><title>{title}</title>{areas}'
        '<line x1="0" y1="{base}" x2="{w}" y2="{base}"/><text x="0" y="{h}">{low}</text>'
        '<text x="{w}" y="{h}" text-anchor="end">{high}</text></svg>'
    ).format(
        w=_WIDTH, h=_HEIGHT, base=_HEIGHT - 14, title=title, areas=areas, low=f"{low:.3g}", high=f"{high:.3g}"
    )


def _outline(heights: NDArray[np.float64]) -> str:
    """Return the path of a step curve; heights are 0..1."""
    base, step = _HEIGHT - 14, _WIDTH / len(heights)
    points = [f"M0 {base}"]
    points += [f"V{base - (base - 4) * height:.1f} H{(i + 1) * step:.1f}" for i, height in enumerate(heights)]
    return " ".join([*points, f"V{base} Z"])


def _charts(verdict: DriftVerdict, baseline: Baseline, window: Window) -> list[_Chart]:
    current = feature_matrix(window.samples, baseline.feature_names)
    column_of = {name: column for column, name in enumerate(baseline.feature_names)}
    told = [one for one in verdict.signals if one.drifted or one.feature.needs != "instances"]
    shown = [signal for signal in told if signal.name in column_of][:MAX_HISTOGRAMS]
    charts = []
    for signal in shown:
        column = column_of[signal.name]
        before, after = (
            values[np.isfinite(values)] for values in (baseline.values[:, column], current[:, column])
        )
        title = f"{signal.feature.label}: baseline and window"
        charts.append(_Chart(signal, describe_change(signal), histogram_svg(before, after, title=title)))
    return charts
