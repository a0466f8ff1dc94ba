"""`maskloop export` and `benchmark`: a version in another format, and how fast each format is here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from flows.command.console import Output, command, open_workspace
from maskloop.errors import RefusedError

exporting = click.Group()
"""The commands of this page; the command line takes them over one by one."""


@command("export", group=exporting)
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
    from flows.exporting.export import export as story
    from flows.exporting.export import export_directory
    from flows.scheduling.foreground import run_story

    app = open_workspace(root)
    report = run_story(app, "export", story, version=version, wanted=wanted)
    directory = str(export_directory(app, report.export_digest)) if report.passed else ""
    out.answer(
        {**asdict(report), "passed": report.passed, "directory": directory},
        lambda: click.echo(directory) if report.passed else None,
    )
    if not report.passed:
        raise RefusedError(
            f"the {wanted} export of version {report.version} is not attached: {'; '.join(report.reasons)}",
            hint="the model itself stays as it is",
        )


@command("benchmark", group=exporting)
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
    from flows.exporting.benchmark import benchmark as story
    from flows.scheduling.foreground import run_story

    found = run_story(open_workspace(root), "benchmark", story, model=model, images=images, rounds=rounds)
    title = f"{found.model}: one call on {found.environment['threads']} threads, in turns"
    out.answer(found, lambda: out.table([asdict(row) for row in found.rows], title))
