"""The newest production samples meet the champion's own pictures; drift asks for a turn of the loop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from dataset.pictures.decoding import decode_picture
from flows.drift.champion_pictures import choose_reference_pictures, observe_pictures, open_references
from flows.drift.publication import (
    IN_WORDS,
    PAGE,
    describe_verdict,
    publish_verdict,
    signal_rows,
    write_pages,
)
from flows.evidence.evaluate import load_picture
from flows.loop.cycles import record_trigger
from flows.pages.loop_report import refresh_report
from flows.workspace.served import fetch_champion
from flows.workspace.wiring import App
from maskloop.files import write_text
from maskloop.records.kinds import DriftJudged, TriggerSuppressed, write_record
from maskloop.state.loop_state import LoopState
from maskloop.wording import count
from monitoring.drift.references import POOLED, judge_against_references
from monitoring.drift.triggers import JudgedWindow, TriggerState, decide_trigger, keys_of_causes
from monitoring.features.observation import Observation
from monitoring.pages.drift_page import MAX_THUMBNAILS
from monitoring.samples.sample_log import SampleLog
from monitoring.samples.windows import SUPERSEDED, Window, choose_window
from registry.champion.serving_copy import ServedModel

DETECTOR = "drift"
WINDOW_FILE = "samples.json"


@dataclass(frozen=True)
class Monitored:
    """The result of one drift check.

    Attributes:
        judged: The verdict; None while too few new samples have come.
        num_pending: Samples that wait for a complete window.
        trigger: What the verdict meant for the loop, as a sentence.
    """

    judged: DriftJudged | None
    num_pending: int
    trigger: str


def monitor(app: App) -> Monitored:
    """Judge the newest window of samples, write the report, and record a trigger if the loop should turn.

    Each sample is judged at most once, so a second run without new samples changes nothing.

    Raises:
        NotFoundError: if no champion serves yet.
    """
    served = fetch_champion(app)
    settings = app.settings.monitoring
    app.samples.prune(app.clock.now())
    app.corrections.prune(app.clock.now())
    _finish_last_window(app.samples, app.state(), app.workspace.root)
    pending = app.samples.newest(
        10 * settings.window_samples, weights_digest=served.weights_digest, pending_only=True
    )
    planned = choose_window(pending, weights_digest=served.weights_digest, settings=settings)
    if not planned.is_complete:
        waiting = len(planned.window.samples)
        app.teller.say(
            f"{count(waiting, 'new sample')} so far; a drift check needs {settings.min_window_samples}"
        )
        return Monitored(None, waiting, decide_whether_to_retrain(app, served.weights_digest))
    judged = _judge_window(app, served, planned.window)
    _finish_last_window(app.samples, app.state(), app.workspace.root)
    for sample_id in planned.superseded_ids:
        app.samples.skip(sample_id, SUPERSEDED)
    app.teller.say(judged.sentence())
    trigger = decide_whether_to_retrain(app, served.weights_digest)
    refresh_report(app)
    return Monitored(judged, 0, trigger)


def decide_whether_to_retrain(app: App, weights_digest: str) -> str:
    """Turn the recorded drift verdicts and new labels into a trigger, or into a recorded reason for none."""
    settings, confirm_windows = app.settings.retraining, app.settings.monitoring.confirm_windows
    state = _as_trigger_state(app.state(), weights_digest, app.clock.now())
    keys = keys_of_causes(state, settings, confirm_windows=confirm_windows)
    recorded = frozenset(key for key in keys if app.ledger.find(key=f"trigger:{key}", limit=1))
    state = replace(state, trigger_keys=recorded)
    decision = decide_trigger(state, settings, confirm_windows=confirm_windows, now=app.clock.now())
    if decision.action == "record" and decision.kind:
        app.teller.say(record_trigger(app, decision.key, decision.kind, decision.cause).sentence())
    if decision.action == "suppress":
        suppressed = TriggerSuppressed(trigger_key=decision.key, reason=decision.reason)
        write_record(app.ledger, suppressed, key=f"suppressed:{decision.key}")
    return decision.reason


def _finish_last_window(samples: SampleLog, state: LoopState, root: Path) -> None:
    """Mark the samples of the newest recorded verdict as judged, also after a crash between the two."""
    drift = state.last_drift
    window = root / drift[1].report if drift else None
    if window is not None and (ids := window.with_name(WINDOW_FILE)).exists():
        samples.mark_scored(DETECTOR, json.loads(ids.read_text()))


def _judge_window(app: App, served: ServedModel, window: Window) -> DriftJudged:
    """Reach a verdict, write its pages, and record it; the pages are there before the record names them."""
    settings, max_mpx = app.settings.monitoring, app.settings.data.max_picture_mpx
    version = app.data.open(app.state().data_of(served.weights_digest))
    held_out = choose_reference_pictures(version, settings.min_window_samples)

    def observe() -> Mapping[str, list[Observation]]:
        predictor = app.predictors.load(
            served.directory, expected_digest=served.weights_digest, device=app.settings.training.device
        )
        with app.teller.progress("measuring the champion's own pictures") as progress:
            return observe_pictures(predictor, version, held_out, max_mpx=max_mpx, progress=progress)

    references = open_references(
        app.baseline_dir(served.weights_digest),
        served.weights_digest,
        version.fingerprint,
        min_pictures=settings.min_window_samples,
        observe=observe,
    )
    closest = judge_against_references(references, window, settings)
    directory = app.workspace.reports_dir / "drift" / closest.verdict.window_id
    alike = [one for one in held_out if closest.name in (POOLED, one.source)]
    kept = [app.samples.picture_bytes(sample) for sample in window.samples[:MAX_THUMBNAILS]]
    write_pages(
        directory,
        closest,
        window,
        settings,
        app.feature_report,
        reference_pictures=[load_picture(version.path(one), max_mpx) for one in alike[:MAX_THUMBNAILS]],
        current_pictures=[decode_picture(data, max_mpx=max_mpx) for data in kept if data],
    )
    write_text(directory / WINDOW_FILE, json.dumps(window.sample_ids))
    page = str((directory / PAGE).relative_to(app.workspace.root))
    judged = describe_verdict(closest, window, baseline_digest=references[POOLED].digest, page=page)
    write_record(app.ledger, judged, key=f"drift:{judged.window_id}")
    at, say = app.clock.now(), app.teller.say
    url = publish_verdict(app.tracker, judged, closest, directory, at=at, say=say)
    app.teller.table("drift", signal_rows(closest), f"drift check: {IN_WORDS[judged.outcome]}")
    app.teller.link("drift-report", url or (directory / PAGE).as_uri(), "the drift page")
    return judged


def _as_trigger_state(state: LoopState, weights_digest: str, now: datetime) -> TriggerState:
    own = [(at, judged) for at, judged in state.unanswered_drift if judged.weights_digest == weights_digest]
    tag = state.data_of(weights_digest)
    return TriggerState(
        weights_digest=weights_digest,
        baseline_digest=own[-1][1].baseline_digest if own else "",
        windows=[JudgedWindow(one.window_id, one.outcome, one.sources, at) for at, one in own],
        open_cycle=state.open_cycles[0].id if state.open_cycles else "",
        last_cycle_ended_at=state.last_cycle_ended_at,
        num_cycles_last_7_days=sum(opened_at > now - timedelta(days=7) for opened_at in state.openings),
        num_new_labelled_samples=state.count_new_labels(tag),
        data_version=tag,
    )
