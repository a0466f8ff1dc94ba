"""`maskloop init`, `upgrade` and `up`: a workspace is made, its databases are upgraded, its servers run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from flows.console.output import Output, open_workspace, with_output
from flows.scheduling.up import run_servers
from flows.workspace.creation import init_workspace
from flows.workspace.databases import send_own_files, upgrade_databases
from maskloop.wording import count


@with_output
def init(directory: Path, out: Output, *, preset: Any, model_name: str) -> None:
    """Make DIRECTORY a workspace: settings, schedules, git and DVC."""
    made = init_workspace(directory, preset=preset, model_name=model_name)
    workspace, named = made.workspace, shlex.quote(str(directory))

    def show() -> None:
        click.echo(f"{workspace.root} is a workspace.")
        for remark in made.remarks:
            click.echo(remark)
        click.echo("Next:")
        click.echo(f"  edit {named}/maskloop.toml (gates, budgets)")
        click.echo(f"  maskloop ingest LABELS -w {named}")
        click.echo(f"  maskloop train -w {named}")

    out.answer(
        {
            "workspace": str(workspace.root),
            "settings": str(workspace.settings_file),
            "remarks": made.remarks,
        },
        show,
    )


@with_output
def upgrade(root: Path, out: Output) -> None:
    """Create the databases of the workspace, or upgrade them."""
    app = open_workspace(root)
    versions = upgrade_databases(app)
    num_sent = send_own_files(app)

    def show() -> None:
        said = ", ".join(f"{name} {version}" for name, version in versions.items())
        click.echo(f"Every database is at the newest version: {said}.")
        if num_sent:
            click.echo(f"{count(num_sent, 'file')} of this workspace went to {app.blobs.where}.")

    out.answer(versions, show)


@with_output
def up(root: Path, out: Output, *, check: bool) -> None:
    """Run the servers, the schedules and the service until Ctrl-C."""
    run_servers(open_workspace(root), out, stop_at_once=check)
