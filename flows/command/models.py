"""`maskloop train`, `retrain`, `distil`, `judge`, `export` and `benchmark`: models are made and measured."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from flows.console.output import Output, command, open_workspace, user_name
from flows.exporting.benchmark import benchmark as time_model
from flows.exporting.export import export as export_version
from flows.exporting.export import export_directory
from flows.learning.train import refuse_without_champion
from flows.loop.rejudge import judge_again
from flows.loop.turn import run_turn
from flows.scheduling.foreground import run_story
from maskloop.errors import RefusedError
from maskloop.records.kinds import StartsFrom
from maskloop.state.cycle_state import Cycle


@command("train")
@click.option("--by", default="", help="Who asks for it. Default: the user's name.")
def train(root: Path, out: Output, *, by: str) -> None:
    """Train a model on the newest data, judge it, ask for approval."""
    _turn(root, out, by, "first-weights")


@command("retrain")
@click.option("--by", default="", help="Who asks for it. Default: the user's name.")
def retrain(root: Path, out: Output, *, by: str) -> None:
    """Train on from the champion with old and new pictures, and judge."""
    _turn(root, out, by, "champion")


@command("distil")
@click.option("--by", default="", help="Who asks for it. Default: the user's name.")
def distil(root: Path, out: Output, *, by: str) -> None:
    """Train a new network taught by labels and champion, and judge.

    It starts from first weights. For a faster network than the champion: make [model] in maskloop.toml
    smaller first.
    """
    _turn(root, out, by, "first-weights", is_taught=True)


@command("judge")
@click.argument("version")
@click.option("--by", default="", help="Who asks for it. Default: the user's name.")
def judge(root: Path, out: Output, *, version: str, by: str) -> None:
    """Judge VERSION again under the present gates, without training.

    For a gate that was set wrongly: change [gates] in maskloop.toml first. The verdicts so far stay in the
    record. Ends with 1 if the gates fail the version.
    """
    app = open_workspace(root, actor=by or user_name())
    _answer_turn(out, run_story(app, "judge", judge_again, version=version))


@command("export")
@click.argument("version", required=False, default="")
@click.option(
    "--format",
    "wanted",
    type=click.Choice(["openvino", "openvino-int8", "onnx"]),
    default="openvino",
    show_default=True,
    help="For a CPU; int8 finds 8-bit ranges in validation pictures.",
)
def export(root: Path, out: Output, *, version: str, wanted: Any) -> None:
    """Export VERSION to a faster format that answers as it does.

    Default: the champion. An export that answers differently is not attached.
    """
    app = open_workspace(root)
    report = run_story(app, "export", export_version, version=version, wanted=wanted)
    directory = (
        str(export_directory(app.workspace.exports_dir, report.export_digest)) if report.passed else ""
    )
    out.answer(
        {**asdict(report), "passed": report.passed, "directory": directory},
        lambda: click.echo(directory) if report.passed else None,
    )
    if not report.passed:
        raise RefusedError(
            f"the {wanted} export of version {report.version} is not attached: {'; '.join(report.reasons)}",
            hint="the model itself stays as it is",
        )


@command("benchmark")
@click.argument("model", required=False, default="")
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True),
    help="Pictures to answer. Default: test pictures of the model's data.",
)
@click.option(
    "--rounds", type=click.IntRange(1), default=20, show_default=True, help="Timed calls of each batch size."
)
def benchmark(root: Path, out: Output, *, model: str, images: Path | None, rounds: int) -> None:
    """Time MODEL and every export there is of it.

    MODEL is a version or a folder; default: the champion.
    """
    found = run_story(
        open_workspace(root), "benchmark", time_model, model=model, images=images, rounds=rounds
    )
    title = f"{found.model}: one call on {found.environment['threads']} threads, in turns"
    out.answer(found, lambda: out.table([asdict(row) for row in found.rows], title))


def _turn(root: Path, out: Output, by: str, starts_from: StartsFrom, *, is_taught: bool = False) -> None:
    app = open_workspace(root, actor=by or user_name())
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
