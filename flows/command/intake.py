"""`maskloop ingest`, `feedback` and `label`: labelled pictures come in, from files, answers and tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from dataset.ingestion.plan import IngestOptions
from dataset.ingestion.refusal import BatchRefusedError
from flows.console.output import Output, open_workspace, with_output
from flows.intake.batch_intake import ingest as ingest_batch
from flows.intake.feedback import ingest_corrections
from flows.intake.ingest_report import BatchReport, report_of_refusal, report_of_result
from flows.labelling.overview import LabellingOverview, describe_requests
from flows.labelling.pull import pull_labels
from flows.labelling.push import push_labels
from flows.labelling.request import Requested, request_labels
from flows.scheduling.foreground import run_story
from maskloop.wording import count


@with_output
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
    add: bool,
    replace: bool,
    crowds_are_instances: bool,
    crowds_are_regions: bool,
    frame: Any,
    label_format: str | None,
    mend: bool,
    annotator: str,
) -> None:
    """Validate labelled pictures and add them to the data as a version."""
    _refuse_both("--add", add, "--replace", replace)
    _refuse_both("--crowds-are-instances", crowds_are_instances, "--crowds-are-regions", crowds_are_regions)
    options = IngestOptions(
        source,
        split,
        label_origin="model-reviewed" if model_labels else "human",
        allow_schema_change=allow_schema_change,
        frame=frame,
        crowds="instances" if crowds_are_instances else "regions" if crowds_are_regions else "ask",
        relabelling="add" if add else "replace" if replace else "ask",
        format=label_format or "",
        mend=mend,
        annotator=annotator,
    )
    app = open_workspace(root)
    try:
        result = run_story(
            app, "ingest", ingest_batch, annotations=annotations, images_dir=images, options=options
        )
    except BatchRefusedError as refused:
        _answer(out, report_of_refusal(refused), refused.page)
        raise
    changed = {"added": result.num_added, "updated": result.num_updated, "unchanged": result.num_unchanged}
    _answer(out, report_of_result(result), result.page, changed)


@with_output
def feedback_list(root: Path, out: Output, *, limit: int) -> None:
    """List what people said, what became of it, and how often each version was wrong."""
    log = open_workspace(root).corrections
    said = log.newest(limit)
    labels = log.labels([one.request_id for one in said])
    rows: list[dict[str, Any]] = [
        {
            "request": one.request_id,
            "at": f"{one.at:%Y-%m-%d %H:%M}",
            "by": one.by,
            "version": one.model_version,
            "verdict": one.verdict,
            "instances": None if one.instances is None else len(one.instances),
            "label": labels[one.request_id].fate,
            "detail": labels[one.request_id].detail,
            "note": one.note,
        }
        for one in said
    ]
    judged = [{**asdict(one), "wrong_percent": one.wrong_percent} for one in log.judged()]

    shown = [{"request": row["request"], "said": _say(row), "became": _say_fate(row)} for row in rows]

    def show() -> None:
        if not rows:
            click.echo("nobody has said anything yet")
        out.table(shown, f"{len(rows)} answers, the newest first; {log.num_waiting()} wait to become labels")
        out.table(judged, "answers that people judged, by model version")

    out.answer({"judged": judged, "corrections": rows, "waiting": log.num_waiting()}, show)


@with_output
def feedback_ingest(root: Path, out: Output, *, again: bool) -> None:
    """Take the corrections that wait into the data, as labelled pictures."""

    app = open_workspace(root)
    if again:
        app.corrections.wait_again()
    done = run_story(app, "feedback", ingest_corrections)
    out.answer({"done": done}, lambda: click.echo("\n".join(done) or "nothing waits"))


@with_output
def label_request(
    root: Path, out: Output, *, num: int | None, out_dir: Path | None, fast: bool, more: bool
) -> None:
    """Choose production pictures that are worth a label, each with its reason."""
    app = open_workspace(root)
    options = {"num": num or 0, "fast": fast, "more": more, "out_dir": out_dir}
    requested = run_story(app, "label-request", request_labels, **options)
    content = {
        **requested.record.model_dump(mode="json"),
        "changed": requested.is_new,
        "page": str(requested.page),
        "labels": str(requested.labels or ""),
    }
    out.answer(content, lambda: _show_request(out, requested))


@with_output
def label_push(root: Path, out: Output, *, request: str) -> None:
    """Make tasks of the labelling tool from the pictures of a request, with the champion's predictions."""
    app = open_workspace(root)
    pushed = run_story(app, "label-push", push_labels, request_id=request)
    sentences = [line for one in pushed for line in (one.sentence(), *one.remarks)]
    if any(one.num_there for one in pushed):
        sentences.append("label them there; `maskloop label pull` takes what is finished")
    nothing = "nothing to push: `maskloop label request` chooses pictures"
    if app.state().label_requests:
        nothing += ", and `maskloop label push REQUEST` adds tasks again that were deleted"
    out.answer({"pushed": [asdict(one) for one in pushed]}, lambda: _print(sentences, nothing))


