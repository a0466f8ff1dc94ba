"""The command line. Everything heavy is imported inside the commands, so that ``--help`` answers at once."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.command.command_line import CommandLine
from flows.command.console import Output, command, open_workspace, user_name
from flows.command.data import data
from flows.command.export import exporting
from flows.command.feedback import feedback
from flows.command.ingest import ingesting
from flows.command.rollout import rollout
from flows.command.serving import serving
from maskloop.errors import MaskloopError, NotFoundError

if TYPE_CHECKING:
    from maskloop.state.cycle_state import Cycle

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=CommandLine, context_settings=CONTEXT)
@click.version_option(package_name="maskloop")
def cli() -> None:
    """Keep a Mask R-CNN good in production: versioned data, training, gates, approval, drift, retraining."""


cli.add_command(data)
cli.add_command(feedback)
cli.add_command(rollout)
for one in (*ingesting.commands.values(), *serving.commands.values(), *exporting.commands.values()):
    cli.add_command(one)


@cli.command("init")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--preset",
    type=click.Choice(["laptop", "gpu", "demo"]),
    help="laptop (default): small network. gpu: ResNet-50 FPN v2 from COCO weights. demo: for the generator.",
)
@click.option("--name", "model_name", default="", help="The registered model's name.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def init(directory: Path, preset: Any, model_name: str, as_json: bool) -> None:
    """Make DIRECTORY a workspace: settings, schedules, git and DVC."""
    from flows.workspace.creation import init_workspace

    out = Output(as_json)
    with out.errors_in_json():
        made = init_workspace(directory, preset=preset, model_name=model_name)
    workspace, named = made.workspace, shlex.quote(str(directory))

    def show() -> None:
        click.echo(f"{workspace.root} is a workspace.")
        for remark in made.remarks:
            click.echo(remark)
        click.echo("Next:")
        click.echo(f"  edit {named}/maskloop.toml (gates, budgets)")
        click.echo(f"  maskloop ingest ANNOTATIONS.json --images FOLDER -w {named}")
        click.echo(f"  maskloop train -w {named}")

    out.answer(
        {
            "workspace": str(workspace.root),
            "settings": str(workspace.settings_file),
            "remarks": made.remarks,
        },
        show,
    )


@command("train", group=cli)
@click.option("--by", default="", help="Who asks for it. Default: the user's name.")
def train(root: Path, out: Output, *, by: str) -> None:
    """Train a model on the newest data, judge it, ask for approval."""
    _turn(root, out, by, "first-weights")


@command("retrain", group=cli)
@click.option("--by", default="", help="Who asks for it. Default: the user's name.")
def retrain(root: Path, out: Output, *, by: str) -> None:
    """Train on from the champion with old and new pictures, and judge."""
    _turn(root, out, by, "champion")


@command("distil", group=cli)
@click.option("--by", default="", help="Who asks for it. Default: the user's name.")
def distil(root: Path, out: Output, *, by: str) -> None:
    """Train a new network taught by labels and champion, and judge.

    It starts from first weights. For a faster network than the champion: make [model] in maskloop.toml
    smaller first.
    """
    _turn(root, out, by, "first-weights", is_taught=True)


@command("judge", group=cli)
@click.argument("version")
@click.option("--by", default="", help="Who asks for it. Default: the user's name.")
def judge(root: Path, out: Output, *, version: str, by: str) -> None:
    """Judge VERSION again under the present gates, without training.

    For a gate that was set wrongly: change [gates] in maskloop.toml first. The verdicts so far stay in the
    record. Ends with 1 if the gates fail the version.
    """
    from flows.loop.rejudge import judge_again
    from flows.scheduling.foreground import run_story

    app = open_workspace(root, actor=by or user_name())
    _answer_turn(out, run_story(app, "judge", judge_again, version=version))


@command("monitor", group=cli)
def monitor(root: Path, out: Output) -> None:
    """Judge the newest production samples for drift."""
    from flows.drift.monitor import monitor as story
    from flows.scheduling.foreground import run_story

    app = open_workspace(root)
    found = run_story(app, "monitor", story)
    said = found.judged.sentence() if found.judged else f"{found.num_pending} samples wait"
    out.answer(
        {
            "judged": found.judged.model_dump(mode="json") if found.judged else None,
            "pending": found.num_pending,
            "trigger": found.trigger,
        },
        lambda: out.sentences([said], app.teller),
    )


@command("reconcile", group=cli)
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(min=1.0),
    help="Look again after so many seconds, for ever.",
)
def reconcile(root: Path, out: Output, *, every_s: float | None) -> None:
    """Do whatever is due: train, take decisions from MLflow, promote."""
    from flows.loop.reconcile import reconcile as story
    from flows.scheduling.foreground import run_story

    app = open_workspace(root)
    if every_s is not None:
        from flows.scheduling.stopping import stop_signal
        from flows.scheduling.watching import watch

        with stop_signal() as stopped:
            watch(root, app.teller, stopped, every_s=every_s)
        return
    found = run_story(app, "reconcile", story)
    said = [*found.done, *found.failed] or ["nothing is due"]
    out.answer(
        {"done": list(found.done), "failed": list(found.failed)}, lambda: out.sentences(said, app.teller)
    )
    if found.failed:
        sys.exit(1)


@command("approve", group=cli)
@click.argument("version")
@click.option("--by", default="", help="Who approves. Default: the user's name.")
@click.option("--why", default="", help="The reason, for the record.")
def approve(root: Path, out: Output, *, version: str, by: str, why: str) -> None:
    """Approve a judged VERSION; the next reconcile promotes it."""
    _decide(root, out, version, "approved", by, why)


@command("reject", group=cli)
@click.argument("version")
@click.option("--by", default="", help="Who rejects. Default: the user's name.")
@click.option("--why", default="", help="The reason, for the record.")
def reject(root: Path, out: Output, *, version: str, by: str, why: str) -> None:
    """Reject a judged VERSION."""
    _decide(root, out, version, "rejected", by, why)


@command("promote", group=cli)
def promote(root: Path, out: Output) -> None:
    """Promote what is approved, now; nothing is trained."""
    from flows.loop.reconcile import reconcile as story
    from flows.scheduling.foreground import run_story

    app = open_workspace(root)
    done = run_story(app, "promote", story, start_work=lambda _app, _cycle: None).done
    out.answer({"done": list(done)}, lambda: out.sentences(done or ["nothing is approved"], app.teller))


@command("rollback", group=cli)
@click.argument("version", required=False)
@click.option("--by", default="", help="Who rolls back. Default: the user's name.")
@click.option("--why", required=True, help="The reason, for the record.")
def rollback(root: Path, out: Output, *, version: str | None, by: str, why: str) -> None:
    """Make an earlier champion serve again.

    It is VERSION, or the one before the present one.

    Without VERSION, a challenger that answers part of the traffic is stopped instead: that changed last.
    """
    from flows.rollouts.rollout import roll_back_last_change

    app = open_workspace(root)
    changed = roll_back_last_change(app, to_version=version, by=by or user_name(), why=why)
    out.answer(changed.model_dump(mode="json"), lambda: out.sentences([changed.sentence()], app.teller))


@command("abandon", group=cli)
@click.argument("cycle")
@click.option("--by", default="", help="Who ends it. Default: the user's name.")
@click.option("--why", required=True, help="The reason, for the record.")
def abandon(root: Path, out: Output, *, cycle: str, by: str, why: str) -> None:
    """End an open CYCLE; what serves goes on serving."""
    from flows.loop.cycles import abandon_cycle

    closed = abandon_cycle(open_workspace(root), cycle, by=by or user_name(), why=why)
    out.answer(closed.model_dump(mode="json"), lambda: click.echo(f"{cycle}: {closed.sentence()}"))


@command("status", group=cli)
def status(root: Path, out: Output) -> None:
    """Show what serves, runs, failed or waits, and what to do next."""
    from flows.pages.status import describe_status

    found = describe_status(open_workspace(root))
    out.answer(found.to_json(), lambda: click.echo(found.to_text()))


@command("history", group=cli)
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"]),
    help="Answer what served at that time (UTC), and who moved it there.",
)
@click.option("--cycle", default="", help="Only this turn of the loop.")
def history(root: Path, out: Output, *, at: datetime | None, cycle: str) -> None:
    """Tell what happened, entry by entry."""
    from flows.pages.status import describe_serving_at, tell_history

    app = open_workspace(root)
    if at:
        serving = describe_serving_at(app, at.replace(tzinfo=UTC))
        out.answer(serving, lambda: click.echo(serving["sentence"]))
        return
    lines = [line for line in tell_history(app) if not cycle or line["cycle"] == cycle]
    out.answer(
        lines,
        lambda: click.echo(
            "\n".join(
                f"{x['at'][:19]}Z  {x['cycle'] or '-':<9} {x['actor']:<10} {x['sentence']}" for x in lines
            )
        ),
    )


@command("lineage", group=cli)
@click.argument("version", required=False)
def lineage(root: Path, out: Output, *, version: str | None) -> None:
    """Show where a VERSION comes from: data, run, verdict, approval.

    Default: the champion.
    """
    from registry.champion.lineage import lineage as trace_lineage

    state = open_workspace(root).state()
    if version is None:
        if state.champion is None:
            raise NotFoundError("nothing serves yet", hint="name a version")
        version = state.champion.version
    facts = trace_lineage(state, version)
    out.answer(facts, lambda: click.echo("\n".join(f"{fact.what:<10} {fact.sentence}" for fact in facts)))


@command("report", group=cli)
@click.option("--output", type=click.Path(path_type=Path), help="Default: .maskloop/reports/loop.html")
def report(root: Path, out: Output, *, output: Path | None) -> None:
    """Write the page of the loop: what serves, decisions, figures."""
    from flows.pages.report import write_report

    path = write_report(open_workspace(root), output)
    out.answer({"report": str(path)}, lambda: click.echo(str(path)))


@command("up", group=cli)
@click.option("--check", is_flag=True, help="Start everything, say where it is, and stop again.")
def up(root: Path, out: Output, *, check: bool) -> None:
    """Run the servers, the schedules and the service until Ctrl-C."""
    from flows.scheduling.up import run_servers

    run_servers(open_workspace(root), out, stop_at_once=check)


@cli.command("demo")
@click.argument("directory", type=click.Path(path_type=Path), default="demo")
@click.option("--pictures", default=600, show_default=True, help="Pictures in the first batch.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def demo(directory: Path, pictures: int, as_json: bool) -> None:
    """Run one whole turn of the loop on generated pictures."""
    # Before torch is imported: on a busy laptop two threads of so small a network mostly wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from flows.command.demo import run_demo

    out = Output(as_json)
    with out.errors_in_json():
        result = run_demo(directory, num_pictures=pictures)
    out.answer(result, lambda: None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every error of ours becomes a plain sentence and its exit code."""
    try:
        cli.main(args=list(arguments) if arguments is not None else None, prog_name="maskloop")
    except MaskloopError as error:
        _fail(error)
    except OSError as error:
        from maskloop.files import EXPLAINED, storage_error

        if error.errno not in EXPLAINED:
            raise
        _fail(storage_error(error, Path(error.filename or ".")))


def _fail(error: MaskloopError) -> None:
    click.echo(f"error: {error}", err=True)
    sys.exit(error.exit_code)


def _turn(root: Path, out: Output, by: str, starts_from: Any, *, is_taught: bool = False) -> None:
    from flows.learning.train import refuse_without_champion
    from flows.loop.turn import run_turn
    from flows.scheduling.foreground import run_story

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


def _decide(root: Path, out: Output, version: str, decision: Any, by: str, why: str) -> None:
    from flows.deciding.decisions import decide_by_hand
    from flows.pages.evidence_pack import refresh_packs

    app = open_workspace(root)
    record = decide_by_hand(app, version, decision, by=by or user_name(), why=why)
    refresh_packs(app)
    out.answer(record.model_dump(mode="json"), lambda: out.sentences([record.sentence()], app.teller))
