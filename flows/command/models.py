"""`maskloop train`, `retrain`, `distil`, `judge`, `export` and `benchmark`: models are made and measured."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from flows.console.output import Output, open_workspace, user_name, with_output
from flows.exporting.benchmark import benchmark as time_model
from flows.exporting.bundling import describe_bundle, make_bundle, say_bundle
from flows.exporting.model_export import export as export_version
from flows.exporting.model_export import export_directory
from flows.learning.candidate_training import refuse_without_champion
from flows.loop.rejudge import judge_again
from flows.loop.turn import run_turn
from flows.scheduling.foreground import run_story
from maskloop.errors import RefusedError
from maskloop.records.kinds import StartsFrom
from maskloop.state.cycle_state import Cycle


@with_output
def train(root: Path, out: Output, *, by: str, workers: int | None) -> None:
    """Train a model on the newest data, judge it, ask for approval."""
    _turn(root, out, by, "first-weights", workers=workers)


@with_output
def retrain(root: Path, out: Output, *, by: str, workers: int | None) -> None:
    """Train on from the champion with old and new pictures, and judge."""
    _turn(root, out, by, "champion", workers=workers)


@with_output
def distil(root: Path, out: Output, *, by: str, workers: int | None) -> None:
    """Train a new network taught by labels and champion, and judge."""
    _turn(root, out, by, "first-weights", workers=workers, is_taught=True)


@with_output
def judge(root: Path, out: Output, *, version: str, by: str) -> None:
    """Judge VERSION again under the present gates, without training."""
    app = open_workspace(root, actor=by or user_name())
    _answer_turn(out, run_story(app, "judge", judge_again, version=version))


@with_output
def export(
    root: Path,
    out: Output,
    *,
    version: str,
    wanted: Any,
    bundle: Path | None,
    cloud_share: float,
    cloud_version: str,
) -> None:
    """Export VERSION to a faster format that answers as it does."""
    app = open_workspace(root)
    report = run_story(app, "export", export_version, version=version, wanted=wanted)
    directory = (
        str(export_directory(app.workspace.exports_dir, report.export_digest)) if report.passed else ""
    )
    made = None
    if bundle and report.passed:
        asked = {"target": bundle, "share": cloud_share, "cloud_version": cloud_version}
        made = run_story(app, "bundle", make_bundle, report=report, **asked)

    def show() -> None:
        if report.passed:
            click.echo(directory)
        if made:
            click.echo(say_bundle(made))

    told = {"bundle": describe_bundle(made)} if made else {}
    out.answer({**asdict(report), "passed": report.passed, "directory": directory, **told}, show)
    if not report.passed:
        raise RefusedError(
            f"the {wanted} export of version {report.version} is not attached: {'; '.join(report.reasons)}",
            hint="the model itself stays as it is",
        )


@with_output
def benchmark(root: Path, out: Output, *, model: str, images: Path | None, rounds: int) -> None:
    """Time MODEL and every export there is of it."""
    found = run_story(
        open_workspace(root), "benchmark", time_model, model=model, images=images, rounds=rounds
    )
    title = f"{found.model}: one call on {found.environment['threads']} threads, in turns"
    out.answer(found, lambda: out.table([asdict(row) for row in found.rows], title))


def _turn(
    root: Path,
    out: Output,
    by: str,
    starts_from: StartsFrom,
    *,
    workers: int | None,
    is_taught: bool = False,
) -> None:
    app = open_workspace(root, actor=by or user_name(), workers=workers)
    if starts_from == "champion" or is_taught:
        refuse_without_champion(app.state())
    name = "retrain" if starts_from == "champion" else "train"
    _answer_turn(out, run_story(app, name, run_turn, starts_from=starts_from, is_taught=is_taught))


def _answer_turn(out: Output, cycle: Cycle) -> None:
    """Say how far a cycle came; end with 1 if it has no verdict, or ended without a model to serve."""
    verdict = cycle.verdict.outcome if cycle.verdict else None
    said = f", verdict {verdict}" if verdict else ""
    if cycle.closed:
        said += f", {cycle.closed.outcome}: {cycle.closed.reason}"
    out.answer(
        {
            "cycle": cycle.id,
            "phase": cycle.phase,
            "version": cycle.candidate.version if cycle.candidate else None,
            "verdict": verdict,
            "waiting_for": cycle.waiting.waiting_for if cycle.waiting else None,
            "outcome": cycle.closed.outcome if cycle.closed else None,
        },
        lambda: click.echo(f"{cycle.id}: {cycle.phase}{said}"),
    )
    if verdict in (None, "fail") or (cycle.closed and cycle.closed.outcome != "promoted"):
        sys.exit(1)
