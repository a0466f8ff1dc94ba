"""`maskloop feedback`: what people said about answers, and making labels of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from flows.command.command_line import CommandGroup
from flows.command.console import Output, command, open_workspace


@click.group("feedback", cls=CommandGroup)
def feedback() -> None:
    """Look at what people said about answers, and make labels of it."""


@command("list", group=feedback)
@click.option("--limit", default=20, show_default=True, help="At most this many, the newest first.")
def feedback_list(root: Path, out: Output, *, limit: int) -> None:
    """List what people said, what became of it, and how often each version was wrong."""
    log = open_workspace(root).corrections
    said = log.newest(limit)
    labels = log.labels([one.sample_id for one in said])
    rows: list[dict[str, Any]] = [
        {
            "request": one.sample_id,
            "at": f"{one.at:%Y-%m-%d %H:%M}",
            "by": one.by,
            "version": one.model_version,
            "verdict": one.verdict,
            "instances": None if one.instances is None else len(one.instances),
            "label": labels[one.sample_id].fate,
            "detail": labels[one.sample_id].detail,
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


@command("ingest", group=feedback)
@click.option("--again", is_flag=True, help="Try those again that were refused before.")
def feedback_ingest(root: Path, out: Output, *, again: bool) -> None:
    """Take the corrections that wait into the data, as labelled pictures."""
    from flows.intake.feedback import ingest_corrections
    from flows.scheduling.foreground import run_story

    app = open_workspace(root)
    if again:
        app.corrections.wait_again()
    done = run_story(app, "feedback", ingest_corrections)
    out.answer({"done": done}, lambda: click.echo("\n".join(done) or "nothing waits"))


def _say(row: dict[str, Any]) -> str:
    instances = "" if row["instances"] is None else f", {row['instances']} instances"
    note = f": {row['note']}" if row["note"] else ""
    return f"{row['at']} {row['by']}: version {row['version']} {row['verdict']}{instances}{note}"


def _say_fate(row: dict[str, Any]) -> str:
    return f"{row['label']}: {row['detail']}" if row["detail"] else str(row["label"])