@with_output
def label_pull(root: Path, out: Output, *, request: str) -> None:
    """Take the labels that people finished in the labelling tool into the data."""
    app = open_workspace(root)
    pulled = run_story(app, "label-pull", pull_labels, request_id=request)
    sentences = [one.sentence() for one in pulled]
    nothing = "no new labels: `maskloop label status` tells how many pictures are finished"
    if any(one.pushed is None for one in app.state().label_requests.values()):
        nothing = "no new labels: a request was not pushed yet, `maskloop label push` does it"
    records = [one.model_dump(mode="json") for one in pulled]
    out.answer({"pulled": records}, lambda: out.sentences(sentences or [nothing], app.teller))


@with_output
def label_status(root: Path, out: Output) -> None:
    """Show how far each request for labels has come."""
    overview = describe_requests(open_workspace(root))
    out.answer(asdict(overview), lambda: _show_requests(out, overview))


def _show_request(out: Output, requested: Requested) -> None:
    rows = [
        {
            "picture": one.sample_id[:16],
            "source": one.source,
            "score": "random" if one.is_random else f"{one.parts.get('score', 0.0):.2f}",
            "reason": one.reason,
        }
        for one in requested.record.chosen
    ]
    out.table(rows, requested.record.sentence())
    before = "" if requested.is_new else "nothing has changed since; --more chooses further pictures"
    written = f"pictures and answers to correct: {requested.labels}" if requested.labels else ""
    _print([before, f"page: {requested.page}", written], "")


def _show_requests(out: Output, overview: LabellingOverview) -> None:
    rows = [
        {
            "request": one.request,
            "pictures": one.asked_for,
            "in the tool": "-" if one.in_tool is None else one.in_tool,
            "finished": "-" if one.finished is None else one.finished,
            "in the data": one.in_data,
        }
        for one in overview.requests
    ]
    out.table(rows, f"{count(len(rows), 'request')} for labels, the newest last")
    projects = dict.fromkeys(one.project for one in overview.requests if one.project)
    causes = [
        f"request {one.request}: {', '.join(filter(None, (one.cycle, one.cause)))}"
        for one in overview.requests
        if one.cycle or one.cause
    ]
    pages = [f"page of request {one.request}: {one.page}" for one in overview.requests if one.page]
    _print([*projects, *causes, *pages, *overview.remarks], "" if rows else "no labels were asked for")


def _print(sentences: Sequence[str], otherwise: str) -> None:
    for sentence in sentences or [otherwise]:
        if sentence:
            click.echo(sentence)


def _refuse_both(one: str, has_one: bool, other: str, has_other: bool) -> None:
    if has_one and has_other:
        raise click.UsageError(f"{one} and {other} exclude each other: pass one of them")


def _say(row: dict[str, Any]) -> str:
    instances = "" if row["instances"] is None else f", {row['instances']} instances"
    note = f": {row['note']}" if row["note"] else ""
    return f"{row['at']} {row['by']}: version {row['version']} {row['verdict']}{instances}{note}"


def _say_fate(row: dict[str, Any]) -> str:
    return f"{row['label']}: {row['detail']}" if row["detail"] else str(row["label"])


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
