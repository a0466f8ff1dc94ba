"""A drift verdict as record, as pages in the workspace, and as a run in MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from flows.drift.gallery import Gallery
from flows.drift.quality import WindowQuality
from maskloop.errors import UnavailableError
from maskloop.files import write_text
from maskloop.records.kinds import METRIC_IN_WORDS, DriftJudged, QualityEstimate
from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.references import ClosestReference
from monitoring.drift.sources import JudgedSources
from monitoring.pages.drift_page import write_drift_page, write_p_value
from monitoring.pages.feature_report import HTML_FILE, FeatureReport
from monitoring.samples.windows import Window
from monitoring.selection.carriers import Carriers
from registry.ports import RunTracker

PAGE: Final = "index.html"
CARRIERS_FILE: Final = "carriers.json"
IN_WORDS: Final = {"drift": "drifted", "quiet": "no drift", "inconclusive": "inconclusive"}
_MOST_SIGNALS: Final = 8


def describe_verdict(
    found: JudgedSources,
    window: Window,
    quality: WindowQuality,
    *,
    baseline_digest: str,
    page: str,
    evidence: str = "",
) -> DriftJudged:
    """Return the record of a verdict. Pure.

    Args:
        found: The verdict, the reference it was reached with, and what was found in each source.
        window: That was judged.
        quality: How good the champion probably is in it.
        baseline_digest: Of the pooled reference.
        page: The drift page's path below the workspace.
        evidence: What the sequential detector says; empty without one.
    """
    verdict, drifted = found.deciding.verdict, found.drifted
    return DriftJudged(
        outcome=verdict.outcome,
        reason=f"{verdict.cause or verdict.reason} (compared with {found.deciding.name})",
        window_id=verdict.window_id,
        num_samples=verdict.num_samples,
        missing_percent=verdict.missing_percent,
        baseline_digest=baseline_digest,
        weights_digest=verdict.weights_digest,
        threshold_digest=verdict.threshold_digest,
        drifted_features=tuple(signal.name for signal in verdict.carrying if signal.drifted),
        report=page,
        sources=tuple(sorted({sample.source for sample in window.samples})),
        score=max((signal.effect for signal in verdict.signals), default=None),
        num_scenes=verdict.num_scenes,
        drifted_sources=tuple(sorted(one.source for one in drifted)),
        drifted_since=min((one.first_at.isoformat(timespec="seconds") for one in drifted), default=""),
        unjudged_sources=found.left_out,
        estimates=quality.estimates,
        no_estimate=quality.why_none,
        evidence=evidence,
    )


def write_pages(
    directory: Path,
    found: JudgedSources,
    window: Window,
    settings: MonitoringSettings,
    features: FeatureReport,
    *,
    quality: WindowQuality,
    gallery: Gallery,
    evidence: str = "",
    carriers: Carriers | None = None,
) -> None:
    """Write the drift page and, beside it, every feature's distributions and what carries an alarm.

    Args:
        directory: Of the window's report.
        found: The verdict, the reference it was reached with, and what was found in each source.
        window: That was judged.
        settings: The verdict was reached by.
        features: Writes the distributions.
        quality: How good the champion probably is in the window.
        gallery: The pictures of the page.
        evidence: What the sequential detector says; empty without one.
        carriers: What carries the alarm; None without one.
    """
    if carriers is not None:
        write_text(directory / CARRIERS_FILE, json.dumps(carriers.to_json(), indent=2))
    features.write(
        found.deciding.baseline.rows(),
        [sample.features for sample in window.samples],
        directory,
        false_alarm_rate=settings.false_alarm_rate,
        min_drifted_features=settings.min_drifted_features,
    )
    write_drift_page(
        directory,
        found.deciding.verdict,
        found.deciding.baseline,
        window,
        reference_pictures=gallery.own,
        current_pictures=gallery.window,
        carrier_pictures=gallery.carriers,
        sources=found.sources,
        estimates=quality.estimates,
        no_estimate=quality.why_none,
        labels_said=quality.labels_said,
        evidence=evidence,
        carriers=carriers,
        links={"Every feature in Evidently": HTML_FILE, "The loop (in the workspace)": "../../loop.html"}
        | ({"What carries the alarm, as JSON": CARRIERS_FILE} if carriers else {}),
    )


def publish_verdict(
    tracker: RunTracker,
    judged: DriftJudged,
    closest: ClosestReference,
    directory: Path,
    *,
    at: datetime,
    say: Callable[[str], None],
) -> str:
    """Show the verdict in MLflow too, where it can be followed over time; the workspace keeps it anyway.

    Returns:
        The page's address there, which a Prefect artifact can link to; empty without a server.
    """
    try:
        run_id = tracker.open_run(
            f"drift:{judged.window_id}",
            name=name_drift_check(judged, at),
            tags={
                "maskloop.kind": "drift",
                "outcome": judged.outcome,
                "window": judged.window_id,
                "weights_digest": judged.weights_digest,
            },
            kind="drift check",
        )
        figures = {
            f"drift/{signal.name}": signal.effect
            for signal in closest.verdict.signals
            if signal.drifted or signal.feature.needs != "instances"
        }
        figures |= {"drift/num_drifted": float(closest.verdict.num_drifted)}
        figures |= {
            f"estimate/{one.metric}/{one.class_name}": one.value
            for one in judged.estimates
            if one.value is not None
        }
        tracker.log_metrics(run_id, figures, step=0)
        for file in sorted(directory.iterdir()):
            tracker.log_file(run_id, file, "drift")
        tracker.close_run(run_id, "finished")
        return tracker.url(run_id, f"drift/{PAGE}")
    except UnavailableError as error:
        say(f"the drift report could not be shown in MLflow: {error}")
        return ""


def name_drift_check(judged: DriftJudged, at: datetime) -> str:
    """Name a check as a person reads it in a list: ``drift check 11-30 01:30: drifted``, in UTC."""
    return f"drift check {at:%m-%d %H:%M}: {IN_WORDS[judged.outcome]}"


def quality_rows(estimates: Sequence[QualityEstimate]) -> list[Mapping[str, Any]]:
    """Lay estimates of quality out as a table's rows."""
    return [
        {
            "figure": METRIC_IN_WORDS[one.metric],
            "class": one.class_name,
            "estimate": one.value,
            "from": one.low,
            "to": one.high,
            "refused because": one.refused_because,
        }
        for one in estimates
    ]


def signal_rows(closest: ClosestReference) -> list[Mapping[str, Any]]:
    """Lay the strongest signals of a verdict out as a table's rows."""
    return [
        {
            "signal": signal.feature.label,
            "effect": signal.effect,
            "p (corrected)": write_p_value(signal.corrected_p_value),
            "reference": signal.reference_mean,
            "now": signal.current_mean,
            "drifted": "yes" if signal.drifted else "",
        }
        for signal in closest.verdict.signals[:_MOST_SIGNALS]
    ]
