"""`maskloop init`, `upgrade` and `up`: a workspace is made, its databases are upgraded, its servers run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from flows.console.output import Output, command, open_workspace
from flows.scheduling.up import run_servers
from flows.workspace.creation import init_workspace
from flows.workspace.databases import upgrade_databases


@click.command("init")
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


@command("upgrade")
def upgrade(root: Path, out: Output) -> None:
    """Create the databases of the workspace, or upgrade them.

    Every command does that for the databases it opens. Where PostgreSQL's tables belong to another user, run
    this as that user after each upgrade of maskloop.
    """
    versions = upgrade_databases(open_workspace(root))
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    out.answer(versions, lambda: click.echo(f"Every database is at the newest version: {said}."))


@command("up")
@click.option("--check", is_flag=True, help="Start everything, say where it is, and stop again.")
def up(root: Path, out: Output, *, check: bool) -> None:
    """Run the servers, the schedules and the service until Ctrl-C."""
    run_servers(open_workspace(root), out, stop_at_once=check)
