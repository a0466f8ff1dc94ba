"""`maskloop serve`, `engines`, `keys`, `predict`, `batch`, `video`: the service, and answers without it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from flows.answering.ask_service import ask_service
from flows.answering.batch_prediction import predict as predict_pictures
from flows.answering.incoming import PictureAnswer, balance
from flows.answering.service_assembly import (
    PRELOADED,
    find_what_is_too_large,
    make_application,
    open_others,
)
from flows.batch.story import BatchReport, BatchRequest
from flows.batch.story import batch as answer_batch
from flows.console.output import Output, open_workspace, with_output
from flows.engines.engine_decisions import EngineDecisions
from flows.scheduling.foreground import run_story
from flows.video.report import VideoReport
from flows.video.story import VideoRequest
from flows.video.story import video as answer_video
from flows.workspace.telling import TerminalTeller
from maskloop.errors import ConfigurationError, DataError, MaskloopError
from maskloop.settings.workspace_settings import MODEL_NAME
from maskloop.state.loop_state import LoopState
from maskloop.wording import count
from maskloop.workspace import Workspace
from serving.access.key_book import ALL_SCOPES
from serving.access.limits import read_rate_limit
from serving.client import Client
from serving.http.managed import find_platform, listen_for, say_who_needs_a_key
from serving.http.server import address_of, decide_on_keys, open_listener, run_server

_ROWS_SHOWN: Final = 50


@with_output
def serve(root: Path, out: Output, *, models: tuple[str, ...], **named: Any) -> None:
    """Answer pictures over HTTP with the champion until Ctrl-C."""
    app = open_workspace(root, actor="service")
    changes = {name: value for name, value in named.items() if value is not None}
    changes["models"] = {**app.settings.serving.models, **dict(_read_model(text) for text in models)}
    settings = app.settings.serving.model_copy(update=changes)
    platform = find_platform(settings.platform, os.environ)
    settings = listen_for(platform, settings, changes)
    read_rate_limit(settings.rate_limit)
    needs_keys = decide_on_keys(settings, app.keys)
    others, refused = open_others(app.workspace.root, app.settings.model_name, settings)
    apps = {app.settings.model_name: app, **others}
    champions = {name: _find_champion_folder(each.state, each.workspace) for name, each in apps.items()}
    refused |= find_what_is_too_large(champions, settings)
    listener = open_listener(settings.host, settings.port)
    url = address_of(listener)
    said = {name: _say_what_serves(each.state, name) for name, each in apps.items() if name not in refused}
    said |= {name: f"{name} does not answer: {reason}" for name, reason in refused.items()}
    where = {
        "url": url,
        "docs": f"{url}/docs",
        "model": said[app.settings.model_name],
        "models": said,
        "needs_keys": needs_keys,
    }

    def show() -> None:
        for sentence in said.values():
            click.echo(sentence)
        click.echo(f"The service is at {url}; {url}/docs shows every request with an example.")
        if len(said) > 1:
            click.echo(f"Each model is asked at {url}/v1/models/NAME/predict; {url}/v1/models lists them.")
        click.echo(say_who_needs_a_key(platform, needs_keys=needs_keys))
        click.echo("Ctrl-C stops it.")

    out.answer(where, show)
    application = partial(make_application, app.workspace.root, settings)
    run_server(application, settings, listener, preload=PRELOADED)
    click.echo(f"The service at {url} has stopped.", err=True)


@with_output
def engines(root: Path, out: Output, *, retry: bool) -> None:
    """Show which library runs each model here, and why."""
    app = open_workspace(root)
    decisions = EngineDecisions(app.workspace.engines_dir)
    forgotten = len(decisions.forget_ends()) if retry else 0
    champion = app.state().champion
    found = [choice for _, choice in decisions.all()]
    rows = [
        {
            "model": f"version {champion.version}"
            if champion and choice.key and champion.weights_digest == choice.key.weights_digest
            else choice.key and choice.key.weights_digest[:12],
            "engine": choice.engine,
            "because": choice.reason,
            "since": choice.decided_at[:16],
        }
        for choice in found
    ]

    def show() -> None:
        if retry:
            click.echo(
                f"{count(forgotten, 'decision')} forgotten: the next start of the service tries again"
                if forgotten
                else "No decision was made because the service had ended."
            )
        out.table(rows, "what runs each model")
        if not rows and not retry:
            click.echo("Nothing was measured here yet: `maskloop serve` does it beside its requests.")

    out.answer({"forgotten": forgotten, "decisions": found}, show)


def _read_model(text: str) -> tuple[str, str]:
    """Return name and absolute folder of ``NAME=WORKSPACE``. Raises ConfigurationError if it is none."""
    name, _, folder = text.partition("=")
    if not re.fullmatch(MODEL_NAME, name) or not folder:
        raise ConfigurationError(
            f"--model {text} names no model and workspace", hint="for example --model weeds=../weeds"
        )
    return name, str(Path(folder).resolve())


def _find_champion_folder(read_state: Callable[[], LoopState], workspace: Workspace) -> Path:
    try:
        champion = read_state().champion
    except MaskloopError:
        champion = None  # `_say_what_serves` says why it is not known
    return workspace.models_dir / (champion.weights_digest if champion else "unknown")


def _say_what_serves(read_state: Callable[[], LoopState], model_name: str) -> str:
    try:
        champion = read_state().champion
    except MaskloopError as error:
        return f"Which version serves is not known yet, and looked up again every second: {error}"
    if champion is None:
        return (
            f"{model_name}: nothing was promoted yet. Its predictions answer 503 until something is. "
            "`maskloop status` says what is missing."
        )
    return f"{model_name}: version {champion.version} answers once it is loaded; /readyz says when."


@with_output
def keys_add(
    root: Path,
    out: Output,
    *,
    name: str,
    scopes: tuple[Any, ...],
    models: tuple[str, ...],
    rate_limit: str,
    days: float | None,
) -> None:
    """Make a key for NAME and print it. It is not shown again."""
    if rate_limit:
        read_rate_limit(rate_limit)
    store = open_workspace(root).keys
    key = store.add(name, scopes=scopes or ALL_SCOPES, rate_limit=rate_limit, valid_days=days, models=models)
    _show_once(out, key)


@with_output
def keys_list(root: Path, out: Output) -> None:
    """List the keys, never their secrets."""
    found = open_workspace(root).keys.all()
    rows = [key.model_dump(mode="json", exclude={"secret_digest"}) for key in found]
    shown = [
        {
            "id": row["id"],
            "name": row["name"],
            "may": " ".join(row["scopes"]),
            "models": " ".join(row["models"]) or None,
            "limit": row["rate_limit"] or None,
            "since": row["created_at"][:10],
            "until": (row["expires_at"] or "")[:16] or None,
        }
        for row in rows
    ]
    out.answer(rows, lambda: out.table(shown, "API keys") if shown else click.echo("there is no key yet"))


@with_output
def keys_rotate(root: Path, out: Output, *, key_id: str, grace_hours: float) -> None:
    """Replace the key KEY_ID and print the new one. It is not shown again."""
    _show_once(out, open_workspace(root).keys.rotate(key_id, grace_hours=grace_hours))


@with_output
def keys_revoke(root: Path, out: Output, *, key_id: str) -> None:
    """End the key KEY_ID at once."""
    gone = open_workspace(root).keys.revoke(key_id)
    answer = {"id": gone.id, "name": gone.name}
    out.answer(answer, lambda: click.echo(f"the key {gone.id} of {gone.name} is no longer valid"))


def _show_once(out: Output, key: str) -> None:
    """Print the key alone on standard output, so that it can go into a file."""
    click.echo("this is the only time the key is shown:", err=True)
    out.answer({"id": key.split("_")[1], "key": key}, lambda: click.echo(key))


@with_output
def predict(
    root: Path,
    out: Output,
    *,
    pictures: tuple[Path, ...],
    source: str,
    overlays: Path | None,
    min_score: float | None,
    url: str,
    key: str,
) -> None:
    """Predict on PICTURES with the model that serves, and log them."""
    how: dict[str, Any] = {"source": source, "overlays_dir": overlays, "min_score": min_score}
    if url:
        answers = _ask_service(url, key, pictures, how)
    else:
        answers = run_story(open_workspace(root), "predict", predict_pictures, files=list(pictures), **how)
    _show_answers(out, answers)
    if all(answer.error for answer in answers):
        sys.exit(DataError.exit_code)


@with_output
def batch(root: Path, out: Output, **asked: Any) -> None:
    """Answer every picture of INPUT, in one resumable run, into OUTPUT."""
    app = open_workspace(root)
    request, settings = BatchRequest(**asked), app.settings.batch
    tile_px, overlap_px = request.tile_px or settings.tile_px, request.overlap_px or 0
    if overlap_px >= tile_px:
        raise click.UsageError(f"--overlap {overlap_px} must be smaller than a tile, which is {tile_px} px")
    report = run_story(app, "batch", answer_batch, request=request)
    out.answer(report, lambda: _show_report(report))


def _show_report(report: BatchReport) -> None:
    """Say what a run did, where it lies, and what it cost."""
    click.echo(
        f"{report.num_pictures} pictures: {report.num_answered} answered in {report.num_tiles} passes, "
        f"{report.num_instances} instances; {report.num_set_aside} set aside, "
        f"{report.num_passed_over} passed over"
    )
    pace = (
        f"{report.pictures_per_s:g} pictures and tiles a second" if report.pictures_per_s else "asked before"
    )
    click.echo(f"version {report.version}, {pace}")
    if report.cost is not None and report.cost_per_picture is not None and report.cost_per_tile is not None:
        click.echo(
            f"cost: {report.cost:.4f} {report.currency}, {report.cost_per_picture:.6f} a picture, "
            f"{report.cost_per_tile:.6f} a tile"
        )
    click.echo(report.file)
    if report.num_set_aside:
        click.echo(f"set aside, with the reasons: {report.set_aside_file}", err=True)


@with_output
def video(root: Path, out: Output, **asked: Any) -> None:
    """Answer every frame of a video, follow its objects, smooth masks."""
    app = open_workspace(root)
    report = run_story(app, "video", answer_video, request=VideoRequest(**asked))
    out.answer(report, lambda: _show_video_report(report))


def _show_video_report(report: VideoReport) -> None:
    """Say what was answered, what was smoothed, and how steady the masks are."""
    click.echo(
        f"{report.num_frames} frames, {report.num_answered} answered by version {report.version}: "
        f"{report.num_instances} instances of {report.num_tracks} objects; "
        f"{report.num_missed} times an object was missed between two frames"
    )
    if report.smoothing_frames:
        iou = report.smoothed_iou
        similar = "" if iou is None else f" (mask IoU with the measured ones {iou:.3f})"
        click.echo(
            f"smoothed over {report.smoothing_frames} frames on either side: {report.num_smoothed} masks "
            f"changed{similar}; {report.num_below_threshold} instances below the threshold were told, "
            "because their track lies above it"
        )
    if report.jitter_before is not None and report.jitter_after is not None:
        click.echo(
            f"jitter at rest: {report.jitter_before:.4f} before, {report.jitter_after:.4f} after "
            f"({report.num_rest_pairs} pairs)"
        )
    if report.cost is not None:
        click.echo(f"cost: {report.cost:.4f} {report.currency}")
    for file in filter(None, [report.file, report.overlay_file, report.tracks_file]):
        click.echo(file)
    if 0 < report.num_frames < report.num_frames_stated:
        click.echo(f"the file states {report.num_frames_stated} frames", err=True)
    if report.num_set_aside or report.num_doubtful:
        click.echo(
            f"{report.num_set_aside} frames or parts set aside: {report.set_aside_file}; "
            f"{report.num_doubtful} frames behind them may be smeared",
            err=True,
        )


def _show_answers(out: Output, answers: Sequence[PictureAnswer]) -> None:
    rows = [
        {
            "picture": answer.name,
            "instances": len(answer.instances),
            "best": answer.instances[0]["class_name"] if answer.instances else None,
            "score": answer.instances[0]["score"] if answer.instances else None,
            "error": answer.error,
        }
        for answer in answers
        if not answer.passed_over
    ]
    title = f"{len(rows)} picture{'' if len(rows) == 1 else 's'}" + (
        f", the first {_ROWS_SHOWN}" if len(rows) > _ROWS_SHOWN else ""
    )
    out.answer(answers, lambda: out.table(rows[:_ROWS_SHOWN], title))
    for sentence in balance(answers):
        click.echo(sentence, err=out.as_json)


def _ask_service(url: str, key: str, pictures: tuple[Path, ...], how: dict[str, Any]) -> list[PictureAnswer]:

    with Client(url, key=key) as client:
        return ask_service(client, pictures, TerminalTeller(), **how)
