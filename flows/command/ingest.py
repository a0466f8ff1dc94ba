"""`maskloop ingest`: take labelled pictures in, and say what was kept of them, what was not, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.command.console import Output, command, open_workspace
from maskloop.wording import count

if TYPE_CHECKING:
    from flows.intake.ingest_report import BatchReport


@click.group()
def ingesting() -> None:
    """Hold the command."""


@command("ingest", group=ingesting)
@click.argument("annotations", type=click.Path(path_type=Path))
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Folder that the file names are relative to. Default: the one near the file that holds the most.",
)
@click.option("--source", default="", help="Where the pictures come from; gates look at each source alone.")
@click.option("--split", type=click.Choice(["train", "val", "test"]), help="Default: by hash of a group key.")
@click.option(
    "--model-labels", is_flag=True, help="A model made these labels and a person has reviewed them."
)
@click.option("--allow-schema-change", is_flag=True, help="Accept new, missing or renamed classes.")
@click.option(
    "--add",
    "relabelling",
    flag_value="add",
    help="Pictures that are in already keep their labels and get these besides.",
)
@click.option(
    "--replace",
    "relabelling",
    flag_value="replace",
    help="These labels replace those of pictures that are in already, also where that takes a class away.",
)
@click.option(
    "--crowds-are-instances",
    "crowds",
    flag_value="instances",
    help="Every annotation marked as a crowd is one object: CVAT and others mark brush masks so.",
)
@click.option(
    "--crowds-are-regions",
    "crowds",
    flag_value="regions",
    help="Annotations marked as crowds do hold many objects, also where a class has nothing else.",
)
@click.option(
    "--frame",
    type=click.Choice(["stored", "upright"]),
    help="Where masks of photographs that EXIF turns were drawn: on the file as stored, or upright.",
)
def ingest(
    root: Path,
    out: Output,
    *,
    annotations: Path,
    images: Path | None,
    source: str,
    split: Any,
    model_labels: bool,
    allow_schema_change: bool,
    relabelling: Any,
    crowds: Any,
    frame: Any,
) -> None:
    """Validate a COCO batch, add it to the data and make it a version.

    ANNOTATIONS is a COCO file, or a folder with one. Whether it is taken or refused, a report with every
    problem, what to do about it and pictures to look at is written to .maskloop/reports.
    """
    from dataset.ingestion.plan import Batch, BatchRefusedError
    from flows.intake.ingest import ingest as story
    from flows.intake.ingest_report import report_of_refusal, report_of_result
    from flows.scheduling.foreground import run_story

    batch = Batch(
        source,
        split,
        label_origin="model-reviewed" if model_labels else "human",
        allow_schema_change=allow_schema_change,
        frame=frame,
        crowds=crowds or "ask",
        relabelling=relabelling or "ask",
    )
    app = open_workspace(root)
    try:
        result = run_story(app, "ingest", story, annotations=annotations, images_dir=images, batch=batch)
    except BatchRefusedError as refused:
        _answer(out, report_of_refusal(refused), refused.page)
        raise
    changed = {"added": result.num_added, "updated": result.num_updated, "unchanged": result.num_unchanged}
    _answer(out, report_of_result(result), result.page, changed)


def _answer(
    out: Output, report: BatchReport, page: Path | None, numbers: dict[str, int] | None = None
) -> None:
    def show() -> None:
        kinds = count(len(report.kinds), "kind of problem", "kinds of problems")
        out.table(report.rows(), f"{kinds} in the batch")
        if report.outcome == "refused":
            click.echo(report.books)
        elif page and report.kinds:
            click.echo(f"report: {page}")

    content = {**report.to_json(), **(numbers or {}), "changed": report.outcome == "stored"}
    out.answer({**content, "report": str(page or "")}, show)
